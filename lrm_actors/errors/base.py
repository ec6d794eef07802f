"""What every error of this package has: a stable code, what was wrong as attributes, and what to try."""

from __future__ import annotations

from typing import ClassVar

from eventstore.notes import Notes, Reduced, reduced

MAX_SHOWN = 300
"""Characters of a value that are shown in a message."""


class LrmError(Exception):
    """Base of every error of this package."""

    code: ClassVar[str] = "LRM-0000"
    """Stable code, for documentation and for programs."""
    hint: str = ""
    """What to try, a sentence."""
    __notes__ = Notes()  # the code and the hint, made when somebody looks

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint

    def __reduce__(self) -> Reduced:
        return reduced(self)


def _shown(value: object) -> str:
    """What was given, for the message: strangers' code may fail on that, and a page of it helps nobody."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - somebody else's __repr__
        text = f"(a {type(value).__name__} that cannot be shown)"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
