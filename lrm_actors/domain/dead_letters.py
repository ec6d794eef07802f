"""Dead letters: messages that nobody handled, kept on record so that somebody can look at them and send them again.

Nobody acquires their stream: whoever puts a message aside appends to it, in one transaction with the proof that it
still owns the actor. No actor folds it; who lists letters does.
"""

from __future__ import annotations

import attrs

from eventstore.events import event

STREAM = "dead-letters"
MAX_KEPT = 1_000
"""Letters that a fold remembers. Those sent again go first, then the oldest."""

KEPT, REQUESTED, RESENT = "kept", "requested", "resent"


@attrs.frozen
class Letter:
    """One message that nobody handled, and what became of it."""

    letter: str
    to: str
    command: str
    reason: str
    error: str = ""
    message: str = ""
    attempts: int = 0
    body: str = ""
    shown: str = ""
    status: str = KEPT
    """``kept``; ``requested``: to be sent again; ``resent``: its actor has handled it after all."""
    problem: str = ""
    """Why it could not be sent again when that was asked for."""

    @property
    def can_be_resent(self) -> bool:
        """Whether its actor can be given the same command again."""
        return bool(self.body)


@attrs.frozen
class DeadLetters:
    """The letters, oldest first."""

    letters: dict[str, Letter] = attrs.field(factory=dict)
    dropped: int = 0
    """Messages that were lost for good: too many at once, or the log could not be written."""


# Events


@event("dead_letters.added", 1)
class DeadLetterAdded:
    """A message that nobody handled was put aside. The same letter once more: it was sent again, and failed again."""

    letter: str
    """Its id."""
    to: str
    """The actor it was for."""
    command: str
    """Name of its type."""
    reason: str
    error: str
    """Class name of what it failed with; empty when it was not tried."""
    message: str
    attempts: int
    body: str
    """The command as JSON; empty when it cannot be made into the same command again."""
    shown: str
    """The command for people, shortened."""
    command_id: str = ""
    caused_by: int | None = None
    depth: int = 0


@event("dead_letters.dropped", 1)
class DeadLettersDropped:
    """More messages died at once than are kept; so many are not."""

    to: str
    count: int
    reason: str


@event("dead_letters.resend_requested", 1)
class ResendRequested:
    """Somebody wants a letter to be sent again."""

    letter: str


@event("dead_letters.resent", 1)
class Resent:
    """Its actor has handled it: stored in one transaction with what it decided."""

    letter: str


@event("dead_letters.resend_failed", 1)
class ResendFailed:
    """It cannot be sent again."""

    letter: str
    problem: str


def evolve(state: DeadLetters, event: object) -> DeadLetters:
    """The letters after one more event."""
    match event:
        case DeadLetterAdded():
            kept = Letter(
                letter=event.letter,
                to=event.to,
                command=event.command,
                reason=event.reason,
                error=event.error,
                message=event.message,
                attempts=event.attempts,
                body=event.body,
                shown=event.shown,
            )
            return attrs.evolve(state, letters=_bounded({**state.letters, event.letter: kept}))
        case DeadLettersDropped(count=count):
            return attrs.evolve(state, dropped=state.dropped + count)
        case ResendRequested(letter):
            return _with(state, letter, REQUESTED)
        case Resent(letter):
            return _with(state, letter, RESENT)
        case ResendFailed(letter, problem):
            return _with(state, letter, KEPT, problem)
    return state


def _with(state: DeadLetters, letter: str, status: str, problem: str = "") -> DeadLetters:
    before = state.letters.get(letter)
    if before is None or before.status == RESENT:  # handled is handled: nothing asks for it twice
        return state
    after = attrs.evolve(before, status=status, problem=problem)
    return attrs.evolve(state, letters={**state.letters, letter: after})


def _bounded(letters: dict[str, Letter]) -> dict[str, Letter]:
    if len(letters) <= MAX_KEPT:
        return letters
    goes = next((name for name, letter in letters.items() if letter.status == RESENT), next(iter(letters)))
    return {name: letter for name, letter in letters.items() if name != goes}
