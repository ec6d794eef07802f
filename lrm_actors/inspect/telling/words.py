"""How a module declares what its events say, and the words that several of them use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

MAX_TEXT = 120
"""Characters of a text that a sentence repeats."""

Teller: TypeAlias = Callable[[Any], str]

TELLERS: dict[str, Teller] = {}
"""What tells an event, by its type."""


def tells(name: str) -> Callable[[Teller], Teller]:
    """Have a function tell the events of a type."""

    def declare(teller: Teller) -> Teller:
        TELLERS[name] = teller
        return teller

    return declare


def says(name: str, text: str) -> None:
    """A sentence whose holes are filled from the event's fields; texts are cut where they are long."""
    TELLERS[name] = lambda event: text.format_map(_Shortened(event))


def child_name(child: str) -> str:
    """``component:browser`` as ``the component browser``."""
    kind, colon, name = child.partition(":")
    return f"the {kind} {name}" if colon else child


def short(text: str, length: int = MAX_TEXT) -> str:
    """A text on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def with_reason(text: str, reason: str) -> str:
    """A sentence, and why, where that is known."""
    return f"{text}: {short(reason)}" if reason else text


class _Shortened(dict[str, Any]):
    """The fields of an event, by name."""

    def __init__(self, event: Any) -> None:
        super().__init__()
        self._event = event

    def __missing__(self, name: str) -> Any:
        value = getattr(self._event, name)
        if name == "child":
            return child_name(value)
        return short(value) if isinstance(value, str) else value
