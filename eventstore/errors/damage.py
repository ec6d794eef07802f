"""Errors of what is not as it was written: ES-5001 and on."""

from __future__ import annotations

from eventstore.errors.base import EventStoreError
from eventstore.errors.opening import OpenError


class CorruptEvent(EventStoreError, ValueError):
    """A stored event is not what was written."""

    code = "ES-5001"
    hint = "run 'lrm verify' to see how far the damage goes"

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"position {position}: {reason}")
        self.position, self.reason = position, reason


class CorruptAttachment(EventStoreError, ValueError):
    """An attachment's bytes are not what was stored."""

    code = "ES-5002"
    hint = "use an older one"

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"attachment {key!r}: {reason}")
        self.key, self.reason = key, reason


class SnapshotUnusable(EventStoreError, ValueError):
    """A snapshot's bytes do not make a state of the class that was asked for."""

    code = "ES-5003"
    hint = "fold the stream from its beginning instead; the log still has the truth"

    def __init__(self, cls: type, reason: str) -> None:
        super().__init__(f"no {cls.__qualname__} in the snapshot: {reason}")
        self.cls, self.reason = cls, reason


class CorruptLog(EventStoreError, ValueError):
    """The file itself is damaged. ``path`` says which, as far as that is known."""

    code = "ES-5004"
    hint = "run 'lrm verify' to see how far the damage goes"

    def __init__(self, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"the log is damaged: {reason}", hint=hint)
        self.reason, self.path = reason, ""

    def in_file(self, path: str) -> CorruptLog:
        """The same error, with the file named."""
        if not self.path:
            self.path = path
            self.args = (f"the log is damaged: {path}: {self.reason}",)
        return self


class TailMissing(OpenError, ValueError):
    """Events that were acknowledged are not in the log any more, or what was stored after the last of them."""

    code = "ES-5005"
    hint = (
        "keep a copy of all its files and salvage it; or restore a backup; to go on without the missing events, open it"
        " with accept_lost_tail=True"
    )

    def __init__(self, path: str, head: int, marked: int) -> None:
        missing = (
            f"{path} ends at position {head}, but position {marked} was acknowledged: its tail is missing"
            if head < marked
            else f"{path} ends at position {head} as it should, but what was acknowledged after that is missing"
        )
        super().__init__(path, missing)
        self.head, self.marked = head, marked
