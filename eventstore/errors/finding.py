"""Errors of reading: ES-2001 and on."""

from __future__ import annotations

from eventstore.errors.base import EventStoreError


class PositionNotFound(EventStoreError, KeyError):
    """No event has this position."""

    code = "ES-2001"
    hint = "positions run from 'first' to 'head'"

    def __init__(self, position: int, first: int, head: int) -> None:
        super().__init__(f"no event at position {position}: the log holds {first} to {head}")
        self.position, self.first, self.head = position, first, head

    def __str__(self) -> str:
        return str(self.args[0])


class EventsRemoved(EventStoreError, LookupError):
    """Events that retention has removed were asked for."""

    code = "ES-2004"
    hint = (
        "begin with a snapshot of the stream, or look in the archive of what was removed; to go on without them, read"
        " after 'removed'"
    )

    def __init__(self, stream: str | None, after: int, removed: int) -> None:
        what = "positions" if stream is None else f"stream {stream!r}: versions"
        super().__init__(f"{what} up to {removed} are no longer kept, and those after {after} were asked for")
        self.stream, self.after, self.removed = stream, after, removed
        """The stream whose versions the two numbers are; None: they are positions in the log."""
        self.first = removed + 1
        """Where what is still kept begins."""


class AttachmentNotFound(EventStoreError, KeyError):
    """No attachment has this key."""

    code = "ES-2002"
    hint = "list the keys with attachment_keys()"

    def __init__(self, key: str) -> None:
        super().__init__(f"no attachment {key!r}")
        self.key = key

    def __str__(self) -> str:
        return str(self.args[0])


class ReadFailed(EventStoreError, OSError):
    """The storage refused to read."""

    code = "ES-2003"
    hint = "check the disk and the permissions of the log, then read again"

    def __init__(self, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"the log cannot be read: {reason}", hint=hint)
        self.reason = reason
