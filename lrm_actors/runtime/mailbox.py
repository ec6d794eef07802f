"""An actor's mailbox: bounded, with a control lane ahead of it, and outliving whoever reads it.

Nothing put into it is lost in silence: it is handled, or the sender hears of it.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterable
from queue import Empty
from typing import Any

from lrm_actors.errors import ActorStopped, MailboxFull
from lrm_actors.runtime.machine import Queue, here
from lrm_actors.runtime.reply import Reply


class Envelope:
    """A command on its way, with where it came from. ``message`` and ``reply_to`` are pykka's names."""

    __slots__ = ("cause", "command_id", "correlation_id", "depth", "given_id", "message", "reply_to", "wired_at")

    def __init__(
        self,
        message: Any,
        reply_to: Reply | None = None,
        *,
        command_id: str | None = None,
        cause: int | None = None,
        correlation_id: str | None = None,
        depth: int = 0,
        wired_at: int | None = None,
    ) -> None:
        self.message = message
        self.reply_to = reply_to
        self.command_id = command_id
        self.given_id = command_id is not None
        """The sender chose the id, so this may be a retry."""
        self.cause = cause
        self.correlation_id = correlation_id
        self.depth = depth
        self.wired_at = wired_at
        """Position of the wired event it was made from."""


class Wake:
    """Put into the mailbox to make its reader look at the control lane or at the log."""


WAKE = Wake()


class Mailbox:
    """Messages for one actor.

    Args:
        owner: the actor's name, for errors.
        capacity: messages that may wait; one more is refused.
    """

    def __init__(self, owner: str = "", capacity: int = 10_000) -> None:
        self.owner = owner
        self.capacity = capacity
        self.backlog: deque[Any] = deque()
        """Taken out once and to be handled again before anything else: the rest of a turn that failed."""
        self.in_hand: list[Envelope] = []
        """The turn that is being decided and is not in the log yet."""
        self.dead_letters = 0
        """Told messages that nobody will handle."""
        machine = here()
        self._ordinary: Queue = machine.queue()
        self._control: Queue = machine.queue()
        self._woken = False
        self._closed_because: str | None = None
        self._deserted = False
        """Nobody reads any more: what comes in is drained at once."""
        self._draining = threading.Lock()

    # --- senders ------------------------------------------------------------------------------------------------

    def put(self, envelope: Any) -> None:
        """Add a message (this is also pykka's inbox interface).

        Raises:
            MailboxFull: it holds ``capacity`` messages.
            ActorStopped: it was closed.
        """
        if self._closed_because is not None:
            raise ActorStopped(f"{self.owner}: {self._closed_because}", actor=self.owner)
        if self._ordinary.qsize() + len(self.backlog) >= self.capacity:
            raise MailboxFull(f"{self.owner} has {self.capacity} messages waiting", actor=self.owner)
        self.put_anyway(envelope)

    def put_anyway(self, envelope: Any) -> None:
        """Add a message that must not be refused for want of room: a timer's, an effect's result."""
        self._ordinary.put(envelope)
        self._drain_if_deserted()

    def command(self, control: Any) -> None:
        """Add to the control lane, which goes ahead of every message and is never refused."""
        self._control.put(control)
        self._ordinary.put(WAKE)

    def wake(self) -> None:
        """Make the reader look at the log; many calls before it looks are one."""
        if not self._woken:
            self._woken = True
            self._ordinary.put(WAKE)

    # --- the reader ---------------------------------------------------------------------------------------------

    def get(self) -> Any:
        """The next message or ``WAKE``; waits for one."""
        first = self._put_back_before()
        return first if first is not None else self._ordinary.get()

    def get_more(self) -> Any | None:
        """The next message if there is one, without waiting."""
        first = self._put_back_before()
        if first is not None:
            return first
        if not self._ordinary.qsize():
            return None
        try:
            return self._ordinary.get_nowait()
        except Empty:
            return None

    def _put_back_before(self) -> Any | None:
        # Who closes the mailbox empties it too, so what was there a moment ago may be gone.
        try:
            return self.backlog.popleft() if self.backlog else None
        except IndexError:
            return None

    def next_command(self) -> Any | None:
        """The next control message if there is one."""
        if not self._control.qsize():
            return None
        try:
            return self._control.get_nowait()
        except Empty:
            return None

    def wait_command(self) -> Any:
        """The next control message; waits for one, while ordinary messages keep waiting."""
        return self._control.get()

    def take_wake(self) -> bool:
        """Whether ``wake`` was called since the last time this was asked."""
        if not self._woken:
            return False
        self._woken = False  # before the log is read, so that a commit after that reading wakes again
        return True

    def put_back(self, envelopes: Iterable[Any]) -> None:
        """Have these handled again, in this order, before everything else."""
        self.backlog.extendleft(reversed(list(envelopes)))
        self._drain_if_deserted()

    def drop_first(self, envelope: Any) -> None:
        """Take the first of what was put back out again, unless it went when the mailbox was closed."""
        with contextlib.suppress(IndexError, ValueError):
            self.backlog.remove(envelope)

    def empty(self) -> bool:
        """Whether no message waits (pykka's inbox interface)."""
        return not self.backlog and self._ordinary.empty()

    def depth(self) -> int:
        """How many messages wait, wake-ups included."""
        return self._ordinary.qsize() + len(self.backlog)

    def fail_waiting_asks(self, error: Exception) -> None:
        """End the asks that wait, with an error, and keep what was told."""
        kept: list[Any] = []
        while (envelope := self.get_more()) is not None:
            reply = getattr(envelope, "reply_to", None)
            if reply is not None:
                reply.fail(error)
            elif envelope is not WAKE:
                kept.append(envelope)
        self.backlog.extend(kept)
        self._drain_if_deserted()

    # --- the end ------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether new messages are refused."""
        return self._closed_because is not None

    def close(self, because: str) -> None:
        """Refuse everything from now on, and end the asks that wait."""
        self._closed_because = self._closed_because or because
        self._deserted = True
        self._drain()

    def refuse_new(self, because: str) -> None:
        """Refuse new messages; those that wait stay for the reader."""
        self._closed_because = because

    def _drain_if_deserted(self) -> None:
        # Closing drains after it has set the flag, so that drain or this check sees the message, never neither.
        if self._deserted:
            self._drain()

    def _drain(self) -> None:
        with self._draining:
            while (envelope := self.get_more()) is not None:
                reply = getattr(envelope, "reply_to", None)
                if reply is not None:
                    reply.fail(ActorStopped(f"{self.owner}: {self._closed_because}", actor=self.owner))
                elif envelope is not WAKE:
                    self.dead_letters += 1
        if self._control.qsize():
            self._ordinary.put(WAKE)  # one for the reader may have been among them
