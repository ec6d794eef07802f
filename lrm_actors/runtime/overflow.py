"""Mailboxes for actors that do not just refuse what finds no room: drop the oldest message, or have senders wait.

``mailbox_for`` makes the one that a ``Spec`` asks for. Talks to whoever sent what was dropped, and to waiting senders.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty
from typing import Any

from lrm_actors.domain.behavior import BLOCK, DROP_OLDEST, Spec
from lrm_actors.errors import AskTimeout, MailboxFull, MailboxWouldBlock, MessageDropped
from lrm_actors.runtime.machine import Queue, here
from lrm_actors.runtime.mailbox import Mailbox, fail
from lrm_actors.runtime.reply import AsyncReply, Reply


def mailbox_for(spec: Spec[Any], monotonic: Callable[[], float]) -> Mailbox:
    """The mailbox that an actor's spec asks for.

    Args:
        spec: the actor.
        monotonic: tells ages, in seconds.
    """
    stash = spec.stash_capacity
    if spec.mailbox_policy == DROP_OLDEST:
        return DroppingMailbox(spec.name, spec.mailbox_capacity, stash_capacity=stash, monotonic=monotonic)
    if spec.mailbox_policy == BLOCK:
        return BlockingMailbox(
            spec.name,
            spec.mailbox_capacity,
            stash_capacity=stash,
            monotonic=monotonic,
            block_s=spec.mailbox_block_s,
        )
    return Mailbox(spec.name, spec.mailbox_capacity, stash_capacity=stash, monotonic=monotonic)


class DroppingQueue:
    """A queue whose oldest message can give way to a new one, in the same time however many wait.

    Two lanes, of what may be dropped and of what may not, in the order of arrival through numbers. There is a token in
    ``_ready`` for each item, so that waiting is the machine's own queue's business.
    """

    def __init__(self) -> None:
        self._droppable: deque[tuple[int, Any]] = deque()
        self._kept: deque[tuple[int, Any]] = deque()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._ready: Queue = here().queue()

    def put(self, item: Any) -> None:
        """Add what must not be dropped."""
        with self._lock:
            self._kept.append((next(self._numbers), item))
        self._ready.put(None)

    def put_droppable(self, item: Any) -> None:
        """Add what may be dropped."""
        with self._lock:
            self._droppable.append((next(self._numbers), item))
        self._ready.put(None)

    def displace(self, item: Any) -> Any | None:
        """Add what may be dropped in place of the oldest such item, and return that. None, and not added, without."""
        with self._lock:
            if not self._droppable:
                return None
            _, oldest = self._droppable.popleft()
            self._droppable.append((next(self._numbers), item))  # takes over the token of the oldest
            return oldest

    def get(self) -> Any:
        """The oldest item; waits for one."""
        while True:
            self._ready.get()
            with contextlib.suppress(Empty):  # whoever ends the asks that wait has taken it
                return self._oldest()

    def get_nowait(self) -> Any:
        """The oldest item.

        Raises:
            queue.Empty: there is none.
        """
        self._ready.get_nowait()
        return self._oldest()

    def remove(self, unwanted: Callable[[Any], bool]) -> None:
        """Take out every item of which ``unwanted`` says so."""
        with self._lock:
            before = len(self._kept) + len(self._droppable)
            self._kept = deque(entry for entry in self._kept if not unwanted(entry[1]))
            self._droppable = deque(entry for entry in self._droppable if not unwanted(entry[1]))
            gone = before - len(self._kept) - len(self._droppable)
        with contextlib.suppress(Empty):
            for _ in range(gone):
                self._ready.get_nowait()

    def qsize(self) -> int:
        """How many wait."""
        return self._ready.qsize()

    def empty(self) -> bool:
        """Whether none waits."""
        return self._ready.empty()

    def _oldest(self) -> Any:
        with self._lock:
            lane = self._kept
            if not lane or (self._droppable and self._droppable[0][0] < lane[0][0]):
                lane = self._droppable
            if not lane:
                raise Empty
            return lane.popleft()[1]


class DroppingMailbox(Mailbox):
    """Makes room for a new message by dropping the oldest that waits.

    The asker of a dropped one gets ``MessageDropped``; a told one is a dead letter. What an actor sends itself, timers
    and the results of effects, is not dropped, nor is what was taken out and put back.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._queue = DroppingQueue()
        self._ordinary = self._queue

    def put(self, envelope: Any, within_s: float = math.inf) -> None:
        """Add a message, in place of the oldest when there is no room.

        Raises:
            MailboxFull: there is no room, and nothing that may be dropped.
            ActorStopped: it was closed.
        """
        if self._closed_because is not None:
            raise self.stopped()
        waiting = self._queue.qsize()
        if waiting + len(self.backlog) >= self.capacity:
            oldest = self._queue.displace(envelope)
            if oldest is None:
                raise self.full()
            self._drop(oldest)
        else:
            if not waiting:
                self._since_s = self._monotonic()
            self._queue.put_droppable(envelope)
        self._drain_if_deserted()

    def _drop(self, envelope: Any) -> None:
        self.dropped += 1
        reply = getattr(envelope, "reply_to", None)
        if reply is None:
            self.bury(envelope, "a newer message took its place")
            return
        about = f"{self.owner} has {self.capacity} messages waiting, and a newer one took the place of this"
        reply.fail(MessageDropped(about, actor=self.owner, command_id=getattr(envelope, "command_id", None) or ""))

    def _fail_waiting(self, error: Exception) -> None:
        # What was told stays where it is, so that it can still be dropped.
        self._queue.remove(lambda item: fail(item, error))
        again = [item for _ in range(len(self.backlog)) if (item := self._put_back_before()) is not None]
        self.backlog.extendleft(reversed([item for item in again if not fail(item, error)]))


class BlockingMailbox(Mailbox):
    """Has senders wait for room, in no particular order, each for ``block_s`` seconds at most.

    The thread of an event loop never waits: ``put`` refuses there with ``MailboxWouldBlock``, and ``put_when_room`` is
    what a coroutine awaits.
    """

    def __init__(self, *args: Any, block_s: float = 1.0, **options: Any) -> None:
        super().__init__(*args, **options)
        self.block_s = block_s
        self._machine = here()
        self._callers: deque[Reply] = deque()
        """Those who wait for room; each is called once, when there may be some."""

    def put(self, envelope: Any, within_s: float = math.inf) -> None:
        """Add a message, when there is room.

        Args:
            envelope: the message.
            within_s: seconds the sender waits at most, if they are fewer than ``block_s``.

        Raises:
            MailboxFull: there was no room in time.
            MailboxWouldBlock: there is none now, and this thread runs an event loop.
            ActorStopped: it was closed.
        """
        until_s = self._monotonic() + min(self.block_s, within_s)
        while True:
            try:
                super().put(envelope)
            except MailboxFull as error:
                if asyncio._get_running_loop() is not None:  # noqa: SLF001 - documented, and does not raise
                    raise MailboxWouldBlock(str(error), actor=self.owner) from None
                self._wait(self._machine.reply(self.owner), until_s - self._monotonic())
            else:
                return

    async def put_when_room(self, envelope: Any, within_s: float) -> None:
        """Add a message when there is room, awaiting it meanwhile.

        Raises:
            MailboxFull: there was no room within ``within_s`` or ``block_s`` seconds.
            ActorStopped: it was closed.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + min(self.block_s, within_s)
        while True:
            try:
                super().put(envelope)
            except MailboxFull as error:
                call = AsyncReply(loop, self.owner)
                try:
                    if self._queue_up(call):
                        async with asyncio.timeout_at(until_s):
                            await call.future
                except TimeoutError:
                    raise error from None
                finally:
                    self._leave(call)
            else:
                return

    def take(self, limit: int) -> list[Any]:
        """As in every mailbox; then let as many senders in."""
        taken = super().take(limit)
        if self._callers:
            self._call(len(taken))
        return taken

    def get_more(self) -> Any | None:
        """As in every mailbox; then let a sender in."""
        item = super().get_more()
        if self._callers:
            self._call(1)
        return item

    def close(self, because: str) -> None:
        """As in every mailbox; whoever waits for room hears of it."""
        super().close(because)
        self._call(len(self._callers))

    def refuse_new(self, because: str) -> None:
        """As in every mailbox; whoever waits for room hears of it."""
        super().refuse_new(because)
        self._call(len(self._callers))

    def drop_first(self, envelope: Any) -> bool:
        """As in every mailbox; then let a sender in."""
        there = super().drop_first(envelope)
        self._call(1)
        return there

    def _wait(self, call: Reply, for_s: float) -> None:
        try:
            if self._queue_up(call):
                if for_s <= 0:
                    raise self.full()
                call.get(timeout=for_s)
        except AskTimeout:
            raise self.full() from None
        finally:
            self._leave(call)

    def _queue_up(self, call: Reply) -> bool:
        """False when there is no need to wait any more."""
        self._callers.append(call)
        # Whoever takes a message looks for callers after it, so they see this one, or it sees the room.
        return self._closed_because is None and self.depth() >= self.capacity

    def _leave(self, call: Reply) -> None:
        """Wait no more. A call that came meanwhile is passed on: it may be the only one there is room for."""
        try:
            self._callers.remove(call)
        except ValueError:
            if self.depth() < self.capacity:
                self._call(1)

    def _call(self, count: int) -> None:
        for _ in range(count):
            try:
                call = self._callers.popleft()
            except IndexError:
                return
            call.set(None)
