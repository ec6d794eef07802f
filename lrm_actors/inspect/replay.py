"""What an actor knew at any position of the log: its events, folded again by the functions that ran then.

Replay runs no effect and touches neither clock, network nor file, other than the log it reads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any

import attrs
import msgspec

from eventstore.errors import SnapshotUnusable
from eventstore.events import UnknownEvent
from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from eventstore.records import Record, Snapshot
from lrm_actors.domain.behavior import Spec
from lrm_actors.inspect.errors import FoldFailed
from lrm_actors.inspect.folds import STATELESS, Folds, newest_snapshot, snapshot_state

EVENTS_KEPT = 20
"""Events shown of an actor whose state cannot be folded."""


@frozen
class Replayed:
    """One actor as it was at a position."""

    stream: str
    position: int
    """The position asked for."""
    version: int
    """Events of it up to there."""
    last_position: int
    """Position of the last of them, 0 when there is none, or it is not kept any more."""
    state: Any
    """Its state; None when nobody told how it is folded."""
    folded: bool
    """Whether ``state`` is one."""
    note: str = ""
    """What has to be known besides."""
    from_snapshot: int = 0
    """Version of the snapshot that it was folded from, 0 for none."""
    events: tuple[Record, ...] = ()
    """The last events of an actor that cannot be folded."""


def states_at(
    reader: EventReader, position: int | None = None, *, folds: Folds | None = None, snapshots: bool = True
) -> Iterator[Replayed]:
    """Every actor that had begun at a position, by name."""
    for info in reader.streams():
        replayed = state_at(reader, info.name, position, folds=folds, snapshots=snapshots)
        if replayed.version:
            yield replayed


def folded_at_head(reader: EventReader, stream: str) -> Replayed:
    """One actor as it is now. Of one that never began, ``folded`` is false; whoever has begun is folded.

    Raises:
        FoldFailed: the log does not tell its state.
    """
    replayed = state_at(reader, stream)
    if replayed.version and not replayed.folded:
        raise FoldFailed(stream, replayed.last_position, replayed.note)
    return replayed


def state_at(
    reader: EventReader,
    stream: str,
    position: int | None = None,
    *,
    folds: Folds | None = None,
    snapshots: bool = True,
) -> Replayed:
    """One actor as it was right after a position; after the newest event when none is given.

    Args:
        reader: the log.
        stream: the actor's name.
        position: every event up to and including it counts.
        folds: how actors that are not ours are folded.
        snapshots: begin at a snapshot where there is one; without, every event is folded.
    """
    at = reader.head if position is None else position
    spec = (folds or Folds()).spec(stream)
    if spec is None:
        return _unfolded(reader, stream, at)
    return _fold(reader, spec, at, _beginning(reader, spec, at) if snapshots else _Beginning(spec.initial))


def fold(spec: Spec[Any], state: Any, records: Iterable[Record]) -> tuple[Any, int]:
    """Fold records onto a state; returns it, and how many of their events are of no type known here.

    Raises:
        FoldFailed: the actor's own function failed on one.
    """
    unknown = 0
    for record in records:
        for event in record.events:
            if isinstance(event, UnknownEvent):
                unknown += 1
                continue
            try:
                state = spec.evolve(state, event)
            except Exception as error:
                raise FoldFailed(spec.name, record.position, f"{type(error).__name__}: {error}") from error
    return state, unknown


def state_data(state: Any) -> Any:
    """A state as plain JSON data; what JSON has no form for is given as its ``repr``."""
    return msgspec.json.decode(msgspec.json.encode(state, enc_hook=repr))


@frozen
class _Beginning:
    """Where folding starts."""

    state: Any
    version: int = 0
    position: int = 0
    """Of the event that the version ends with."""


def _fold(reader: EventReader, spec: Spec[Any], at: int, beginning: _Beginning) -> Replayed:
    after = beginning.version
    seen: list[Record] = []  # the first one, and the last one

    def watched() -> Iterator[Record]:
        for record in reader.read_stream(spec.name, after=after, removed="skip"):
            if record.position > at:
                return
            seen[1:] = [record]  # the first time it becomes the only one
            yield record

    try:
        state, unknown = fold(spec, beginning.state, watched())
    except FoldFailed as error:
        return attrs.evolve(_unfolded(reader, spec.name, at), note=str(error))
    note = f"{unknown} events of types not known here are left out" if unknown else ""
    if seen and seen[0].version != after + 1:
        note = "its first events are not kept any more: this is no state it ever had"
    return Replayed(
        stream=spec.name,
        position=at,
        version=seen[-1].version if seen else after,
        last_position=seen[-1].position if seen else beginning.position,
        state=state,
        folded=True,
        note=note,
        from_snapshot=after,
    )


def _beginning(reader: EventReader, spec: Spec[Any], at: int) -> _Beginning:
    """The newest usable snapshot at a position."""
    up_to = reader.version(spec.name)
    while up_to > 0:
        snapshot = newest_snapshot(reader, spec, up_to=up_to)
        if snapshot is None:
            break
        position = _position_of(reader, snapshot)
        if position is not None and position <= at:
            try:
                return _Beginning(snapshot_state(spec, snapshot), snapshot.version, position)
            except SnapshotUnusable:
                pass  # an older one may do, and the events always will
        up_to = snapshot.version - 1
    return _Beginning(spec.initial)


def _position_of(reader: EventReader, snapshot: Snapshot) -> int | None:
    """Position of the event that a snapshot ends with; 0 where it was removed with all before it; None if unknown."""
    stream, version = snapshot.stream, snapshot.version
    record = next(iter(reader.read_stream(stream, after=version - 1, up_to=version, removed="skip")), None)
    if record is not None:
        return record.position
    return None if next(iter(reader.read_stream(stream, up_to=version, removed="skip")), None) is not None else 0


def _unfolded(reader: EventReader, stream: str, at: int) -> Replayed:
    until_then = takewhile(lambda record: record.position <= at, reader.read_stream(stream, removed="skip"))
    events = deque(until_then, maxlen=EVENTS_KEPT)
    note = (
        "no actor: these are events only"
        if stream in STATELESS
        else "how it is folded is not known here, --load tells: its events"
    )
    return Replayed(
        stream=stream,
        position=at,
        version=events[-1].version if events else 0,
        last_position=events[-1].position if events else 0,
        state=None,
        folded=False,
        note=note,
        events=tuple(events),
    )
