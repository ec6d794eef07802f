"""Errors of appending: ES-3001 and on."""

from __future__ import annotations

from eventstore.errors.base import EventStoreError


class WrongVersion(EventStoreError):
    """The stream is not where the writer thought it was."""

    code = "ES-3001"
    hint = "read the stream again and decide anew"

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(f"stream {stream!r} is at version {actual}, expected {expected}")
        self.stream, self.expected, self.actual = stream, expected, actual


class Fenced(EventStoreError):
    """Somebody newer owns this stream or this log."""

    code = "ES-3002"
    hint = "stop writing; the newer owner goes on"

    def __init__(self, what: str, epoch: int, current: int) -> None:
        if epoch:
            super().__init__(f"{what} belongs to epoch {current}, not {epoch}")
        else:
            hint = "give the epoch that acquire returned; who was never granted one leaves the stream alone"
            super().__init__(f"{what} was acquired, at epoch {current}, and no epoch was given", hint=hint)
        self.what, self.epoch, self.current = what, epoch, current


class AppendFailed(EventStoreError, OSError):
    """The storage refused, and certainly nothing was stored."""

    code = "ES-3003"
    hint = "check the disk, then append again"

    def __init__(self, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"append failed, nothing was stored: {reason}", hint=hint)
        self.reason = reason


class StorageFull(AppendFailed):
    """There is no space left; nothing was stored."""

    code = "ES-3004"
    hint = "free space on the disk of the log; appends resume by themselves"


class OutcomeUnknown(EventStoreError, OSError):
    """The commit failed half-way: it may or may not be stored until ``settle`` succeeds."""

    code = "ES-3005"
    hint = "call settle() until it succeeds, then look whether it is there"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the outcome of an append is unknown: {reason}")
        self.reason = reason


def is_full(error: BaseException | None) -> bool:
    """Whether storage failed because there is no space left; a commit that failed half-way says so only in words."""
    return isinstance(error, StorageFull) or (isinstance(error, OutcomeUnknown) and "disk is full" in error.reason)


class IdempotencyConflict(EventStoreError, ValueError):
    """A batch came with the idempotency key of another, different one."""

    code = "ES-3007"
    hint = "use a fresh key for each batch, and send a retry exactly as it was"

    def __init__(self, key: str) -> None:
        super().__init__(f"another batch is stored under the idempotency key {key!r}")
        self.key = key


class BadRequest(EventStoreError, ValueError):
    """An argument of an append, or of opening a log, makes no sense; nothing was stored."""

    code = "ES-3006"
    hint = (
        "names are non-empty text without NUL; versions and positions are not negative; a cause is the position of an"
        " event before its effect"
    )

    def __init__(self, field: str, value: object, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"{field} = {value!r}: {reason}", hint=hint)
        self.field, self.value, self.reason = field, value, reason
