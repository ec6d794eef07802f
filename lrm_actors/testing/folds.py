"""A log against the actors that read it: recovery gives the fold of the events, from every snapshot that is kept."""

from __future__ import annotations

import contextlib
from typing import Any

from eventstore.codec import decode_state
from eventstore.errors import SnapshotUnusable
from eventstore.protocol import EventReader
from lrm_actors.domain.behavior import Spec
from lrm_actors.runtime.recovery import recover_state
from lrm_actors.testing.checks import CheckFailed


def fold_all(reader: EventReader, spec: Spec[Any]) -> tuple[int, list[Any]]:
    """The state at each version that can be folded: the first such version, and the states from there on.

    Where retention has removed the beginning of the stream, that is the version of the oldest snapshot after it.
    """
    records = list(reader.read_stream(spec.name))
    first = records[0].version if records else reader.version(spec.name) + 1
    if first == 1:
        states, start = [spec.initial], 0
    else:
        oldest = oldest_snapshot(reader, spec, first - 1)
        if oldest is None:
            return 0, []
        start = oldest[0]
        states = [oldest[1]]
    for record in records:
        if record.version <= start:
            continue
        state = states[-1]
        for fact in record.events:
            state = spec.evolve(state, fact)
        states.append(state)
    return start, states


def snapshots(reader: EventReader, spec: Spec[Any]) -> list[tuple[int, Any]]:
    """Version and state of each snapshot that recovery could use, newest first.

    Raises:
        CheckFailed: ``recovery-differs`` when the store gives a later one than was asked for.
    """
    found: list[tuple[int, Any]] = []
    version = reader.version(spec.name)
    while version >= 0 and (kept := reader.snapshot(spec.name, schema=spec.state_schema, up_to=version)) is not None:
        if kept.version > version:  # and again, and again, if the next one is asked for
            wrong = f"asked for a snapshot of version {version} at most, the store gives that of version {kept.version}"
            raise CheckFailed("recovery-differs", spec.name, wrong)
        with contextlib.suppress(SnapshotUnusable):  # recovery leaves it out too
            found.append((kept.version, decode_state(kept.data, type(spec.initial))))
        version = kept.version - 1
    return found


def oldest_snapshot(reader: EventReader, spec: Spec[Any], at_least: int) -> tuple[int, Any] | None:
    """The oldest snapshot of ``at_least`` this version."""
    usable = [one for one in snapshots(reader, spec) if one[0] >= at_least]
    return usable[-1] if usable else None


def check_actor(reader: EventReader, spec: Spec[Any]) -> tuple[int, list[Any]]:
    """Check one actor's part of a log. Returns what ``fold_all`` does.

    Raises:
        CheckFailed: ``recovery-differs`` when recovery, or any snapshot, says otherwise than the events.
    """
    start, states = fold_all(reader, spec)
    if not states:
        return start, states
    last = start + len(states) - 1
    for version, state in snapshots(reader, spec):
        if start <= version <= last and states[version - start] != state:
            found = f"the snapshot at version {version} is {state!r}, the fold is {states[version - start]!r}"
            raise CheckFailed("recovery-differs", spec.name, found)
    recovered, version = recover_state(reader, spec)
    if (recovered, version) != (states[-1], last):
        found = f"recovered {recovered!r} at version {version}, the fold of {last} events is {states[-1]!r}"
        raise CheckFailed("recovery-differs", spec.name, found)
    return start, states


def check_log(reader: EventReader, *specs: Spec[Any]) -> int:
    """Check today's actors against a log, for instance one that an earlier release of yours wrote.

    Every event is folded from the beginning, and compared with what recovery and each kept snapshot say. No effect
    runs, and the log is only read.

    Returns:
        How many states were compared with one another.

    Raises:
        CheckFailed: ``recovery-differs``.
        UnknownEventType, CorruptEvent: an event cannot be read.
    """
    return sum(len(check_actor(reader, spec)[1]) for spec in specs)
