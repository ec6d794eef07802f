"""Making letters of messages that nobody will handle, storing them, and making messages of letters again.

Talks to the store. A letter names a command by its type's name alone; which class that is says the actor's own code.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from eventstore.codec import decode_state, encode_state
from eventstore.errors import AppendFailed, BadRequest, EventRefused, NotAnEvent, OutcomeUnknown
from eventstore.protocol import EventStore
from eventstore.records import Batch, NewEvent, StreamWrite
from lrm_actors.domain.behavior import Command, Spec
from lrm_actors.domain.dead_letters import STREAM, DeadLetterAdded, DeadLettersDropped
from lrm_actors.runtime.actor import MESSAGE_LIMIT, describe
from lrm_actors.runtime.envelope import Envelope
from lrm_actors.runtime.machine import here

logger = logging.getLogger(__name__)

UNSTORABLE = (EventRefused, NotAnEvent, BadRequest)
"""What the store says of a value and not of itself: nothing was stored, and to try the same again is no use."""
WAITING_MAX = 1_000
"""Letters that may wait to be stored, and that are made within ``WINDOW_S``; past it they are only counted. No more are
ever listed: a mailbox that drops what it has no room for would fill the log with them, and push all else out of it."""
WINDOW_S = 10.0
"""Seconds after which as many letters may be made again, and the number of the others is stored."""
BODY_MAX = 64 * 1024
"""Bytes of a command that are kept; a larger one is shown, and cannot be sent again."""


class Resend(Envelope, eq=False):
    """A letter on its way to its actor once more. What the actor decides on it is stored with the letter's end."""

    letter: str = ""


def resend(envelope: Envelope, letter: str) -> Resend:
    """The same message as a letter on its way, with the failures that it had so far."""
    return Resend(
        envelope.message,
        command_id=f"letter-{letter}",
        given_id=True,
        cause=envelope.cause,
        correlation_id=envelope.correlation_id,
        depth=envelope.depth,
        attempts=envelope.attempts,
        letter=letter,
    )


def commands_of(spec: Spec[Any]) -> Mapping[str, type[Command]]:
    """The commands that an actor's letters may be made into, by the names that letters have for them."""
    if spec.commands:
        return {cls.__name__: cls for cls in spec.commands}
    decide: Any = spec.decide
    while isinstance(decide, functools.partial):
        decide = decide.func
    module = sys.modules.get(getattr(decide, "__module__", ""))
    known = vars(module).values() if module is not None else ()
    return {
        cls.__name__: cls
        for cls in known
        if isinstance(cls, type) and issubclass(cls, Command) and "__attrs_attrs__" in vars(cls)
    }


def letter_of(
    spec: Spec[Any],
    envelope: Envelope,
    reason: str,
    *,
    new_id: Callable[[], str],
    error: str = "",
    text: str = "",
) -> DeadLetterAdded:
    """A message as a letter. Never raises, whatever the message is."""
    command = envelope.message
    return DeadLetterAdded(
        letter=envelope.letter if isinstance(envelope, Resend) else new_id(),
        to=spec.name,
        command=type(command).__name__,
        reason=reason,
        error=error,
        message=text,
        attempts=envelope.attempts,
        body=_body(spec, command),
        shown=_shown(command),
        command_id=envelope.command_id or "",
        caused_by=envelope.cause,
        depth=envelope.depth,
    )


def bare(letter: DeadLetterAdded) -> DeadLetterAdded:
    """The same letter without anything that its sender chose, which is then shown and no more."""
    return DeadLetterAdded(
        letter.letter,
        letter.to,
        letter.command,
        letter.reason,
        letter.error,
        letter.message,
        letter.attempts,
        body="",
        shown=letter.shown,
    )


def command_of(spec: Spec[Any], name: str, body: str) -> Command:
    """The command of a letter.

    Raises:
        LookupError: the actor has no command of this name.
        ValueError: it is none any more.
    """
    cls = commands_of(spec).get(name)
    if cls is None:
        msg = f"{spec.name} knows no command {name}"
        raise LookupError(msg)
    return decode_state(body.encode(), cls)


def _body(spec: Spec[Any], command: Any) -> str:
    if commands_of(spec).get(type(command).__name__) is not type(command):
        return ""
    try:
        data = encode_state(command)
        same = decode_state(data, type(command)) == command
        return data.decode() if same and len(data) <= BODY_MAX else ""
    except Exception as error:  # noqa: BLE001 - it holds what cannot be stored: a function, an open file
        logger.debug("a %s cannot be kept to be sent again: %s", type(command).__name__, describe(error))
        return ""


def _shown(command: Any) -> str:
    try:
        text = repr(command)
    except BaseException:  # noqa: BLE001 - whatever its __repr__ does
        text = f"<{type(command).__name__}: its __repr__ failed>"
    return text.encode("utf-8", "replace").decode().replace("\0", "�")[:MESSAGE_LIMIT]


class DeadLetterOffice:
    """Takes what closed mailboxes still held, and stores it: soon, or when the log can be written, or at stop.

    Args:
        store: the log.
        new_id: makes a letter's id.
        monotonic: tells the time, in seconds.
        soon: has a function called on some other thread; drops it when the system ends, which stores what is left.
    """

    def __init__(
        self,
        store: EventStore,
        new_id: Callable[[], str],
        monotonic: Callable[[], float],
        soon: Callable[[Callable[[], object]], object],
    ) -> None:
        self._store = store
        self._monotonic = monotonic
        self._window_s = monotonic()
        self._made = 0
        """Letters since then."""
        self._soon = soon
        self._asked = False
        self._new_id = new_id
        self._waiting: deque[DeadLetterAdded] = deque()
        self._dropped: Counter[tuple[str, str]] = Counter()
        self._storing = threading.Lock()
        self.lost = 0
        """Messages that are in no letter: too many at once, or for too long."""

    @property
    def pending(self) -> bool:
        """Whether there is something to store."""
        return bool(self._waiting or self._dropped or self._storing.locked())

    def take(self, spec: Spec[Any], envelope: Envelope, because: str) -> None:
        """Nobody will handle this message. Quick; never raises."""
        now_s = self._monotonic()
        again = now_s - self._window_s >= WINDOW_S
        if again:
            self._window_s, self._made = now_s, 0
        if self._made >= WAITING_MAX or len(self._waiting) >= WAITING_MAX:
            self._dropped[spec.name, because] += 1
            self.lost += 1
            if not again:  # their number is stored with the next letters, or when the system stops
                return
        else:
            self._made += 1
            self._waiting.append(letter_of(spec, envelope, because, new_id=self._new_id))
        if not self._asked:
            self._asked = True
            self._soon(self.store)

    def store_within(self, patience_s: float) -> None:
        """The same, waiting no longer than this: the storage may hang, and the process must be able to end."""
        if not self.pending:
            return
        done = here().flag()

        def store() -> None:
            self.store()
            done.set()

        try:
            here().start(store, "lrm-dead-letters")
        except RuntimeError as error:  # no thread to be had
            logger.error("dead letters are not stored: %s", error)  # noqa: TRY400 - there is nothing to trace
        else:
            done.wait(patience_s)

    def store(self) -> None:
        """Append what was taken. Never raises: it waits for a log that cannot be written, or is lost."""
        with self._storing:
            self._asked = False
            letters = [self._waiting.popleft() for _ in range(len(self._waiting))]
            dropped = [self._dropped.popitem() for _ in range(len(self._dropped))]
            counts = [NewEvent(DeadLettersDropped(to, count, reason)) for (to, reason), count in dropped]
            if not letters and not counts:
                return
            try:
                try:
                    self._append([*(NewEvent(letter, cause=letter.caused_by) for letter in letters), *counts])
                except UNSTORABLE:  # as its senders had it, one of them cannot be stored
                    self._append([*(NewEvent(bare(letter)) for letter in letters), *counts])
            except (AppendFailed, OutcomeUnknown) as error:
                self._keep(letters, dropped)
                logger.warning("%d dead letters wait until the log can be written: %s", len(letters), error)
            except Exception:
                self.lost += len(letters)
                logger.exception("%d dead letters could not be stored", len(letters))

    def _keep(self, letters: list[DeadLetterAdded], dropped: list[tuple[tuple[str, str], int]]) -> None:
        """Until the next try, as many as may wait. One that was stored after all is the same letter once more."""
        room = max(0, WAITING_MAX - len(self._waiting))
        self._waiting.extendleft(reversed(letters[:room]))
        self.lost += len(letters[room:])
        self._dropped.update(Counter((letter.to, letter.reason) for letter in letters[room:]))
        self._dropped.update(dict(dropped))

    def _append(self, events: list[NewEvent]) -> None:
        self._store.append(Batch(writes=(StreamWrite(STREAM, tuple(events)),)))
