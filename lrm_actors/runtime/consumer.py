"""The pulling end of the wiring: one actor's place in the log, and what it reads on from there.

Reads the log, and nothing else. Where it stands is stored by the actor, in the transaction of the actor's own events.
"""

from __future__ import annotations

from collections.abc import Sequence

from eventstore.errors import CorruptEvent, UnknownEventType
from eventstore.events import type_of
from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from eventstore.records import Cursor, Instant, Record
from lrm_actors.domain.behavior import MAX_DEPTH, Wire
from lrm_actors.runtime.envelope import Envelope

PAGE = 64
"""Wired events handled in one turn, at most."""


@frozen
class Delivery:
    """One wired event as this consumer gets it."""

    record: Record
    envelopes: tuple[Envelope, ...]
    """Usually one; none when the wiring says it is not for this consumer."""
    problem: BaseException | None = None
    """The wiring's function failed on it."""

    @property
    def too_deep(self) -> bool:
        """So far from the outside that there must be a loop in the wiring."""
        return self.record.depth + 1 > MAX_DEPTH


class Consumer:
    """One actor's reading of the events that are wired to it.

    Args:
        reader: the log.
        name: the actor.
        wires: the rows of the wiring table that name it.
    """

    def __init__(self, reader: EventReader, name: str, wires: Sequence[Wire]) -> None:
        self._reader = reader
        self.name = name
        self._wires: dict[type, list[Wire]] = {}
        for wire in wires:
            self._wires.setdefault(wire.event, []).append(wire)
        self._start_at_end = bool(wires) and all(wire.start == "end" for wire in wires)
        self.types = frozenset(type_of(cls).name for cls in self._wires)
        self.position = 0
        """Everything up to here is dealt with."""
        self.stored = 0
        """Where the log says it stands; behind ``position`` when nothing had to be appended."""
        self.behind = bool(wires)
        """There may be more to read."""
        self._held = False

    def load(self) -> bool:
        """Stand where the log says, or at the start that the wiring gives a new consumer.

        Returns: whether this place is news to the log and must be stored before anything is read: it is an end.
        """
        if not self._wires:
            return False
        stored = self._reader.cursor(self.name)
        self.stored = stored or 0
        new_at_end = stored is None and self._start_at_end
        self.position = self._reader.head if new_at_end else self.stored
        self.release()
        return new_at_end

    def take_place(self) -> Cursor:
        """The cursor to store of the place that ``load`` took."""
        self.stored = self.position
        return Cursor(self.name, self.position)

    def hold(self) -> None:
        """Read nothing on until ``release``: the actor has put the next one off."""
        self._held = True
        self.behind = False

    def look(self) -> None:
        """Read on even though nobody told of news, so that the place moves past what is not wired."""
        self.behind = bool(self._wires) and not self._held

    def release(self) -> None:
        """Read on, if anything is wired."""
        self._held = False
        self.behind = bool(self._wires)

    def read(self, limit: int = PAGE) -> list[Record | Delivery]:
        """The next wired events, oldest first, for ``deliver``. Calls nobody's code."""
        if not self.behind or self._held:
            self.behind = False
            return []
        head = self._reader.head  # before reading, so that it never runs ahead of what the reading saw
        records: list[Record] = []
        try:
            records.extend(self._reader.read(after=self.position, types=self.types, limit=limit, removed="skip"))
        except (CorruptEvent, UnknownEventType) as error:
            # Those before it first; then it is a delivery that fails, and is skipped in the end.
            return [*records] or [_unreadable(error)]
        self.behind = len(records) == limit
        if not records:
            self.position = max(self.position, head)
        return [*records]

    def deliver(self, record: Record | Delivery) -> Delivery:
        """What the wiring makes of an event."""
        if isinstance(record, Delivery):
            return record
        envelopes: list[Envelope] = []
        try:
            for fact in record.events:
                for wire in self._wires.get(type(fact), ()):
                    command = wire.make(fact, record)
                    if command is not None:
                        envelopes.append(
                            Envelope(
                                command,
                                cause=record.position,
                                correlation_id=record.correlation_id,
                                depth=record.depth + 1,
                                wired_at=record.position,
                            )
                        )
        except Exception as error:  # noqa: BLE001 - the table is user code; its error is a failed delivery
            return Delivery(record, (), error)
        return Delivery(record, tuple(envelopes))


def _unreadable(error: CorruptEvent | UnknownEventType) -> Delivery:
    """A wired event that cannot be decoded: all that is known of it is where it is."""
    name = error.type_name if isinstance(error, UnknownEventType) else "unreadable"
    nowhen = Instant(0.0, 0.0, "")
    record = Record(error.position, "", 0, name, 0, (), nowhen, None, None, "", 0, b"")
    return Delivery(record, (), error)
