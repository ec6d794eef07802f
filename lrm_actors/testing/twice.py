"""Pure code run twice: it reaches nothing outside, changes no argument, and comes to the same. Talks to nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from lrm_actors.runtime.turn import deciding
from lrm_actors.testing.checks import CheckFailed
from lrm_actors.testing.purity import check_outside, outside_of, watched

T = TypeVar("T")


def twice(
    name: str,
    what: str,
    function: Callable[..., T],
    first: tuple[Any, ...],
    second: tuple[Any, ...],
) -> T:
    """Run pure code of an actor on equal arguments, which share nothing, twice; give what it came to.

    Args:
        name: of the actor.
        what: ``decide`` or ``evolve``.
        function: the code.
        first: arguments of the first run: a state, and what the run is about.
        second: those of the second.

    Raises:
        CheckFailed: it reaches outside, changes its state, or comes to something else the second time.
    """
    before, outside = repr(first[0]), outside_of(function)
    error: Exception | None = None
    with watched(f"{what}-reaches-outside", name), deciding():
        try:
            value = function(*first)
        except Exception as raised:  # noqa: BLE001 - compared with the second run, then raised
            error = raised
    check_outside(outside, function, name)
    if repr(first[0]) != before:
        raise CheckFailed("argument-changed", name, f"{what} changed the state from {before} to {first[0]!r}")
    about = first[1]
    try:
        with deciding():
            other = function(*second)
    except Exception as raised:
        if error is not None and type(raised) is type(error):
            raise error from None
        raise CheckFailed(f"{what}-differs", name, f"of {about!r}, the second run raised {raised!r}") from raised
    if error is not None:
        raise CheckFailed(f"{what}-differs", name, f"of {about!r}, the first run raised {error!r}") from error
    if other != value:
        found = f"of {about!r}, the first run gave {value!r}, the second {other!r}"
        raise CheckFailed(f"{what}-differs", name, found)
    return value
