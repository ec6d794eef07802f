"""What every error of this package has: a stable code, what was wrong as attributes, and what to try."""

from __future__ import annotations

from typing import ClassVar

from eventstore.notes import Notes, Reduced, reduced


class EventStoreError(Exception):
    """Base of every error of this package."""

    code: ClassVar[str] = "ES-0000"
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
