"""Errors of backups, exports, imports and archives: ES-7001 and on."""

from __future__ import annotations

from eventstore.errors.base import EventStoreError


class ExportDamaged(EventStoreError, ValueError):
    """An export or an archive is not what was written."""

    code = "ES-7001"
    hint = "use another copy; nothing was imported"

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line, self.reason = line, reason


class CopyFailed(EventStoreError, OSError):
    """A backup, an export, an import or an archive could not be written. Nothing is left of it, nothing was removed."""

    code = "ES-7002"
    hint = "see that there is space and that the directory may be written, then try again"

    def __init__(self, path: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"{path} could not be written: {reason}", hint=hint)
        self.path, self.reason = path, reason
