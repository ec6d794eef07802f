"""What a call site says of its own calls: what counts, what does not, how long one may take, and what stands in for it.

Talks to nobody. These hold functions, so they belong to the code and never stand in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from eventstore.frozen import frozen
from lrm_actors.domain.given import is_number
from lrm_actors.errors import Rejected, SettingsError

logger = logging.getLogger(__name__)

Match = type[BaseException] | Callable[[BaseException], object]
"""A class of errors, or a function that says of an error whether it is meant."""
Matches = Match | Iterable[Match]

FAILURE, NEUTRAL, CANCELLED = "failure", "neutral", "cancelled"


def _some(given: Matches) -> tuple[Match, ...]:
    return _split(given) or ()


def _split(given: Matches | None) -> tuple[Match, ...] | None:
    """One or several. Whatever is a class is a class, whichever metaclass it has, and not a predicate."""
    if given is None:
        return None
    found = tuple(given) if not isinstance(given, type) and isinstance(given, Iterable) else (given,)
    for one in found:
        if not (issubclass(one, BaseException) if isinstance(one, type) else callable(one)):
            raise SettingsError("ignore or count", one, "a class of exceptions, or a function of one")
    return found


@frozen
class CallRules:
    """How the calls of one place are judged. What is no ``Exception`` is neutral, whatever these say.

    Raises:
        SettingsError: ``ignore`` or ``count`` is neither a class of errors nor a function; the timeout is not above 0.
    """

    ignore: tuple[Match, ...] = attrs.field(default=(), converter=_some)
    """The caller's own fault, no sign of the service's health: neutral. By class, or by a function of the error."""
    count: tuple[Match, ...] | None = attrs.field(default=None, converter=_split)
    """If given, only these are failures, and every other error is neutral. ``ignore`` comes first."""
    bad_result: Callable[[Any], object] | None = None
    """Says of a result that it is no answer, as an HTML page with status 200 is none. That call is a failure; its
    caller gets the result all the same. Not for generators."""
    timeout_s: float | None = None
    """Seconds for one call of a coroutine function, or for each item of an asynchronous generator; then it is a failure
    and ``CallTimedOut``. None: as long as it takes. Nothing can end a plain function from outside, so it is refused
    there: give the client inside a timeout."""
    fallback: Callable[[BaseException], Any] | None = None
    """Stands in for the call that raised one of ``fallback_on``: gets the error, gives the result. Its own errors are
    no failures of the service. Not for generators."""
    fallback_on: tuple[type[BaseException], ...] = (Rejected,)
    plain: bool = attrs.field(init=False, default=True, repr=False)
    """Whether nothing is to be done around a call but judging its errors."""

    def __attrs_post_init__(self) -> None:
        """Refuse what could only go wrong later."""
        if self.timeout_s is not None and not (is_number(self.timeout_s) and self.timeout_s > 0.0):
            raise SettingsError("timeout_s", self.timeout_s, "a finite number of seconds above 0, or None")
        for name in ("bad_result", "fallback"):
            if (function := getattr(self, name)) is not None and not callable(function):
                raise SettingsError(name, function, "a function, and not what it gives")
        plain = self.bad_result is None and self.timeout_s is None and self.fallback is None
        object.__setattr__(self, "plain", plain)

    def judge(self, error: BaseException) -> str:
        """``failure``, ``neutral``, or ``cancelled``."""
        if isinstance(error, asyncio.CancelledError):
            return CANCELLED
        # A rejection by a guard further in says nothing about this service.
        if not isinstance(error, Exception) or isinstance(error, Rejected) or _any(self.ignore, error):
            return NEUTRAL
        return FAILURE if self.count is None or _any(self.count, error) else NEUTRAL

    def is_bad(self, result: Any) -> bool:
        """Whether a result is no answer. A function that fails to say so has no objection."""
        if self.bad_result is None:
            return False
        try:
            return bool(self.bad_result(result))
        except Exception:
            logger.exception("bad_result failed on a %s", type(result).__name__)
            return False


def _any(matches: tuple[Match, ...], error: BaseException) -> bool:
    for one in matches:
        if isinstance(one, type):
            if isinstance(error, one):
                return True
            continue
        try:
            if one(error):
                return True
        except Exception:
            logger.exception("a predicate failed on a %s", type(error).__name__)
    return False
