"""What a service said of when to come back: Retry-After in seconds, in milliseconds, or as a date.

Talks to nobody. Errors are looked at by their attributes alone, so no client library is imported. Source: RFC 9110,
section 10.2.3; ``retry-after-ms`` is what the clients of large language models send and obey.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

CAUSES = 8
"""How far a chain of causes is followed: libraries wrap each other's errors."""


def retry_after_s(error: BaseException, wall_s: Callable[[], float] | None = None) -> float | None:
    """Seconds that the service wants to be left alone for, at least 0; None when it does not say, or says nonsense.

    A date is compared with the response's own ``Date``, so that neither clock has to be right, and with ``wall_s``, in
    seconds since the Unix epoch, only where that is missing.
    """
    seen: BaseException | None = error
    for _ in range(CAUSES):
        if seen is None:
            return None
        for holder in (_attribute(seen, "response"), seen):
            headers = _attribute(holder, "headers")
            found = None if headers is None else of_headers(headers, wall_s)
            if found is not None:
                return found
        found = _number(_attribute(seen, "retry_after_s"))
        if found is None:
            found = _number(_attribute(seen, "retry_after"))
        if found is not None:
            return found
        seen = seen.__cause__
    return None


def of_headers(headers: Any, wall_s: Callable[[], float] | None = None) -> float | None:
    """What the headers of one answer say, as ``retry_after_s``."""
    milliseconds = _number(_header(headers, "retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000.0
    text = _header(headers, "retry-after")
    seconds = _number(text)
    if seconds is not None or not isinstance(text, str):
        return seconds
    then_s = _date_s(text)
    if then_s is None:
        return None
    now_s = _date_s(_header(headers, "date"))
    if now_s is None and wall_s is not None:
        now_s = wall_s()
    return None if now_s is None else max(0.0, then_s - now_s)


def _header(headers: Any, name: str) -> Any:
    """A header, whether its mapping minds upper and lower case or not."""
    with contextlib.suppress(Exception):
        for spelling in (name, name.title(), name.upper()):
            value = headers.get(spelling)
            if value is not None:
                return value
    return None


def _date_s(text: object) -> float | None:
    if not isinstance(text, str):
        return None
    from email.utils import parsedate_to_datetime  # heavy, and few services give a date

    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return max(0.0, number) if math.isfinite(number) else None


def _attribute(holder: object, name: str) -> Any:
    """An attribute of somebody else's error, whose properties may raise."""
    try:
        return getattr(holder, name, None)
    except Exception:  # noqa: BLE001 - it does not say then
        return None
