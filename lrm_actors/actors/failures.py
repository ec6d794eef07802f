"""What a failed call is called in a report: short, its kind first, and told from names and plain attributes alone."""

from __future__ import annotations

from typing import Any

CAUSES = 4
"""How far down the causes of an error a timeout is looked for."""
NAME_LENGTH = 80
"""Characters of a class name that go into a report."""


def describe_failure(error: BaseException) -> str:
    """A failure in a few words: ``timeout: ReadTimeout``, ``status 500: ServerError``, ``ConnectError``."""
    name = type(error).__name__[:NAME_LENGTH]
    if _is_timeout(error):
        return f"timeout: {name}"
    status = _status(error)
    return name if status is None else f"status {status}: {name}"


def _is_timeout(error: BaseException) -> bool:
    """Whether it is a timeout by name, or was raised from one: libraries wrap each other's errors."""
    cause: object = error
    for _ in range(CAUSES):
        if not isinstance(cause, BaseException):
            return False
        if "Timeout" in type(cause).__name__:
            return True
        cause = cause.__cause__ or _attribute(cause, "reason")
    return False


def _status(error: BaseException) -> int | None:
    """An HTTP status, wherever the library at hand keeps it."""
    response = _attribute(error, "response")
    for holder, name in ((error, "status_code"), (error, "status"), (response, "status_code"), (response, "status")):
        status = _attribute(holder, name)
        if isinstance(status, int) and 100 <= status < 600:
            return status
    return None


def _attribute(holder: object, name: str) -> Any:
    """An attribute of somebody else's error, whose properties may raise."""
    try:
        return getattr(holder, name, None)
    except Exception:  # noqa: BLE001 - it is described without it then
        return None
