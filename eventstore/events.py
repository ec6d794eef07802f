"""What an event *is*: a frozen attrs class under a stable stored name and schema version.

This module imports neither SQLite nor threads nor clocks, so that pure code may declare events with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, dataclass_transform

import attrs

from eventstore.errors import DuplicateEventType, NotAnEvent
from eventstore.frozen import frozen

T = TypeVar("T")

Payload: TypeAlias = dict[str, Any]
"""An event's stored form before it becomes a class: the decoded JSON object."""

Upcast: TypeAlias = "Payload | Sequence[tuple[str, Payload] | tuple[str, int, Payload]] | None"
"""What an upcaster returns: one payload of the next version; any number of (type name, version, payload); or None to
drop the event. A pair without a version is at the next version of the same type, or at the current one of another type:
better say the version of another, for it will have later ones.
"""


@frozen
class EventType:
    """The stored identity of an event class."""

    name: str
    """Stable dotted name, ``<category>.<past participle>``. Never a class path."""
    version: int
    """Schema version, 1 or more."""
    cls: type


_EXACT_IN_FLOAT = 2**53
_FLOATS = (float, float | None, "float", "float | None")

_by_class: dict[type, EventType] = {}
_by_name: dict[str, EventType] = {}
_upcasters: dict[tuple[str, int], Callable[[Payload], Upcast]] = {}


@dataclass_transform(frozen_default=True, field_specifiers=(attrs.field,))
def event(name: str, version: int) -> Callable[[type[T]], type[T]]:
    """Declare a class as an event stored under ``name`` with schema ``version``.

    The class becomes ``attrs.frozen`` with ``float_fields`` if it is not an attrs class yet. Declaring the same name
    twice is refused, unless it is the same class declared again (a module that was reloaded). A class has one name and
    one version.

    Raises:
        DuplicateEventType: another class has this name.
        ValueError: the name is not ``category.name``, the version is below 1, or the class is declared otherwise.
    """
    category, dot, rest = name.partition(".")
    if not (category and dot and rest) or version < 1:
        msg = f"event name must be 'category.name' and version at least 1, got {name!r}, {version!r}"
        raise ValueError(msg)

    def declare(cls: type[T]) -> type[T]:
        made = "__attrs_attrs__" in vars(cls)
        declared: type[T] = cls if made else frozen(cls, field_transformer=float_fields)
        known = _by_name.get(name)
        if known is not None and (known.cls.__module__, known.cls.__qualname__) != (cls.__module__, cls.__qualname__):
            raise DuplicateEventType(name, known.cls, cls)
        before = _by_class.get(declared)
        if before is not None and (before.name, before.version) != (name, version):
            msg = f"{cls.__qualname__} is declared as {before.name!r} version {before.version} already"
            raise ValueError(msg)
        kind = EventType(name, version, declared)
        _by_class[declared] = kind
        _by_name[name] = kind
        return declared

    return declare


def float_fields(cls: type, fields: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
    """As ``field_transformer`` of an attrs class: an int that is given for a ``float`` field becomes a float at once.

    Type checkers let it pass for one, and it would come back from the log as one. Fields with a converter keep theirs;
    an integer beyond 2^53, which a float may not hold exactly, stays what it is, and is refused when it is stored.
    """
    return [
        field.evolve(converter=_to_float) if field.type in _FLOATS and field.converter is None else field
        for field in fields
    ]


def _to_float(value: Any) -> Any:
    return float(value) if type(value) is int and -_EXACT_IN_FLOAT <= value <= _EXACT_IN_FLOAT else value


def upcast(name: str, from_version: int) -> Callable[[Callable[[Payload], Upcast]], Callable[[Payload], Upcast]]:
    """Declare how a stored payload of ``name`` at ``from_version`` becomes the next version.

    Upcasters are chained up to the current version and run wherever events are read, tools included. They must be pure,
    and what they return must be storable as it is; the payload they are given is theirs.
    """

    def declare(function: Callable[[Payload], Upcast]) -> Callable[[Payload], Upcast]:
        _upcasters[name, from_version] = function
        return function

    return declare


def type_of(cls: type) -> EventType:
    """The stored identity of an event class.

    Raises:
        NotAnEvent: the class was never declared with ``@event``.
    """
    try:
        return _by_class[cls]
    except KeyError:
        raise NotAnEvent(cls) from None


def name_of(cls: type) -> str:
    """The stored name of an event class."""
    return type_of(cls).name


def find_type(name: str) -> EventType | None:
    """The declared event type of a stored name, or None when this process does not know it."""
    return _by_name.get(name)


def find_upcaster(name: str, version: int) -> Callable[[Payload], Upcast] | None:
    """The upcaster for one stored version, if one was declared."""
    return _upcasters.get((name, version))


def missing_upcasters() -> tuple[tuple[str, int], ...]:
    """The older versions of declared types, as (name, version), whose events could not be read here. Empty is well.

    For a test of whoever declares events: no log needs to be at hand.
    """
    return tuple(
        (kind.name, version)
        for kind in _by_name.values()
        for version in range(1, kind.version)
        if (kind.name, version) not in _upcasters
    )


def declared_types() -> Mapping[str, EventType]:
    """Every event type this process knows, by stored name."""
    return dict(_by_name)


LOCKED = "encrypted, and no key was given"
"""The reason of an ``UnknownEvent`` that nobody without the key can know."""


@frozen
class UnknownEvent:
    """Stands in for an event this process cannot decode, where the reader asked to go on."""

    type: str
    schema_version: int
    payload: Payload
    reason: str
