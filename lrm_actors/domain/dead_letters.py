"""Dead letters: messages that nobody handled, kept on record so that somebody can look at them and send them again.

Nobody acquires their stream: whoever puts a message aside appends to it, in one transaction with the proof that it
still owns the actor. No actor folds it; who lists letters does.
"""

from __future__ import annotations

import heapq
import itertools

import attrs

from eventstore.events import event
from eventstore.frozen import frozen

STREAM = "dead-letters"
MAX_KEPT = 1_000
"""Letters that a fold remembers. Those sent again go first, then the oldest."""

KEPT, REQUESTED, RESENT = "kept", "requested", "resent"


@frozen
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


@frozen
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
    """The letters after one more event. For many events see ``Gathered``."""
    return Gathered(state).add(event).done()


class Gathered:
    """The letters while a whole log is read: one short step for each event, however many letters there are.

    Args:
        before: what was known already.
    """

    def __init__(self, before: DeadLetters | None = None) -> None:
        known = DeadLetters() if before is None else before
        self._letters = dict(known.letters)
        self._dropped = known.dropped
        self._numbers = itertools.count()
        self._order = {name: next(self._numbers) for name in self._letters}
        """Where each letter stands among all."""
        self._resent = [(self._order[name], name) for name, one in self._letters.items() if one.status == RESENT]
        """A heap of those that were sent again, the oldest letter first, and of some that failed once more since."""

    def add(self, event: object) -> Gathered:
        """One more event."""
        match event:
            case DeadLetterAdded():
                self._keep(event)
            case DeadLettersDropped(count=count):
                self._dropped += count
            case ResendRequested(letter):
                self._change(letter, REQUESTED)
            case Resent(letter):
                self._change(letter, RESENT)
            case ResendFailed(letter, problem):
                self._change(letter, KEPT, problem)
        return self

    def done(self) -> DeadLetters:
        """What they are now."""
        return DeadLetters(self._letters, self._dropped)

    def _keep(self, event: DeadLetterAdded) -> None:
        name = event.letter
        self._letters[name] = Letter(
            letter=name,
            to=event.to,
            command=event.command,
            reason=event.reason,
            error=event.error,
            message=event.message,
            attempts=event.attempts,
            body=event.body,
            shown=event.shown,
        )
        if name not in self._order:
            self._order[name] = next(self._numbers)
        if len(self._letters) > MAX_KEPT:
            goes = self._first_resent() or next(iter(self._letters))
            del self._letters[goes], self._order[goes]

    def _first_resent(self) -> str | None:
        while self._resent:
            number, name = heapq.heappop(self._resent)
            if self._order.get(name) == number and self._letters[name].status == RESENT:
                return name
        return None

    def _change(self, name: str, status: str, problem: str = "") -> None:
        before = self._letters.get(name)
        if before is None or before.status == RESENT:  # handled is handled: nothing asks for it twice
            return
        self._letters[name] = attrs.evolve(before, status=status, problem=problem)
        if status == RESENT:
            heapq.heappush(self._resent, (self._order[name], name))
