"""Taking an actor from a handler that hangs: what becomes of the messages in its hand, and the number of zombies.

Talks to the hung shell's hand, to the mailbox and to the store; the system starts the successor. The zombie is never
restarted: when its handler returns, its thread finds that it is abandoned and ends, and whatever it decided is void.
"""

from __future__ import annotations

import traceback
from typing import Any, Protocol

from eventstore.frozen import frozen
from eventstore.records import Record
from lrm_actors.domain.dead_letters import DeadLetterAdded
from lrm_actors.domain.watching import HUNG
from lrm_actors.errors import HandlerFailed
from lrm_actors.runtime.consumer import Delivery
from lrm_actors.runtime.dead_letters import letter_of
from lrm_actors.runtime.frames import stack_of
from lrm_actors.runtime.shell import Shell

STACK_LINES = 40
STACK_LIMIT = 4_000
"""Characters of a stack that are kept: its end, where the handler is."""


@frozen
class Stay:
    """A shell's stay inside pure code, as it was seen at one moment."""

    shell: Shell
    entry: int
    handling: str
    command_id: str
    elapsed_s: float
    stack: traceback.StackSummary | None
    caused_by: int | None = None
    correlation_id: str = ""


class Successors(Protocol):
    """Who can start one."""

    def succeed(self, zombie: Shell, letter: DeadLetterAdded | None, *, at_once: bool) -> None:
        """Start a successor on the zombie's mailbox.

        Args:
            zombie: whose.
            letter: to be stored before the first message.
            at_once: else it waits to be restarted by whoever decides on failures.
        """

    def new_id(self) -> str:
        """A fresh id."""


def look_at(shell: Shell, entry: int, elapsed_s: float) -> Stay:
    """What a shell has in hand, and where it is in its code."""
    hand = shell.hand
    envelope, delivery = hand.message(), hand.delivery
    if envelope is not None:
        handling, command_id = type(envelope.message).__name__, envelope.command_id or ""
        cause, correlation = envelope.cause, envelope.correlation_id or command_id
    elif delivery is not None:
        record: Record = delivery.record if isinstance(delivery, Delivery) else delivery
        handling, command_id, cause, correlation = record.type, "", record.position or None, record.correlation_id
    else:
        handling, command_id, cause, correlation = "recover", "", None, ""
    stack = stack_of(hand.thread_id, STACK_LINES, lines=False)  # they are read when it is told
    return Stay(shell, entry, handling, command_id, elapsed_s, stack, cause, correlation)


def told(stack: traceback.StackSummary | None) -> str:
    """A stack in words, innermost call last; empty for none."""
    lines = [] if stack is None else reversed(stack.format())
    return "".join(lines).encode("utf-8", "replace").decode()[-STACK_LIMIT:]


def take_over(stay: Stay, successors: Successors) -> int | None:
    """Give an actor to a successor, unless it has come out of the handler meanwhile.

    The message that hung counts as failed once more: who asked for it hears so at once, what was told is tried again
    by the successor until it has failed as often as one message may, and is then put aside. The rest of the turn in
    hand, of which nothing was stored, is done again.

    Returns: how often the message in hand has failed by now; None when nothing was taken over.
    """
    shell = stay.shell
    hand, mailbox = shell.hand, shell.mailbox
    envelope, delivery = hand.message(), hand.delivery
    if not hand.abandon(stay.entry):
        return None
    shell.retire()
    if hand.message() is not envelope or hand.delivery is not delivery:
        # It has come out of that message just now: too late, but the message is not to blame.
        envelope = delivery = None
    attempts, letter = 1, None
    again: list[Any] = list(mailbox.in_hand)
    mailbox.in_hand = []
    if envelope is not None:
        attempts = envelope.attempts = envelope.attempts + 1
        if envelope.reply_to is not None:
            text = f"it did not return within {stay.elapsed_s:.1f} s"
            envelope.reply_to.fail(
                HandlerFailed(shell.spec.name, stay.handling, "HandlerHung", text, envelope.command_id or "")
            )
            again.remove(envelope)
        elif attempts >= shell.spec.quarantine_after:
            letter = letter_of(shell.spec, envelope, HUNG, new_id=successors.new_id, error="HandlerHung")
            again.remove(envelope)
    elif delivery is not None:
        attempts = shell.hung_on(delivery)
    mailbox.put_back(again)
    successors.succeed(shell, letter, at_once=hand.turn is not None)
    return attempts
