"""Errors of the tools that break disks on purpose: ES-9001 and on."""

from __future__ import annotations

from eventstore.errors.base import EventStoreError


class FaultsUnsupported(EventStoreError, NotImplementedError):
    """This Python's SQLite cannot be reached, so no faults can be planted below it."""

    code = "ES-9001"
    hint = "use a Python whose sqlite3 module is linked to a shared SQLite library, on Linux or macOS"

    def __init__(self, reason: str) -> None:
        super().__init__(f"faults cannot be planted below this SQLite: {reason}")
        self.reason = reason


class HookFailed(EventStoreError, RuntimeError):
    """A callback below SQLite raised: what SQLite was told in its place was an I/O error."""

    code = "ES-9002"
    hint = "see the cause; what the test found before it is worth nothing"

    def __init__(self, operation: str, error: BaseException) -> None:
        super().__init__(f"the hook of {operation} raised {error!r}")
        self.operation, self.error = operation, error
