"""Errors of declaring events and of encoding them: ES-1001 and on."""

from __future__ import annotations

from eventstore.errors.base import EventStoreError


class NotAnEvent(EventStoreError, TypeError):
    """A class was used as an event without being declared as one."""

    code = "ES-1001"
    hint = "declare the class with @event('category.name', 1)"

    def __init__(self, cls: type) -> None:
        super().__init__(f"{cls.__qualname__} is not declared as an event")
        self.cls = cls


class DuplicateEventType(EventStoreError, ValueError):
    """Two classes claim one stored name."""

    code = "ES-1002"
    hint = "give one of the classes another name; stored names must stay unique"

    def __init__(self, name: str, first: type, second: type) -> None:
        super().__init__(f"event name {name!r} is claimed by {first.__qualname__} and {second.__qualname__}")
        self.name, self.first, self.second = name, first, second


class EventRefused(EventStoreError, ValueError):
    """An event's value would not come back from the log as it went in."""

    code = "ES-1003"
    hint = "use only str, bool, int within 64 bits, finite float, None, and lists, dicts and attrs classes of them"

    def __init__(self, type_name: str, field: str, reason: str) -> None:
        super().__init__(f"event {type_name!r} cannot be stored: field {field!r}: {reason}")
        self.type_name, self.field, self.reason = type_name, field, reason


class UnknownEventType(EventStoreError, LookupError):
    """The log holds an event of a type or a later version that this process does not know."""

    code = "ES-1004"
    hint = "import the module that declares it, or upgrade; tools can read on with placeholders"

    def __init__(self, position: int, type_name: str, schema_version: int) -> None:
        super().__init__(f"position {position}: event {type_name!r} version {schema_version} is not known here")
        self.position, self.type_name, self.schema_version = position, type_name, schema_version


class EventCountError(EventStoreError, ValueError):
    """One event was asked of a record that became none or several."""

    code = "ES-1005"
    hint = "iterate over record.events"

    def __init__(self, position: int, type_name: str, count: int) -> None:
        super().__init__(f"position {position}: {type_name!r} was upcast to {count} events")
        self.position, self.type_name, self.count = position, type_name, count
