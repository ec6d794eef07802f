"""A schedule: which of those who could go on does. By a seed, by a function, by a test's data, or as it was before.

A schedule is written down as text, a digit for each choice. 0 is whoever goes on from what just happened: who sent
something and need not wait, then who got it. So zeros alone are one thing after the other, and any other digit is where
somebody came in between. After the last digit it is always 0. Where only one could go on there is no choice, and no
digit.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

Choose: TypeAlias = Callable[[int], int]
"""Given how many could go on, at least 2, says which does: 0 to one less."""


class Choices:
    """Makes the choices of one run, and writes them down.

    Args:
        choose: makes them.
    """

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self.made: list[int] = []
        self.options: list[int] = []
        """Of how many each was made."""
        self.suspended = False
        """While it is true, nothing is chosen: it is always 0, and not written down."""

    def choose(self, options: int) -> int:
        """The next choice."""
        if self.suspended:
            return 0
        choice = self._choose(options)
        if not 0 <= choice < options:
            msg = f"a schedule chose {choice!r}, of {options}: it must be 0 to {options - 1}"
            raise ValueError(msg)
        self.made.append(choice)
        self.options.append(options)
        return choice

    @property
    def text(self) -> str:
        """The choices so far, to replay them."""
        return written(self.made)


def written(choices: Sequence[int]) -> str:
    """Choices as text, without the zeros at the end."""
    end = len(choices)
    while end and not choices[end - 1]:
        end -= 1
    return "".join(DIGITS[one] if one < len(DIGITS) else f"({one})" for one in choices[:end])


def read(text: str) -> list[int]:
    """Choices from their text.

    Raises:
        ValueError: it is none.
    """
    choices = []
    rest = text.strip()
    while rest:
        if rest[0] == "(":
            number, closed, rest = rest[1:].partition(")")
            if not closed or not number.isascii() or not number.isdigit():
                msg = f"{text!r} is no schedule: a choice stands open"
                raise ValueError(msg)
            choices.append(int(number))
        elif rest[0] in DIGITS:
            choices.append(DIGITS.index(rest[0]))
            rest = rest[1:]
        else:
            msg = f"{text!r} is no schedule: {rest[0]!r} is no choice"
            raise ValueError(msg)
    return choices


def by_seed(seed: int | str) -> Choose:
    """Every choice by chance."""
    pick = random.Random(seed).random  # noqa: S311 - to be the same again is what it is for
    return lambda options: int(pick() * options)


def as_before(choices: Sequence[int]) -> Choose:
    """These choices, then always the first. One that is beyond what there is to choose from wraps around."""
    left = iter(choices)
    return lambda options: next(left, 0) % options


def choose_by(source: Any) -> Choose:
    """What somebody gave as ``choose``: text, numbers, a function, or the ``data`` of hypothesis.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(source, str):
        return as_before(read(source))
    if isinstance(source, Sequence):
        return as_before(source)
    draw = getattr(source, "draw", None)
    if draw is not None:
        return _drawn(draw)
    if callable(source):
        return cast("Choose", source)
    msg = f"a schedule is text, numbers, a function or the data of hypothesis, and {source!r} is none of these"
    raise TypeError(msg)


def _drawn(draw: Callable[..., Any]) -> Choose:
    from hypothesis import strategies as st

    return lambda options: int(draw(st.integers(0, options - 1), label=f"who of {options}"))
