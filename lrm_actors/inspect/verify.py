"""Whether a log is as it was written: the file, every event, every snapshot, every checkpoint.

The store checks what it knows: hashes, gaps, checksums. Here is checked what only the actors' own functions can tell:
that each snapshot is what its events add up to, and that each checkpoint the checkpointer names is there and whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import attrs

from eventstore.codec import encode_state
from eventstore.errors import AttachmentNotFound, EventStoreError, SnapshotUnusable
from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from eventstore.records import Problem, Snapshot, Verification
from lrm_actors.domain.behavior import Spec
from lrm_actors.domain.checkpointer import CheckpointerState, attachment_key
from lrm_actors.errors import LrmError
from lrm_actors.inspect.chains import why
from lrm_actors.inspect.errors import FoldFailed
from lrm_actors.inspect.folds import Folds, snapshot_state
from lrm_actors.inspect.replay import fold, state_at

CheckCheckpoints = Callable[[EventReader, CheckpointerState], Iterable[tuple[str, str]]]
"""Reads all checkpoints that are kept, and gives the id of each with why it cannot be restored, empty where it can."""
TRIES = 3
"""Times that the checkpoints of a living agent are read, when they were others each time."""


@frozen
class LogVerification:
    """What was looked at, and what is wrong."""

    store: Verification
    snapshots_folded: int
    """Snapshots that were compared with their events."""
    checkpoints: int
    """Checkpoints that were read."""
    problems: tuple[Problem, ...]
    """The store's and ours."""

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.problems


def verify_log(
    reader: EventReader, *, folds: Folds | None = None, check_checkpoints: CheckCheckpoints | None = None
) -> LogVerification:
    """Read everything and report what is wrong. Of an encrypted log without its key, all that is not encrypted.

    Args:
        reader: the log.
        folds: how actors that are not ours are folded; their snapshots are left out where it is not known.
        check_checkpoints: restores them; without it, only that their bytes are there and as they were stored.
    """
    store = reader.verify()
    if getattr(reader, "locked", False):  # what is checked from here on is what the data say
        return LogVerification(store, 0, 0, (*store.problems, *_readable(lambda: _causes(reader), "cause")))
    snapshots = _Snapshots(reader, folds or Folds())
    problems = [*store.problems, *_readable(snapshots.check, "snapshot")]
    checkpoints = _Checkpoints(reader, check_checkpoints or as_stored)
    problems += [*_readable(checkpoints.check, "checkpoint"), *_readable(lambda: _causes(reader), "cause")]
    return LogVerification(store, snapshots.folded, checkpoints.read, tuple(problems))


def _readable(check: Callable[[], Iterator[Problem]], what: str) -> Iterator[Problem]:
    """A check's problems; one that damage keeps from going on says so."""
    try:
        yield from check()
    except (EventStoreError, LrmError) as error:
        yield Problem(what, getattr(error, "position", None), str(error))


@attrs.define
class _Snapshots:
    """Compares every snapshot with what its events add up to."""

    reader: EventReader
    folds: Folds
    folded: int = 0

    def check(self) -> Iterator[Problem]:
        for info in self.reader.streams():
            spec = self.folds.spec(info.name)
            if spec is not None:
                yield from self._check_stream(spec, info.version)

    def _check_stream(self, spec: Spec[object], version: int) -> Iterator[Problem]:
        state, at = spec.initial, 0
        for snapshot in reversed(list(self._kept(spec, version))):
            if self._is_gap(spec, at):
                state, at = snapshot_state(spec, snapshot), snapshot.version
                continue  # the events before it are not kept any more: it is where the rest begins
            records = self.reader.read_stream(spec.name, after=at, up_to=snapshot.version, removed="skip")
            try:
                state, unknown = fold(spec, state, records)
            except FoldFailed as error:
                yield Problem("snapshot", error.position, str(error))
                return
            at = snapshot.version
            if unknown:
                return  # what is missing here need not have been missing where it was taken
            self.folded += 1
            yield from self._compare(spec, snapshot, state)

    def _is_gap(self, spec: Spec[object], at: int) -> bool:
        first = next(iter(self.reader.read_stream(spec.name, after=at, removed="skip")), None)
        return first is None or first.version != at + 1

    def _kept(self, spec: Spec[object], version: int) -> Iterator[Snapshot]:
        while version > 0:
            snapshot = self.reader.snapshot(spec.name, schema=spec.state_schema, up_to=version)
            if snapshot is None:
                return
            yield snapshot
            version = min(version, snapshot.version) - 1  # ends, whatever the reader gives

    def _compare(self, spec: Spec[object], snapshot: Snapshot, state: object) -> Iterator[Problem]:
        where = f"snapshot of {spec.name!r} at version {snapshot.version}"
        try:
            kept = snapshot_state(spec, snapshot)
        except SnapshotUnusable as error:
            yield Problem("snapshot", None, f"{where}: {error}")
            return
        # Compared as stored: what a snapshot cannot hold, such as an order of equal keys, is no difference.
        if kept != state and encode_state(kept) != encode_state(state):
            yield Problem("snapshot", None, f"{where} is not what its events add up to")


@attrs.define
class _Checkpoints:
    """Reads every checkpoint that is on record as kept and sound."""

    reader: EventReader
    check_all: CheckCheckpoints
    read: int = 0

    def check(self) -> Iterator[Problem]:
        """What is wrong with each. A living agent may remove some meanwhile, or store them anew: then all once more."""
        state = self._state()
        for _ in range(TRIES):
            sound = {info.checkpoint_id for info in state.kept if not info.damaged}
            self.read = len(sound)
            bad = [found for found in self.check_all(self.reader, state) if found[1] and found[0] in sound]
            before, state = state, self._state()
            if not bad or (before.kept, before.support) == (state.kept, state.support):
                break
        for checkpoint_id, trouble in bad:
            yield Problem("checkpoint", None, f"{checkpoint_id}: {trouble}")

    def _state(self) -> CheckpointerState:
        first = next(iter(self.reader.read_stream("checkpointer")), None)
        whole = first is not None and first.version == 1  # else only a snapshot still says what there was
        state = state_at(self.reader, "checkpointer", snapshots=not whole).state
        return state if isinstance(state, CheckpointerState) else CheckpointerState()


def as_stored(reader: EventReader, kept: CheckpointerState) -> Iterator[tuple[str, str]]:
    """Whether the bytes of each checkpoint are there and as they were stored; not whether they make a state."""
    for info in kept.kept:
        trouble = ""
        try:
            reader.attachment(attachment_key(info.checkpoint_id))
        except AttachmentNotFound:
            trouble = "its bytes are not there"
        except EventStoreError as error:
            trouble = str(error)
        yield info.checkpoint_id, trouble


def _causes(reader: EventReader) -> Iterator[Problem]:
    """Every record's cause is before it. Cause 0, which could be stored once, is none."""
    for record in reader.read(removed="skip"):
        if record.cause and not 0 < record.cause < record.position:
            yield Problem("cause", record.position, why(reader, record.position).problem)
