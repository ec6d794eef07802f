"""What a store is asked for, checked before it looks: positions, names, times and functions of the right kind."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from eventstore.errors import BadRequest

OnRemoved: TypeAlias = Literal["raise", "skip"]
"""What reading does where events that it would have given were removed: raise ``EventsRemoved``, or go on behind."""


def check_whole(field: str, number: object) -> None:
    """A position, a version or a count, however large or small.

    Raises:
        BadRequest: it is no whole number.
    """
    if type(number) is not int and (not isinstance(number, int) or isinstance(number, bool)):
        raise BadRequest(field, number, f"it must be a whole number, and is a {_kind(number)}", hint="give an int")


def check_range(after: object, up_to: object, removed: object = "skip") -> None:
    """Where reading begins, where it ends, and what it does about what was removed.

    Raises:
        BadRequest: one of them is not of its kind.
    """
    check_whole("after", after)
    if up_to is not None:
        check_whole("up_to", up_to)
    if removed not in ("raise", "skip"):
        raise BadRequest("removed", removed, "it is 'raise' or 'skip'", hint="leave it out, or give one of them")


def check_text(field: str, text: object) -> None:
    """A name that is looked for. One that nothing can have is found nowhere.

    Raises:
        BadRequest: it is no text.
    """
    if not isinstance(text, str):
        raise BadRequest(field, text, f"it must be text, and is a {_kind(text)}", hint="give a str")


def check_seconds(field: str, seconds: object, *, least: float = -math.inf, most: float = math.inf) -> None:
    """A time or a duration.

    Raises:
        BadRequest: it is no number, or not in its range.
    """
    number: Any = seconds if isinstance(seconds, int | float) and not isinstance(seconds, bool) else math.nan
    if not least <= number <= most:
        within = "" if least == -math.inf else f" from {least:g} to {most:g}"
        raise BadRequest(field, seconds, f"it must be a number{within}", hint="give seconds, as an int or a float")


def check_callable(field: str, function: object, given: str) -> None:
    """A function, of which it is said what it is ``given``.

    Raises:
        BadRequest: it cannot be called.
    """
    if not callable(function):
        hint = f"give a function of {given}"
        raise BadRequest(field, function, f"it must be a function, and is a {_kind(function)}", hint=hint)


def check_tail(after: object, poll_s: object, stop: Callable[[], bool] | None, removed: object) -> None:
    """The arguments of a tail.

    Raises:
        BadRequest: one of them is not of its kind.
    """
    check_range(after, None, removed)
    check_seconds("poll_s", poll_s, least=0.0, most=threading.TIMEOUT_MAX)
    if stop is not None:
        check_callable("stop", stop, "nothing")


def _kind(value: object) -> str:
    return type(value).__name__
