"""Brings stored payloads of older versions to the current one, by the upcasters that were declared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

from eventstore.errors import CorruptEvent
from eventstore.events import EventType, Payload, find_type, find_upcaster

MAX_UPCASTS = 1000
"""Upcaster calls for one record before it is called corrupt: past it they lead in a circle."""


class Piece(NamedTuple):
    """A payload that no upcaster takes any further."""

    type: str
    version: int
    payload: Payload
    kind: EventType | None
    """Its event type, when this process knows it."""

    @property
    def is_current(self) -> bool:
        """Whether it can be made an event: its type is known, and at this version."""
        return self.kind is not None and self.kind.version == self.version

    @property
    def why_unknown(self) -> str:
        """Why it cannot."""
        if self.kind is None:
            return "no such type is declared here"
        if self.version > self.kind.version:
            return f"this process knows it up to version {self.kind.version}"
        return f"no upcaster from version {self.version} is declared here"


def upcast_pieces(position: int, type_name: str, schema_version: int, payload: Payload) -> Iterator[Piece]:
    """What a stored payload has become by now, in order: none, one or several pieces.

    Raises:
        CorruptEvent: an upcaster failed, returned what is no payload, or they lead in a circle.
    """
    waiting = [(type_name, schema_version, payload)]
    calls = 0
    while waiting:
        name, version, piece = waiting.pop()
        kind = find_type(name)
        upcaster = None if kind is not None and kind.version == version else find_upcaster(name, version)
        if upcaster is None:
            yield Piece(name, version, piece, kind)
            continue
        calls += 1
        if calls > MAX_UPCASTS:
            raise CorruptEvent(position, f"upcasters of {type_name!r} lead in a circle")
        try:
            waiting.extend(reversed(_next(name, version, upcaster(piece))))
        except MemoryError:
            raise
        except Exception as error:
            raise CorruptEvent(position, f"upcaster of {name!r} version {version}: {error!r}") from error


def _next(name: str, version: int, result: object) -> list[tuple[str, int, Payload]]:
    """What an upcaster returned. A piece of another type, given without a version, is at that type's current one."""
    if result is None:
        return []
    if isinstance(result, dict):
        return [(name, version + 1, result)]
    pieces: list[tuple[str, int, Payload]] = []
    for piece in cast("Sequence[object]", result):
        match piece:
            case (str(piece_name), int(piece_version), dict(payload)):
                pieces.append((piece_name, piece_version, payload))
            case (str(piece_name), dict(payload)):
                kind = find_type(piece_name)
                default = version + 1 if piece_name == name or kind is None else kind.version
                pieces.append((piece_name, default, payload))
            case _:
                msg = f"{piece!r:.80} is neither (type name, payload) nor (type name, version, payload)"
                raise TypeError(msg)
    return pieces
