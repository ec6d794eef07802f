"""Heartbeats of this process to the ``lrm run`` that started it, for as long as an agent of it can be seen to go on.

Talks to the pipe that ``lrm run`` handed down, and to the agents. A heartbeat is worth what it proves. With an event
loop it is sent by a callback of that loop, so a loop that is blocked sends none. Without one a thread sends it, unless
a step has been open for too long without a word to the journal; what such a host does outside of steps is not judged.
"""

from __future__ import annotations

import contextlib
import math
import os
import stat
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from lrm_actors.domain import journal
from lrm_actors.domain.outliving import environment as names

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from lrm_actors.hosting.engine import Engine

DEFAULT_EVERY_S, LEAST_S, MOST_S = 5.0, 0.01, 3_600.0
DEFAULT_STEP_TIMEOUT_S = 600.0
STALE = 3.0
"""Intervals after which an agent's loop that has not turned is taken to be blocked, where others still turn."""


class Outer:
    """What ``lrm run`` told this process, read once. What is below this process is told nothing of it by us.

    Args:
        variables: the environment; how the process before ended is taken out of it.
    """

    def __init__(self, variables: dict[str, str] | os._Environ[str]) -> None:
        self.log, self.position = names.read_mark(variables.get(names.OUTER_LOG, ""))
        """The watchdog's log, and the position in it of the start of this process; empty without a watchdog."""
        self.predecessor_exit = _whole(variables.pop(names.PREDECESSOR_EXIT, ""))
        """How the process before this one ended; None: nobody said."""
        self.every_s = _seconds(variables, names.HEARTBEAT_EVERY_S, DEFAULT_EVERY_S)
        self.step_timeout_s = _seconds(variables, names.STEP_TIMEOUT_S, DEFAULT_STEP_TIMEOUT_S)
        self.descriptor = _pipe(variables)
        """Takes heartbeats; None: nobody wants any."""


class Proof(Protocol):
    """Something that shows that an agent goes on."""

    def begin(self) -> None:
        """Somebody asks from now on."""

    def holds(self, now_s: float) -> bool:
        """Whether it does now."""

    def end(self) -> None:
        """Nobody asks any more."""


class LoopProof:
    """Turns of an event loop, each of which is told to the heart."""

    def __init__(self, heart: Heart, loop: asyncio.AbstractEventLoop, every_s: float) -> None:
        self._heart = heart
        self._loop = loop
        self._every_s = every_s
        self._turned_at_s = time.monotonic()
        self._ended = False
        self._handle: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Have the loop say that it turns."""
        with contextlib.suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(self._turn)

    def holds(self, now_s: float) -> bool:
        """The loop has turned lately."""
        return now_s - self._turned_at_s <= STALE * self._every_s

    def end(self) -> None:
        """No more turns are asked for."""
        self._ended = True
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel)

    def _turn(self) -> None:
        if self._ended:
            return
        self._turned_at_s = time.monotonic()
        self._heart.beat()
        self._handle = self._loop.call_later(self._every_s, self._turn)

    def _cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


class StepProof:
    """Steps of a host without an event loop, looked at by a thread."""

    def __init__(self, heart: Heart, engine: Engine, every_s: float, step_timeout_s: float) -> None:
        self._heart = heart
        self._engine = weakref.ref(engine)
        self._every_s = every_s
        self._step_timeout_s = step_timeout_s
        self._heard: tuple[int, float] = (-1, time.monotonic())
        """How far the journal was when it was last heard of, and when."""
        self._ended = threading.Event()

    def begin(self) -> None:
        """Start the thread."""
        with contextlib.suppress(RuntimeError):  # none can be had: then there are no heartbeats to miss either
            threading.Thread(target=self._run, name="lrm-heartbeats", daemon=True).start()

    def holds(self, now_s: float) -> bool:
        """No step is open, or one that has not taken too long since its last word to the journal, or its last sleep."""
        engine = self._engine()
        running = None if engine is None else engine.running
        if engine is None or running is None:
            return False
        published = running.system.shell(journal.NAME).published
        if published.version != self._heard[0] or engine.sleeping.under_way:
            self._heard = (published.version, now_s)
        return published.state.open is None or now_s - self._heard[1] <= self._step_timeout_s

    def end(self) -> None:
        """The thread ends."""
        self._ended.set()

    def _run(self) -> None:
        while True:
            if self.holds(time.monotonic()):
                self._heart.beat()
            if self._ended.wait(self._every_s):
                return


class Heart:
    """The one of this process. It beats only while every agent in it goes on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outer: Outer | None = None
        self._proofs: dict[int, Proof] = {}

    @property
    def outer(self) -> Outer:
        """What ``lrm run`` told this process."""
        with self._lock:
            if self._outer is None:
                self._outer = Outer(os.environ)
            return self._outer

    def add(self, engine: Engine, loop: asyncio.AbstractEventLoop | None) -> None:
        """Prove from now on that this agent goes on. Nothing happens where nobody wants heartbeats.

        Args:
            engine: the agent.
            loop: its host's; None: it has none.
        """
        outer = self.outer
        if outer.descriptor is None:
            return
        self.remove(engine, last_words=False)
        proof: Proof
        if loop is not None:
            proof = LoopProof(self, loop, outer.every_s)
        else:
            proof = StepProof(self, engine, outer.every_s, outer.step_timeout_s)
        with self._lock:
            self._proofs[id(engine)] = proof
        proof.begin()

    def remove(self, engine: Engine, *, last_words: bool = True) -> None:
        """This agent has ended. After the last of them, no heartbeats are to be expected."""
        with self._lock:
            proof = self._proofs.pop(id(engine), None)
            none_left = not self._proofs
        if proof is not None:
            proof.end()
            if none_left and last_words:
                self._write(names.QUIET)

    def forget(self) -> None:
        """In a forked child: its parent beats for itself, and none of its threads and loops runs here."""
        self._lock = threading.Lock()
        self._proofs = {}

    def beat(self) -> None:
        """Send a heartbeat, unless some agent does not go on. Returns at once."""
        now_s = time.monotonic()
        with self._lock:
            proofs = list(self._proofs.values())
        if proofs and all(proof.holds(now_s) for proof in proofs):
            self._write(names.BEAT)

    def _write(self, data: bytes) -> None:
        descriptor = self.outer.descriptor
        if descriptor is not None:
            with contextlib.suppress(OSError):  # nobody reads it, for so long that it is full; or it was closed
                os.write(descriptor, data)


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _seconds(variables: Mapping[str, str], name: str, default_s: float) -> float:
    try:
        value = float(variables.get(name, ""))
    except ValueError:
        return default_s
    return min(MOST_S * 24, max(LEAST_S, value)) if math.isfinite(value) else default_s


def _pipe(variables: Mapping[str, str]) -> int | None:
    """The descriptor that takes heartbeats, if it is still the pipe that was handed down and nothing else since."""
    descriptor = _whole(variables.get(names.HEARTBEAT_FD, ""))
    if descriptor is None or descriptor < 0:
        return None
    try:
        seen: Any = os.fstat(descriptor)
    except OSError:
        return None
    is_it = variables.get(names.HEARTBEAT_PIPE, "") == f"{seen.st_dev}:{seen.st_ino}"
    return descriptor if is_it and stat.S_ISFIFO(seen.st_mode) else None


HEART = Heart()
"""The one of this process."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=HEART.forget)
