"""Which checkpoint an agent goes on from, and which of its steps come after it.

Reads the log; changes nothing. Damaged checkpoints are passed over for older ones, and so is one that may hold a part
of a step which is on record as committed later: handing that step out again would do it twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eventstore.errors import AttachmentNotFound, CorruptAttachment
from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from eventstore.records import Record
from lrm_actors.actors.checkpointer import decode_checkpoint
from lrm_actors.domain import journal
from lrm_actors.domain.checkpointer import CheckpointerState, CheckpointInfo, attachment_key, restore_order
from lrm_actors.domain.journal import JournalState, OpenStep
from lrm_actors.errors import CheckpointDamaged, CheckpointNotFound

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

    checkpoint_id: str | None
    """None: there was no usable checkpoint, the steps run from the beginning."""
    position: int
    """Every step committed up to it is in ``state``."""
    state: Any
    """As ``capture`` gave it."""
    steps: tuple[CommittedStep, ...]
    """Committed after the checkpoint, oldest first: take their results up without doing them again."""
    in_doubt: OpenStep | None
    """Begun by an earlier process and never committed: it may have happened or not."""
    passed_over: tuple[str, ...]
    """Checkpoints that would have been better and could not be used."""


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
    """
    infos = {info.checkpoint_id: info for info in kept.kept}
    if checkpoint_id is not None:
        if checkpoint_id not in infos:
            raise CheckpointNotFound(checkpoint_id)
        state = _load(reader, infos[checkpoint_id])
        after = _after(reader, infos[checkpoint_id].position)
        half = _half_contained(after)
        said = () if half is None else (f"{checkpoint_id} may hold a part of step {half}, which was committed later",)
        return Choice(_recovery(infos[checkpoint_id], state, after, steps, ()), (), said)
    passed_over: list[str] = []
    damaged: list[Damage] = []
    unsound: list[str] = []
    for candidate in restore_order(kept):
        info = infos[candidate]
        after = _after(reader, info.position)
        if (half := _half_contained(after)) is not None:
            passed_over.append(candidate)
            unsound.append(f"{candidate} may hold a part of step {half}, which was committed later")
            continue
        try:
            state = _load(reader, info)
        except CheckpointDamaged as error:
            passed_over.append(candidate)
            damaged.append(Damage(candidate, error.reason))
            continue
        return Choice(_recovery(info, state, after, steps, passed_over), tuple(damaged), tuple(unsound))
    return Choice(_recovery(None, None, _after(reader, 0), steps, passed_over), tuple(damaged), tuple(unsound))


def _load(reader: EventReader, info: CheckpointInfo) -> Any:
    try:
        data = reader.attachment(attachment_key(info.checkpoint_id)).data
    except (AttachmentNotFound, CorruptAttachment) as error:
        raise CheckpointDamaged(info.checkpoint_id, str(error)) from error
    return decode_checkpoint(data, info.digest, info.checkpoint_id)


def _after(reader: EventReader, position: int) -> list[Record]:
    return list(reader.read(after=position, streams=(JOURNAL,)))


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


def _recovery(
    info: CheckpointInfo | None, state: Any, after: Iterable[Record], steps: JournalState, passed_over: Iterable[str]
) -> Recovery:
    return Recovery(
        checkpoint_id=None if info is None else info.checkpoint_id,
        position=0 if info is None else info.position,
        state=state,
        steps=tuple(
            CommittedStep(event.step, event.name, event.result, record.position)
            for record in after
            for event in record.events
            if isinstance(event, journal.StepCommitted)
        ),
        in_doubt=steps.in_doubt,
        passed_over=tuple(passed_over),
    )
