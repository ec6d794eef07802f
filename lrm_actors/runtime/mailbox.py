"""An actor's mailbox: bounded, with a control lane ahead of it, and outliving whoever reads it.

Nothing put into it is lost in silence: it is handled, or the sender hears of it, or it is a dead letter. This one
refuses what finds no room; ``overflow`` has those that make room or wait for it.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from queue import Empty
from typing import Any

from lrm_actors.errors import ActorStopped, MailboxFull, StashFull
from lrm_actors.runtime.clock import monotonic_s
from lrm_actors.runtime.control import Stop
from lrm_actors.runtime.envelope import Envelope
from lrm_actors.runtime.machine import Queue, here

logger = logging.getLogger(__name__)

DeadLetter = Callable[[Envelope, str], object]
"""Takes a told message that nobody will handle, and why."""


class Wake:
    """Put into the mailbox to make its reader look at the control lane or at the log."""


WAKE = Wake()


class Mailbox:
    """Messages for one actor.

    Args:
        owner: the actor's name, for errors.
        capacity: messages that may wait; one more is refused. Each thread that sends at the same moment may add one.
        stash_capacity: messages that the actor may keep for later.
        monotonic: tells ages, in seconds.
    """

    def __init__(
        self,
        owner: str = "",
        capacity: int = 10_000,
        *,
        stash_capacity: int = 1_000,
        monotonic: Callable[[], float] = monotonic_s,
    ) -> None:
        self.owner = owner
        self.capacity = capacity
        self.stash_capacity = stash_capacity
        self.backlog: deque[Any] = deque()
        """Taken out once and to be handled again before anything else: the rest of a turn that failed."""
        self.in_hand: list[Envelope] = []
        """The turn that is being decided and is not in the log yet."""
        self.stashed: deque[Envelope] = deque()
        """What the actor put off; it outlives restarts of the actor, and ends with the process."""
        self.dead_letters = 0
        """Told messages that nobody will handle."""
        self.dropped = 0
        """Messages that made room for newer ones."""
        self.on_dead_letter: DeadLetter | None = None
        """Called with each of them, on whichever thread it happens."""
        machine = here()
        self._ordinary: Queue = machine.queue()
        self._control: Queue = machine.queue()
        self._woken = False
        self._closed_because: str | None = None
        self._deserted = False
        """Nobody reads any more: what comes in is drained at once."""
        self._unheard = False
        """Nobody obeys any more: commands are answered at once."""
        self._draining = threading.Lock()
        self._monotonic = monotonic
        # Ages cost nothing per message. What waits arrived after ``_since_s``: a moment at which the queue was empty,
        # or one, ``_mark_s``, whose every message has been taken out since: ``_before_mark`` are left of those.
        self._since_s = self._mark_s = self._hand_since_s = self._backlog_since_s = monotonic()
        self._before_mark = 0

    # --- senders ------------------------------------------------------------------------------------------------

    def put(self, envelope: Any, within_s: float = math.inf) -> None:
        """Add a message (this is also pykka's inbox interface).

        Args:
            envelope: the message.
            within_s: seconds that the sender would wait for room, where the mailbox lets senders wait at all.

        Raises:
            MailboxFull: it holds ``capacity`` messages.
            ActorStopped: it was closed.
        """
        if self._closed_because is not None:
            raise self.stopped()
        waiting = self._ordinary.qsize()
        if waiting + len(self.backlog) >= self.capacity:
            raise self.full()
        if not waiting:
            self._since_s = self._monotonic()
        self._ordinary.put(envelope)
        if self._deserted:
            self._drain()

    def put_anyway(self, envelope: Any) -> None:
        """Add a message that must not be refused for want of room: a timer's, an effect's result."""
        self._put_now(envelope)
        self._drain_if_deserted()

    def command(self, control: Any) -> None:
        """Add to the control lane, which goes ahead of every message and is never refused."""
        self._control.put(control)
        self._put_now(WAKE)
        if self._unheard:
            self.end_commands()

    def wake(self) -> None:
        """Make the reader look at the log; many calls before it looks are one."""
        if not self._woken:
            self._woken = True
            self._put_now(WAKE)

    def _put_now(self, item: Any) -> None:
        if not self._ordinary.qsize():
            self._since_s = self._monotonic()
        self._ordinary.put(item)

    def full(self) -> MailboxFull:
        """The error for a sender who finds no room."""
        return MailboxFull(f"{self.owner} has {self.capacity} messages waiting", actor=self.owner)

    def stopped(self) -> ActorStopped:
        """The error for a sender who comes too late."""
        return ActorStopped(f"{self.owner}: {self._closed_because}", actor=self.owner)

    # --- the reader ---------------------------------------------------------------------------------------------

    def take(self, limit: int) -> list[Any]:
        """The next messages and wake-ups, up to ``limit`` and at least one; waits for it."""
        ordinary = self._ordinary
        if self.backlog and (taken := self._take_put_back(limit)):
            put_back = len(taken)
        else:
            put_back = 0
            self._hand_since_s = self._since_s
            idle = not ordinary.qsize()
            taken = [ordinary.get()]
            if idle:
                self._hand_since_s = self._since_s  # when this one came: nothing had waited before
        more = min(ordinary.qsize(), limit - len(taken))
        if more > 0:
            get_nowait = ordinary.get_nowait
            try:
                for _ in range(more):
                    taken.append(get_nowait())
            except Empty:  # who closes the mailbox empties it too
                pass
        self._before_mark -= len(taken) - put_back
        if self._before_mark <= 0:
            self._mark()
        return taken

    def _take_put_back(self, limit: int) -> list[Any]:
        self._hand_since_s = self._backlog_since_s
        taken: list[Any] = []
        while self.backlog and len(taken) < limit:
            first = self._put_back_before()
            if first is not None:
                taken.append(first)
        return taken

    def get(self) -> Any:
        """The next message or ``WAKE``; waits for one."""
        return self.take(1)[0]

    def get_more(self) -> Any | None:
        """The next message if there is one, without waiting."""
        first = self._put_back_before()
        if first is not None:
            return first
        if not self._ordinary.qsize():
            return None
        try:
            item = self._ordinary.get_nowait()
        except Empty:
            return None
        self._before_mark -= 1
        if self._before_mark <= 0:
            self._mark()
        return item

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
        again = list(envelopes)
        if again:
            self._note_backlog()
            self.backlog.extendleft(reversed(again))
        self._drain_if_deserted()

    def put_off(self, last: Any) -> None:
        """Have this handled after what was put back: the end of a turn that took too long."""
        self._note_backlog()
        self.backlog.append(last)
        self._drain_if_deserted()

    def drop_first(self, envelope: Any) -> bool:
        """Take the first of what was put back out again; False when it went when the mailbox was closed."""
        try:
            self.backlog.remove(envelope)
        except (IndexError, ValueError):
            return False
        return True

    def fail_waiting_asks(self, error: Exception) -> None:
        """End the asks that wait, stashed ones too, with an error, and keep what was told."""
        self._fail_waiting(error)
        with self._draining:  # whoever closes the mailbox takes from the stash too
            for _ in range(len(self.stashed)):
                if not fail(self.stashed[0], error):
                    self.stashed.append(self.stashed[0])
                self.stashed.popleft()
        self._drain_if_deserted()

    def _fail_waiting(self, error: Exception) -> None:
        kept: list[Any] = []
        while (item := self.get_more()) is not None:
            if not fail(item, error) and item is not WAKE:
                kept.append(item)
        if self._woken:
            self._put_now(WAKE)  # it may have been among them, and nobody puts another before it is taken
        if kept:
            self._note_backlog()
        self.backlog.extend(kept)

    # --- the stash ----------------------------------------------------------------------------------------------

    def stash(self, envelope: Envelope) -> None:
        """Keep a message that the actor put off; past ``stash_capacity`` it ends with ``StashFull``, or is dead."""
        if len(self.stashed) < self.stash_capacity:
            self.stashed.append(envelope)
            self._drain_if_deserted()
            return
        about = f"{self.owner} keeps {self.stash_capacity} commands for later"
        if not fail(envelope, StashFull(about, actor=self.owner)):
            self.bury(envelope, "the stash is full")

    def unstash(self) -> None:
        """Have everything that was stashed handled next, in the order in which it was stashed."""
        kept: list[Envelope] = []
        while (envelope := self._stashed_first()) is not None:
            kept.append(envelope)
        self.put_back(kept)

    # --- looking ------------------------------------------------------------------------------------------------

    def empty(self) -> bool:
        """Whether no message waits (pykka's inbox interface)."""
        return not self.backlog and self._ordinary.empty()

    def depth(self) -> int:
        """How many messages wait, wake-ups included and stashed ones not."""
        return self._ordinary.qsize() + len(self.backlog)

    def oldest_age_s(self) -> float:
        """Seconds that the oldest waiting message has waited, at most; 0 when none waits.

        It may say too much, by no longer than a message took to get through the queue last.
        """
        if not self.depth():
            return 0.0
        return max(0.0, self._monotonic() - (self._backlog_since_s if self.backlog else self._since_s))

    def _mark(self) -> None:
        self._since_s = max(self._since_s, self._mark_s)
        self._mark_s = self._monotonic()
        self._before_mark = self._ordinary.qsize()  # after the mark, so that nothing from before it is missed

    def _note_backlog(self) -> None:
        if not self.backlog:
            self._backlog_since_s = self._hand_since_s

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

    def end_commands(self) -> None:
        """The actor has ended and nobody takes its place: whoever waits for a command to be obeyed hears of it."""
        self._unheard = True
        while (control := self.next_command()) is not None:
            self._end(control)

    def bury(self, envelope: Any, why: str) -> None:
        """Count a told message that nobody will handle, and pass it on to whoever keeps those."""
        self.dead_letters += 1
        if self.on_dead_letter is not None:
            try:
                self.on_dead_letter(envelope, why)
            except Exception:
                logger.exception("%s: a dead letter could not be kept", self.owner)

    def _drain_if_deserted(self) -> None:
        # Closing drains after it has set the flag, so that drain or this check sees the message, never neither.
        if self._deserted:
            self._drain()

    def _drain(self) -> None:
        with self._draining:
            while (item := self.get_more()) is not None or (item := self._stashed_first()) is not None:
                self._end(item)
        if self._control.qsize():
            self._ordinary.put(WAKE)  # one for the reader may have been among them

    def _stashed_first(self) -> Envelope | None:
        try:
            return self.stashed.popleft()
        except IndexError:
            return None

    def _end(self, item: Any) -> None:
        """Nobody will deal with this any more."""
        if isinstance(item, Stop):
            if item.reply is not None:
                item.reply.set(None)
        elif isinstance(item, Envelope):
            if not fail(item, self.stopped()):
                self.bury(item, self._closed_because or "stopped")
        elif hasattr(item, "message"):  # pykka's own envelope
            self._end(Envelope(item.message, item.reply_to))
        elif (reply := getattr(item, "reply", None)) is not None:
            reply.fail(self.stopped())


def fail(envelope: Any, error: Exception) -> bool:
    """End an ask with an error; False when it was none."""
    reply = getattr(envelope, "reply_to", None)
    if reply is None:
        return False
    reply.fail(error)
    return True
