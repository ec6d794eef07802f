"""Telling and asking one actor, against bare pykka in the same run.

``tell_vs_pykka`` is a plain, undurable tell: messages per second from one producer thread until the last is handled, on
our plain actor and on pykka's. ``ask_vs_pykka`` is a blocking ask of the same two, the time of a round trip turned into
a speed. No log is involved on either side; durable appends are measured in ``append``.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pykka

from benchmarks.harness import Figure, ratio_of_pairs
from lrm_actors.runtime.actor import Actor

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
    ]
