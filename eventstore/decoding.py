"""Rows to records, with what is the same for all rows of one reading looked up once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from eventstore.codec import OnUnknown, decode_events, decoder_of
from eventstore.encryption import Unsealer, is_sealed
from eventstore.errors import CorruptEvent, CorruptLog, KeyRequired
from eventstore.events import LOCKED, UnknownEvent
from eventstore.records import Instant, Record

Names: TypeAlias = Callable[[str, int], dict[int, str]]
"""Reads what stands after an id in one of the tables ``streams``, ``types`` and ``boots``: names by id."""


class NameTables:
    """The names behind the file's ids. Ids never change once committed, so names are remembered."""

    def __init__(self, read: Names) -> None:
        self._read = read
        self.forget()

    def forget(self) -> None:
        """After an unknown outcome: what was read before it was settled may not be what holds."""
        self.streams: dict[int, str] = {}
        self.types: dict[int, str] = {}
        self.boots: dict[int, str] = {}
        self._last = {"streams": 0, "types": 0, "boots": 0}

    def refresh(self) -> None:
        """Take in names that are new. Ids grow, so that what is known need not be read again."""
        for table, names in (("streams", self.streams), ("types", self.types), ("boots", self.boots)):
            new = self._read(table, self._last[table])
            names.update(new)
            self._last[table] = max(new, default=self._last[table])


class Decoding:
    """One reading of a log: its types' decoders are looked up once, and not again until the next reading.

    Args:
        names: of this log.
        unknown: what to do with events of types that are not known here, or encrypted with a key that is not.
        unsealer: opens what is encrypted.
    """

    def __init__(self, names: NameTables, unknown: OnUnknown, unsealer: Unsealer) -> None:
        self._names = names
        self._unknown: OnUnknown = unknown
        self._unsealer = unsealer
        self.opens = unsealer.given
        """Whether rows must be opened before they are decoded. Where nothing is, nothing is asked of an event."""
        self.direct: dict[tuple[int, int], Callable[[bytes], object] | None] = {}
        """By type id and schema version: the decoder of a type at its current version; None for all others."""

    def records(self, rows: Iterable[Any]) -> Iterator[Record]:
        """Records of rows of the events table, without their hashes."""
        if self.opens:
            rows = self._opened(rows)
        names, direct = self._names, self.direct
        streams, types, boots = names.streams, names.types, names.boots
        for row in rows:
            (
                position, stream_id, version, type_id, schema_version, wall_us, monotonic_us, boot_id,
                cause, command_id, correlation_id, depth, data,
            ) = row  # fmt: skip
            decode = direct.get((type_id, schema_version))
            try:
                events = (decode(data),) if decode is not None else self.decode(position, type_id, schema_version, data)
                record = Record(
                    position,
                    streams[stream_id],
                    version,
                    types[type_id],
                    schema_version,
                    events,
                    Instant(wall_us / 1e6, monotonic_us / 1e6, boots[boot_id]),
                    cause,
                    command_id,
                    correlation_id,
                    depth,
                    data,
                )
            except Exception:  # noqa: BLE001 - whatever it was, the long way gives it its typed error
                record = self._carefully(row)
            yield record

    def decode(self, position: int, type_id: int, schema_version: int, data: bytes) -> tuple[object, ...]:
        """The events of one row, the long way.

        Raises:
            UnknownEventType, CorruptEvent: it cannot be decoded.
            KeyRequired: it is encrypted.
            CorruptLog: its type has no name.
        """
        name = self._name("types", type_id)
        if not self.opens and is_sealed(data) and self._unsealer.locked:
            raise KeyRequired(str(self._unsealer.log))
        key = type_id, schema_version
        if key not in self.direct:
            self.direct[key] = decoder_of(name, schema_version)
        return decode_events(position, name, schema_version, data, self._unknown)

    def opened(self, position: int, stream: str, type_id: int, schema_version: int, data: bytes) -> bytes:
        """The JSON of one row, where rows must be opened.

        Raises:
            CorruptEvent: it is not what was encrypted.
            CorruptLog: its type has no name.
        """
        name = self._names.types.get(type_id) or self._name("types", type_id)
        return self._unsealer.event(position, stream, name, schema_version, data)

    def _opened(self, rows: Iterable[Any]) -> Iterator[Any]:
        for row in rows:
            stream = self._names.streams.get(row[1]) or self._name("streams", row[1])
            yield (*row[:12], self.opened(row[0], stream, row[3], row[4], row[12]))

    def _carefully(self, row: Sequence[Any]) -> Record:
        """A row that met an error on the short way: a name not known yet, no key, or damage."""
        position, stream_id, version, type_id, schema_version, wall_us, monotonic_us, boot_id = row[:8]
        cause, command_id, correlation_id, depth, data = row[8:]
        try:
            events = self.decode(position, type_id, schema_version, data)
        except KeyRequired:
            if self._unknown == "raise":
                raise
            events, data = (UnknownEvent(self._name("types", type_id), schema_version, {}, LOCKED),), b"{}"
        try:
            recorded_at = Instant(wall_us / 1e6, monotonic_us / 1e6, self._name("boots", boot_id))
        except TypeError as error:
            raise CorruptEvent(position, f"its time: {error}") from error
        stream, type_name = self._name("streams", stream_id), self._name("types", type_id)
        return Record(
            position,
            stream,
            version,
            type_name,
            schema_version,
            events,
            recorded_at,
            cause,
            command_id,
            correlation_id,
            depth,
            data,
        )

    def _name(self, table: str, number: int) -> str:
        names: dict[int, str] = getattr(self._names, table)
        if number not in names:
            self._names.refresh()
        try:
            return names[number]
        except (KeyError, TypeError):
            raise CorruptLog(f"no row {number} in {table}") from None
