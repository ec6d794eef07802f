"""Which checkpoint an agent goes on from, and which of its steps come after it.

Reads the log; changes nothing. Damaged checkpoints are passed over for older ones, and so is one that may hold a part
of a step which is on record as committed later: handing that step out again would do it twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any

import attrs

from eventstore.errors import ReadFailed
from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from eventstore.records import Record
from lrm_actors.actors.checkpoints.restoring import Restored
from lrm_actors.domain import journal
from lrm_actors.domain.checkpointer import EMERGENCY, CheckpointerState, CheckpointInfo, restore_order
from lrm_actors.domain.journal import JournalState, OpenStep
from lrm_actors.errors import CheckpointDamaged
from lrm_actors.hosting.reading import CheckpointReader

JOURNAL = journal.NAME


@frozen
class CommittedStep:
    """A step that is done."""

    step: int
    name: str
    result: Any
    position: int
    """Of its commit in the log."""


@frozen
class Recovery:
    """Where an agent goes on."""

    checkpoint: Restored | None = attrs.field(repr=False)
    """What was restored. None: there was no usable checkpoint, the steps run from the beginning."""
    info: CheckpointInfo | None
    """What the log has of it."""
    why: str
    """Why just this one, a sentence."""
    steps: tuple[CommittedStep, ...]
    """Committed after the checkpoint, oldest first: take their results up without doing them again."""
    in_doubt: OpenStep | None
    """Begun by an earlier process and never committed: it may have happened or not."""
    reasons: Mapping[str, str]
    """Checkpoints that would have been better and could not be used, and why: in the order they were tried."""
    steps_removed: bool = False
    """The log does not go back as far as the checkpoint, or the beginning where there is none: ``steps`` may lack the
    oldest of those since, which retention has removed. What they did is done, and going on from ``state`` would do it
    again."""
    half_step: int | None = None
    """Number of a step that was open when the state was captured, in an emergency: what it had changed until then is in
    ``state``. It was not committed, and is to be begun again; only where the checkpoint was asked for by its id may it
    stand in ``steps``. None: the state is that between two steps."""

    @property
    def passed_over(self) -> tuple[str, ...]:
        """Checkpoints that would have been better and could not be used."""
        return tuple(self.reasons)

    @property
    def checkpoint_id(self) -> str | None:
        """Of the checkpoint; None: there was none."""
        return None if self.info is None else self.info.checkpoint_id

    @property
    def position(self) -> int:
        """Every step committed up to it is in ``state``."""
        return 0 if self.info is None else self.info.position

    @property
    def state(self) -> Any:
        """As ``capture`` gave it, in the host's version."""
        return None if self.checkpoint is None else self.checkpoint.state

    @property
    def state_version(self) -> int | None:
        """Of the state as it was captured."""
        return None if self.checkpoint is None else self.checkpoint.state_version

    @property
    def timestamp(self) -> float | None:
        """When it was captured: seconds since 1970."""
        return None if self.checkpoint is None else self.checkpoint.timestamp

    @property
    def agent_state(self) -> Any:
        """The agent's part of the state, or all of it."""
        return None if self.checkpoint is None else self.checkpoint.agent_state

    @property
    def browser_state(self) -> Any:
        """The browser's part; None where the host did not give one."""
        return None if self.checkpoint is None else self.checkpoint.browser_state

    @property
    def recovery_hints(self) -> tuple[str, ...]:
        """What was known of the moment."""
        return () if self.checkpoint is None else tuple(self.checkpoint.recovery_hints)

    @property
    def document(self) -> dict[str, Any] | None:
        """The checkpoint as one document: id, timestamp, agent and browser state, hints."""
        return None if self.checkpoint is None else self.checkpoint.document


@frozen
class Damage:
    """A checkpoint whose bytes are not what was captured."""

    checkpoint_id: str
    reason: str


@frozen
class Choice:
    """What was found, before the host is asked to take it up."""

    recovery: Recovery
    damaged: tuple[Damage, ...]
    """To be put on record."""
    unsound: tuple[str, ...]
    """What else is to be said of checkpoints, a sentence each."""


def choose(
    reader: EventReader, kept: CheckpointerState, steps: JournalState, checkpoint_id: str | None = None
) -> Choice:
    """Find what to go on from.

    Args:
        reader: the log.
        kept: the checkpoints there are.
        steps: the journal's state.
        checkpoint_id: this one and no other; None: the best there is.

    Raises:
        CheckpointNotFound: there is none of this id.
        CheckpointDamaged: it was asked for by id, and its bytes are not what was captured.
        ReadFailed: it was asked for by id, and the storage does not answer.
    """
    checkpoints, after = CheckpointReader(reader, kept), _Steps(reader)
    if checkpoint_id is not None:
        info = checkpoints.info(checkpoint_id)
        restored = checkpoints.restore(checkpoint_id)
        records = after(info.position)
        half, removed = _half_contained(records), after.removed_since(info.position)
        said = () if half is None else (_half_said(checkpoint_id, half),)
        why = "it was asked for"
        open_step = _open_at(info, records, steps) if half is None else half
        found = Recovery(restored, info, why, _committed(records), steps.in_doubt, {}, removed, open_step)
        return Choice(found, (), (*said, *_also_said(found, told=half is not None)))
    passed_over: dict[str, str] = {}
    damaged: list[Damage] = []
    unsound: list[str] = []
    for candidate in restore_order(kept):
        info = checkpoints.info(candidate)
        records, removed = after(info.position), after.removed_since(info.position)
        # Where the begin of a step is not there any more, its end says nothing. Only an emergency waits for no step.
        half = _half_contained(records) if not removed or info.kind == EMERGENCY else None
        if half is not None:
            passed_over[candidate] = _half_said("it", half)
            unsound.append(_half_said(candidate, half))
            continue
        try:
            restored = checkpoints.restore(candidate)
        except CheckpointDamaged as error:
            passed_over[candidate] = error.reason
            damaged.append(Damage(candidate, error.reason))
        except ReadFailed as error:  # it may be sound, and be read another time: that is nothing to keep on record
            passed_over[candidate] = f"not now: {error}"
            unsound.append(f"{candidate} is passed over now: {error}")
        else:
            why = _why(info, kept, passed_over)
            open_step = _open_at(info, records, steps)
            done = _committed(records)
            recovery = Recovery(restored, info, why, done, steps.in_doubt, passed_over, removed, open_step)
            return Choice(recovery, tuple(damaged), (*unsound, *_also_said(recovery)))
    why = "none of the checkpoints can be used" if kept.kept else "there is no checkpoint"
    removed = bool(steps.committed) and after.removed_since(0)
    recovery = Recovery(None, None, why, _committed(after(0)), steps.in_doubt, passed_over, removed)
    return Choice(recovery, tuple(damaged), (*unsound, *_also_said(recovery)))


def _why(info: CheckpointInfo, kept: CheckpointerState, passed_over: Mapping[str, str]) -> str:
    """Why one is taken before the others."""
    newest = f"it is the newest of those that can be used, at #{info.position}"
    if not passed_over and not any(map(_is_damaged, kept.kept)):
        newest = f"it is the newest, at #{info.position}"
    if info.kind != EMERGENCY:
        return newest
    beside = [one for one in kept.kept if one.position == info.position and one.kind != EMERGENCY]
    if beside:
        return f"{newest}, and an emergency one comes before a {beside[-1].kind} one of the same position"
    return newest


_is_damaged = attrgetter("damaged")


class _Steps:
    """The journal's records after a position, each read once: those asked for get older and older."""

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader
        self._records: list[Record] = []
        self._after: int | None = None

    def removed_since(self, position: int) -> bool:
        """Whether the log begins only after a position that is asked for, and not with the record behind it."""
        return self._reader.first > position + 1

    def __call__(self, position: int) -> list[Record]:
        if self._after is None or position < self._after:
            older = self._reader.read(after=position, up_to=self._after, streams=(JOURNAL,), removed="skip")
            self._records = [*older, *self._records]
            self._after = position
        if position == self._after:
            return self._records
        return [record for record in self._records if record.position > position]


def _also_said(found: Recovery, *, told: bool = False) -> tuple[str, ...]:
    """What whoever goes on from there should know.

    Args:
        found: where the agent goes on.
        told: that a step may be in it in part was said already.
    """
    said: list[str] = []
    if found.half_step is not None and not told:
        step = f"step {found.half_step}, which was not committed"
        said.append(f"{found.checkpoint_id} was captured inside {step}: what it had changed until then is in the state")
    if found.steps_removed:
        which = "the first steps" if found.checkpoint_id is None else f"steps since {found.checkpoint_id}"
        said.append(f"{which} are no longer in the log: what they did would be done again")
    return tuple(said)


def _open_at(info: CheckpointInfo, after: Iterable[Record], steps: JournalState) -> int | None:
    """The step that was open when a state was captured; only an emergency waits for none to end.

    Args:
        info: of the checkpoint.
        after: the journal's records after it.
        steps: the journal's state at the end of the log.
    """
    if info.kind != EMERGENCY:
        return None
    for event in (event for record in after for event in record.events):
        match event:
            case journal.StepInDoubt(step) | journal.StepAbandoned(step) | journal.StepCommitted(step):
                return step
            case journal.StepBegun():
                return None
    return None if steps.open is None else steps.open.step


def _half_said(what: str, step: int) -> str:
    return f"{what} may hold a part of step {step}, which was committed later"


def _half_contained(after: Iterable[Record]) -> int | None:
    """The step that a checkpoint may hold a part of, although it was committed only after it.

    The journal's events after the position tell: a checkpoint between two steps is followed by the begin of one. Where
    the end of a step comes first, that step was open when the state was captured.
    """
    inside: int | None = None
    for event in (event for record in after for event in record.events):
        match event:
            case journal.StepCommitted(step) if inside in {None, step}:
                return step
            case journal.StepAbandoned(step) | journal.StepInDoubt(step) if inside is None:
                inside = step
            case journal.StepBegun() | journal.StepCommitted() if inside is None:
                return None
            case journal.StepCommitted():
                return None
    return None


def _committed(records: Iterable[Record]) -> tuple[CommittedStep, ...]:
    return tuple(
        CommittedStep(event.step, event.name, event.result, record.position)
        for record in records
        for event in record.events
        if isinstance(event, journal.StepCommitted)
    )
