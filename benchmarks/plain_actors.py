"""Telling and asking without a log: our plain actor, an actor of a system, and bare pykka's."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from typing import Any

import attrs
import pykka

from eventstore.memory import MemoryStore
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, then
from lrm_actors.runtime.actor import Actor
from lrm_actors.runtime.system import ActorSystem

CONCURRENT = 2_000
"""Asks of one event loop that are under way at once."""


class OurActor(Actor):
    """Counts messages down and says when none is left."""

    mailbox_capacity = 10_000_000  # pykka's has no bound, and the producer shall not be refused here

    def __init__(self, messages: int, done: threading.Event) -> None:
        super().__init__()
        self.left = messages
        self.done = done

    def on_receive(self, message: Any) -> Any:
        """Count one message."""
        self.left -= 1
        if not self.left:
            self.done.set()
        return message


class PykkaActor(pykka.ThreadingActor):
    """The same on pykka's own loop, mailbox and future."""

    use_daemon_thread = True

    def __init__(self, messages: int, done: threading.Event) -> None:
        super().__init__()
        self.left = messages
        self.done = done

    def on_receive(self, message: Any) -> Any:
        """Count one message."""
        self.left -= 1
        if not self.left:
            self.done.set()
        return message


def tells_per_s(actor: Any, messages: int) -> float:
    """From the first tell until the last message is handled."""
    done = threading.Event()
    ref = actor.start(messages, done)
    message = object()
    began = time.perf_counter()
    for _ in range(messages):
        ref.tell(message)
    done.wait()
    took_s = time.perf_counter() - began
    ref.stop()
    return messages / took_s


def asks_per_s(actor: Any, messages: int) -> float:
    """One asker, one round trip after the other."""
    ref = actor.start(messages, threading.Event())
    message = object()
    began = time.perf_counter()
    for _ in range(messages):
        ref.ask(message, timeout=60)
    took_s = time.perf_counter() - began
    ref.stop()
    return messages / took_s


def pykka_ask_p50_s(messages: int) -> float:
    """The median of blocking asks of a pykka actor, one after the other."""
    ref = PykkaActor.start(messages, threading.Event())
    message = object()
    took_s = []
    for _ in range(messages):
        began = time.perf_counter()
        ref.ask(message, timeout=60)
        took_s.append(time.perf_counter() - began)
    ref.stop()
    return statistics.median(took_s)


def async_ask_p50_s(messages: int) -> float:
    """The median of awaited asks of our plain actor, one after the other."""
    ref = OurActor.start(messages, threading.Event())

    async def main() -> float:
        took_s = []
        message = object()
        for _ in range(messages):
            began = time.perf_counter()
            await ref.ask_async(message, timeout_s=60)
            took_s.append(time.perf_counter() - began)
        return statistics.median(took_s)

    found = asyncio.run(main())
    ref.stop()
    return found


@attrs.frozen
class Nothing:
    """The state of an actor that keeps none."""


@attrs.frozen
class Block(Command):
    """Hold the actor inside its handler."""

    seconds: float


@attrs.frozen
class Look(Command):
    """Ask for an answer that needs no event."""


def decide(_state: Nothing, command: Command, _ctx: Context) -> Decision:
    """Answer; and block before, which no handler should."""
    if isinstance(command, Block):
        time.sleep(command.seconds)
    return then(reply=True)


def fold(state: Nothing, _fact: object) -> Nothing:
    """There are no events."""
    return state


class Asked:
    """A system with one event-sourced actor over a log in memory, of which only what needs no event is asked."""

    NAME = "asked"

    def __init__(self) -> None:
        self.system = ActorSystem(MemoryStore(), [Spec(self.NAME, Nothing(), decide, fold)])
        self.system.start()

    def close(self) -> None:
        """End it."""
        self.system.stop()

    def p50_s(self, messages: int) -> float:
        """The median of awaited asks, one after the other."""
        return asyncio.run(self._one_by_one(messages))

    async def _one_by_one(self, messages: int) -> float:
        took_s = []
        command = Look()
        for _ in range(messages):
            began = time.perf_counter()
            await self.system.ask(self.NAME, command, timeout_s=60)
            took_s.append(time.perf_counter() - began)
        return statistics.median(took_s)

    def concurrent_per_s(self) -> float:
        """Answers per second when one loop has many asks under way."""
        return asyncio.run(self._at_once())

    async def _at_once(self) -> float:
        command = Look()
        began = time.perf_counter()
        await asyncio.gather(*(self.system.ask(self.NAME, command, timeout_s=60) for _ in range(CONCURRENT)))
        return CONCURRENT / (time.perf_counter() - began)

    def longest_pause_s(self, blocked_s: float) -> float:
        """How long an event loop once stood still while it awaited a blocked actor."""
        return asyncio.run(self._pause_s(blocked_s))

    async def _pause_s(self, blocked_s: float) -> float:
        asked = asyncio.ensure_future(self.system.ask(self.NAME, Block(blocked_s), timeout_s=60))
        longest_s, last_s = 0.0, time.perf_counter()
        while not asked.done():
            await asyncio.sleep(0.001)
            now_s = time.perf_counter()
            longest_s, last_s = max(longest_s, now_s - last_s), now_s
        await asked
        return longest_s
