"""What the log was seen to hold: the model that a system is compared with, whatever happens to it.

Reads the log at rest and remembers it; what was remembered may never be different, or less, later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventstore.codec import decode_state, encode_state
from eventstore.errors import EventRefused, SnapshotUnusable
from eventstore.protocol import EventReader
from eventstore.records import Record
from lrm_actors.domain.behavior import Spec
from lrm_actors.domain.deliveries import DeliverySkipped
from lrm_actors.testing.checks import CheckFailed


class Recorded:
    """Every record that was seen, and every state that follows from them.

    It has ``state``, as a system has, so that the same ``observe`` looks at both.
    """

    def __init__(self, specs: Sequence[Spec[Any]]) -> None:
        self.records: list[Record] = []
        self._specs: dict[str, Spec[Any]] = {}
        self._states: dict[str, list[Any]] = {}
        self._starts: dict[tuple[str, str], int] = {}
        """Where the decision on a command begins, by stream and id."""
        self._causes: dict[tuple[str, int], int] = {}
        """Where what a stream decided on because of another's event begins."""
        self.use(specs)

    def state(self, name: str) -> Any:
        """The state of an actor, folded from what was seen."""
        return self._states[name][-1]

    def states(self, name: str) -> list[Any]:
        """The same at each version."""
        return self._states[name]

    def has(self, command_id: str) -> bool:
        """Whether anything was decided on because of a command."""
        return any(key[1] == command_id for key in self._starts)

    def last_of(self, command_id: str) -> int:
        """Position of the last event that a command led to, 0 where there is none."""
        return max((one.position for one in self.records if one.command_id == command_id), default=0)

    def use(self, specs: Sequence[Spec[Any]]) -> None:
        """Fold everything anew, for the actors of a new life, and compare with what the same functions gave before.

        Raises:
            CheckFailed: ``evolve-differs``.
        """
        before, before_specs = self._states, self._specs
        self._specs = {spec.name: spec for spec in specs}
        self._states = {spec.name: [spec.initial] for spec in specs}
        for record in self.records:
            self._fold(record)
        for name, spec in self._specs.items():
            known = before_specs.get(name)
            if known is None or known.evolve is not spec.evolve:
                continue
            for version, (one, other) in enumerate(zip(before[name], self._states[name], strict=False)):
                if one != other:
                    found = f"version {version} was {one!r} when it was folded first, and is {other!r} now"
                    raise CheckFailed("evolve-differs", name, found)

    def absorb(self, reader: EventReader) -> None:
        """Take in what is new in the log.

        Raises:
            CheckFailed: ``applied-twice`` or ``delivery-skipped``.
        """
        for record in reader.read(after=len(self.records), removed="skip"):
            self.records.append(record)
            self._look_at(record)
            self._fold(record)

    def go_back(self, count: int) -> None:
        """Forget all but the first ``count`` records: the others were lost, and might be."""
        self.records, kept = [], self.records[:count]
        self._starts, self._causes = {}, {}
        for record in kept:
            self.records.append(record)
            self._look_at(record)
        self._states = {name: states[: self._version(name) + 1] for name, states in self._states.items()}

    def compare(self, reader: EventReader, at_least: int) -> int:
        """Compare with a log as the next process finds it. Returns how many of the records are there.

        Args:
            reader: the log.
            at_least: so many must be.

        Raises:
            CheckFailed: ``acknowledged-lost``.
        """
        found = list(reader.read())
        first = reader.first
        for record in found:
            index = record.position - 1
            if index >= len(self.records):
                known: Any = None
            else:
                known = self.records[index]
            if known is None or _as_stored(known) != _as_stored(record):
                text = f"position {record.position} is {record.events!r}, and was {known and known.events!r}"
                raise CheckFailed("acknowledged-lost", record.stream, text)
        there = first - 1 + len(found)
        if there < at_least:
            lost = self.records[there]
            text = f"position {there + 1}, {lost.events!r}, was acknowledged and is gone; {at_least} events were"
            raise CheckFailed("acknowledged-lost", lost.stream, text)
        return there

    def check_actor(self, name: str, state: Any, version: int, reader: EventReader) -> None:
        """Compare an actor with what was seen.

        Raises:
            CheckFailed: ``state-is-not-the-fold``, ``recovery-differs`` or ``state-not-storable``.
        """
        states = self._states[name]
        if version != len(states) - 1 or state != states[-1]:
            found = f"it is at version {version} with {state!r}, its {len(states) - 1} events give {states[-1]!r}"
            raise CheckFailed("state-is-not-the-fold", name, found)
        try:
            encode_state(state)
        except EventRefused as error:
            raise CheckFailed("state-not-storable", name, str(error)) from error
        spec = self._specs[name]
        kept = reader.snapshot(name, schema=spec.state_schema)
        if kept is None:
            return
        try:
            snapshot = decode_state(kept.data, type(spec.initial))
        except SnapshotUnusable:
            return  # recovery leaves it out
        if kept.version >= len(states) or snapshot != states[kept.version]:
            folded = states[kept.version] if kept.version < len(states) else "nothing yet"
            found = f"the snapshot at version {kept.version} is {snapshot!r}, the fold is {folded!r}"
            raise CheckFailed("recovery-differs", name, found)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _version(self, name: str) -> int:
        return max((one.version for one in self.records if one.stream == name), default=0)

    def _fold(self, record: Record) -> None:
        spec = self._specs.get(record.stream)
        if spec is None:
            return
        states = self._states[record.stream]
        state = states[-1]
        for fact in record.events:
            state = spec.evolve(state, fact)
        states.append(state)

    def _look_at(self, record: Record) -> None:
        for fact in record.events:
            if isinstance(fact, DeliverySkipped):
                raise CheckFailed("delivery-skipped", fact.consumer, f"position {fact.position}: {fact.reason}")
        cause = self.records[record.cause - 1] if record.cause and record.cause <= len(self.records) else None
        goes_on = (
            cause is not None and cause.stream == record.stream and cause.command_id == record.command_id is not None
        )
        if goes_on or record.stream not in self._specs:
            return
        if record.command_id is not None:
            before = self._starts.setdefault((record.stream, record.command_id), record.position)
            if before != record.position:
                found = f"command {record.command_id} led to position {before} and again to {record.position}"
                raise CheckFailed("applied-twice", record.stream, found)
        if cause is not None and cause.stream != record.stream and len(cause.events) == 1:
            before = self._causes.setdefault((record.stream, cause.position), record.position)
            if before != record.position:
                found = f"position {cause.position} led to position {before} and again to {record.position}"
                raise CheckFailed("applied-twice", record.stream, found)


def _as_stored(record: Record) -> tuple[Any, ...]:
    return (record.stream, record.version, record.type, record.schema_version, record.data, record.command_id)
