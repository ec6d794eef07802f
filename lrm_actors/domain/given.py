"""What a host hands over, looked at before an actor is handed it. Talks to nobody.

An actor that failed on it would be restarted, and given up in the end, for what is the host's mistake.
"""

from __future__ import annotations

import math
from typing import TypeGuard

from lrm_actors.errors import SettingsError

MOST_STATUS = 2**32
"""An exit status is below, on any system."""


def plain_text(field: str, value: object) -> str:
    """A text as a plain ``str``: what is more, as a member of an enumeration, would come back as something else.

    Lone surrogates are left to whoever stores it.

    Raises:
        SettingsError: it is no text.
    """
    if not isinstance(value, str):
        raise SettingsError(field, value, "a text")
    return str.__str__(value)


def storable_text(field: str, value: object) -> str:
    """The same, of a text that can be stored.

    Raises:
        SettingsError: it is no text, or has lone surrogates.
    """
    text = plain_text(field, value)
    if not is_encodable(text):
        raise SettingsError(field, value, "a text without lone surrogates")
    return text


def is_text(value: object) -> TypeGuard[str]:
    """Whether it is a text: what may not even have a hash cannot be looked up."""
    return isinstance(value, str)


def is_encodable(text: str) -> bool:
    """Whether a text has no lone surrogates, which no JSON can hold."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number, and no truth value; one that is not finite is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number, and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_exit_status(value: object) -> TypeGuard[int]:
    """Whether a process can have ended with it: a whole number; below zero where a signal ended it."""
    return is_whole(value) and abs(value) < MOST_STATUS
