"""Sending dead letters again: by a call on the running system, or at its start when somebody asked while it was down.

Talks to the log and to the mailboxes. Which letters are on their way stands in the log: a letter that was asked for and
has no end yet is. That one was handled is stored by its actor, in one transaction with what it decided.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, Protocol

from eventstore.errors import EventStoreError
from eventstore.protocol import EventStore
from eventstore.records import Batch, NewEvent, StreamWrite
from lrm_actors.domain.behavior import Spec
from lrm_actors.domain.dead_letters import REQUESTED, RESENT, STREAM, Letter, ResendFailed, ResendRequested
from lrm_actors.errors import AskError, DeadLetterNotFound, NotResendable
from lrm_actors.inspect.dead_letters import letters_of
from lrm_actors.runtime.dead_letters import command_of, resend
from lrm_actors.runtime.envelope import Envelope

logger = logging.getLogger(__name__)


class Post(Protocol):
    """The system that letters are sent in."""

    store: EventStore

    def spec(self, name: str) -> Spec[Any] | None:
        """The actor of this name, if there is one."""

    def deliver(self, to: str, envelope: Envelope) -> None:
        """Put a message into an actor's mailbox."""


class Resending:
    """Sends the letters of one system again.

    Args:
        post: the system.
    """

    def __init__(self, post: Post) -> None:
        self._post = post
        self._lock = threading.Lock()

    def resend(self, letter_id: str) -> None:
        """Send one again. That is on record when this returns, and the letter is handled soon.

        Raises:
            DeadLetterNotFound: the log has no letter of this id, or not any more.
            NotResendable: it was handled already, is on its way, or cannot be made into a command.
            ActorStopped, MailboxFull: its actor does not take it now.
        """
        with self._lock:
            letter = letters_of(self._post.store).letters.get(letter_id)
            if letter is None:
                raise DeadLetterNotFound(letter_id)
            if letter.status in {REQUESTED, RESENT}:
                why = "it was handled already" if letter.status == RESENT else "it is on its way"
                raise NotResendable(letter_id, why)
            envelope = self._envelope(letter)
            self._record(ResendRequested(letter_id))
            try:
                self._post.deliver(letter.to, envelope)
            except AskError as error:
                self._record(ResendFailed(letter_id, str(error)))
                raise

    def resend_requested(self) -> None:
        """Send again what was asked for before this process. Never raises: a letter's trouble is not the system's."""
        try:
            with self._lock:
                for letter in letters_of(self._post.store).letters.values():
                    if letter.status == REQUESTED:
                        self._send_or_say_why(letter)
        except EventStoreError:
            logger.exception("dead letters that are to be sent again wait for the next start")

    def _send_or_say_why(self, letter: Letter) -> None:
        try:
            self._post.deliver(letter.to, self._envelope(letter))
        except (NotResendable, AskError) as error:
            logger.warning("dead letter %s cannot be sent again: %s", letter.letter, error)
            self._record(ResendFailed(letter.letter, str(error)))

    def _envelope(self, letter: Letter) -> Envelope:
        spec = self._post.spec(letter.to)
        if spec is None:
            raise NotResendable(letter.letter, f"there is no actor {letter.to}")
        if not letter.can_be_resent:
            raise NotResendable(letter.letter, "it holds what cannot be stored, and only its text is kept")
        try:
            command = command_of(spec, letter.command, letter.body)
        except (LookupError, ValueError) as error:
            raise NotResendable(letter.letter, str(error)) from error
        return resend(Envelope(command), letter.letter)

    def _record(self, event: object) -> None:
        self._post.store.append(Batch(writes=(StreamWrite(STREAM, (NewEvent(event),)),)))
