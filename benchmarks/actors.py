"""Telling and asking one actor, against bare pykka in the same run.

``tell_vs_pykka`` is a plain, undurable tell: messages per second from one producer thread until the last is handled, on
our plain actor and on pykka's. ``ask_vs_pykka`` is a blocking ask of the same two, the time of a round trip turned into
a speed. No log is involved on either side; durable appends are measured in ``append``.

``loop_stall_ms`` is the longest time that an event loop did not turn while it awaited an ask whose handler blocks for
half a second: the median of several runs, of a ticker that wants to run every millisecond.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from typing import Any

import attrs
import pykka

from benchmarks.harness import QUICK_PAIRS, Figure, ratio_of_pairs
from eventstore.memory import MemoryStore
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, then
from lrm_actors.runtime.actor import Actor
from lrm_actors.runtime.system import ActorSystem

PEERS = ("pykka",)


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


@attrs.frozen
class Nothing:
    """The state of an actor that keeps none."""


@attrs.frozen
class Block(Command):
    """Hold the actor inside its handler."""

    seconds: float


def block(_state: Nothing, command: Block, _ctx: Context) -> Decision:
    """A handler that does what none should do."""
    time.sleep(command.seconds)
    return then(reply=True)


async def longest_pause_s(system: ActorSystem, blocked_s: float) -> float:
    """How long the loop once stood still while it awaited a blocked actor."""
    asked = asyncio.ensure_future(system.ask("blocked", Block(blocked_s), timeout_s=60))
    longest_s, last_s = 0.0, time.perf_counter()
    while not asked.done():
        await asyncio.sleep(0.001)
        now_s = time.perf_counter()
        longest_s, last_s = max(longest_s, now_s - last_s), now_s
    await asked
    return longest_s


def loop_stall_ms() -> float:
    """The median over several asks of half a second each."""
    system = ActorSystem(MemoryStore(), [Spec("blocked", Nothing(), block, lambda state, _fact: state)])
    system.start()
    pauses = [asyncio.run(longest_pause_s(system, 0.5)) for _ in range(QUICK_PAIRS)]
    system.stop()
    return statistics.median(pauses) * 1000


def run(quick: bool) -> list[Figure]:
    """Measure both figures."""
    tells, asks = (20_000, 2_000) if quick else (100_000, 10_000)
    return [
        Figure(
            "tell_vs_pykka",
            ratio_of_pairs(lambda: tells_per_s(OurActor, tells), lambda: tells_per_s(PykkaActor, tells), quick=quick),
            what="plain, undurable tells handled per second, ours over bare pykka's",
        ),
        Figure(
            "ask_vs_pykka",
            ratio_of_pairs(lambda: asks_per_s(OurActor, asks), lambda: asks_per_s(PykkaActor, asks), quick=quick),
            what="plain blocking asks answered per second, ours over bare pykka's",
        ),
        Figure(
            "loop_stall_ms",
            loop_stall_ms(),
            better="lower",
            what="longest pause of a loop that awaits a handler which blocks 0.5 s; its ticker wants 1 ms",
        ),
    ]
