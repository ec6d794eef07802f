"""What a client does behind a guard: how often it tries on its own, and how long one hung call therefore takes.

Talks to nobody. A client is looked at by its attributes, ``max_retries`` and ``timeout``, so none is imported.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from typing import Any

from eventstore.frozen import frozen
from lrm_actors.actors.retry import Retry

LIMIT_S = 600.0
"""Seconds past which a hung call is warned of: until it ends, a guard around it has seen nothing."""


class HangsLong(UserWarning):
    """One hung call would take longer than it may, before any guard around it sees a failure."""


@frozen
class Effective:
    """What one call of a client can come to."""

    attempts: int
    """Requests that it may make, the client's own retries and those around it among them."""
    timeout_s: float
    """Of one request; ``inf`` when there is none."""
    worst_s: float
    """``attempts`` times ``timeout_s``; the waits between them come on top."""
    text: str
    """The same in words, and what to change if it is too long."""
    too_long: bool


def explain(client: Any, *, retry: Retry | None = None, limit_s: float = LIMIT_S) -> Effective:
    """Say how long one call of a client can hang, and warn when that is too long.

    Args:
        client: anything with ``max_retries`` and ``timeout``, a number of seconds, None, or an object with ``read`` or
            ``total``, as of the clients of large language models.
        retry: what retries around it, if anything does.
        limit_s: seconds past which it warns with ``HangsLong``.
    """
    own = _whole(_attribute(client, "max_retries")) + 1
    around = 1 if retry is None else retry.attempts
    attempts = own * around
    timeout_s = _timeout_s(_attribute(client, "timeout", missing=None))
    worst_s = attempts * timeout_s
    tries = f"{own} tries" if around == 1 else f"{around} x {own} tries"
    each = "without a timeout" if math.isinf(timeout_s) else f"of {timeout_s:g} s"
    text = f"{type(client).__name__}: {tries} {each}: a hung call takes {_duration(worst_s)}"
    too_long = worst_s > limit_s
    if too_long:
        fix = "max_retries=0 and a shorter timeout" if retry is not None or own > 1 else "a shorter timeout"
        text += f", more than {_duration(limit_s)}; give it {fix}, and let the guard and its retries do the rest"
        warnings.warn(text, HangsLong, stacklevel=2)
    return Effective(attempts, timeout_s, worst_s, text, too_long)


def _timeout_s(timeout: Any) -> float:
    if timeout is None:
        return math.inf
    if isinstance(timeout, int | float) and not isinstance(timeout, bool):
        return float(timeout)
    for name in ("read", "total"):
        part = _attribute(timeout, name, missing=timeout)
        if part is not timeout:
            return _timeout_s(part)
    return math.inf


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _attribute(holder: Any, name: str, missing: Any = 0) -> Any:
    with contextlib.suppress(Exception):
        return getattr(holder, name, missing)
    return missing


def _duration(seconds: float) -> str:
    if math.isinf(seconds):
        return "for ever"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:g} s"
