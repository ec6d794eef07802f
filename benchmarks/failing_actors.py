"""How long an actor is down that fails or hangs: until the next message is in its hands."""

from __future__ import annotations

import math
import os
import statistics
import threading
import time
from typing import Any

import attrs

from eventstore.memory import MemoryStore
from eventstore.protocol import EventStore
from lrm_actors.domain import supervisor
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, then
from lrm_actors.domain.children import RestartPolicy
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.runtime.watchdog import OFF, Watch, Watchdog

FRAGILE = "fragile"
PATIENCE_S = 60.0


@attrs.frozen
class Fragile(Command):
    """Fail on the first try. It is tried again once the actor is back, ahead of everything else."""


@attrs.frozen
class Sticky(Command):
    """Hang on the first try, until released."""


def first_restart_s() -> float:
    """The first restart of a system over a log in memory, which is one without backoff."""
    failing = Failing(MemoryStore(), supervised=False)
    try:
        return failing.restarted_s()
    finally:
        failing.close()


@attrs.frozen
class Nothing:
    """The state of an actor that keeps none."""


class Failing:
    """A system with one actor that fails when told to.

    Args:
        store: its log.
        supervised: whether the supervisor decides on each restart, through the log, without any backoff; else the
            root of the tree restarts at once, as it does with the supervisor itself.
    """

    def __init__(self, store: EventStore, *, supervised: bool) -> None:
        self._failed_s = self._handled_s = 0.0
        self._first = True
        self._again = threading.Event()
        specs: list[Spec[Any]] = [Spec(FRAGILE, Nothing(), self._decide, lambda state, _fact: state)]
        if supervised:
            policy = RestartPolicy(backoff_initial_s=0.0, backoff_max_s=0.0, intensity=1_000_000)
            specs.insert(0, supervisor.spec(policy))
        self.system = ActorSystem(store, specs)
        self.system.start()
        if supervised:
            started = supervisor.StartSupervising((f"actor:{FRAGILE}",), os.getpid())
            self.system.ask_blocking(supervisor.NAME, started)

    def close(self) -> None:
        """End it; the log stays open."""
        self.system.stop()

    def restarts_s(self, times: int) -> float:
        """The median of some restarts, each begun once the one before is over and recorded."""
        return statistics.median(self.restarted_s() for _ in range(times))

    def restarted_s(self) -> float:
        """One restart. The root of the tree makes a second one wait: it is the first of a system that is quick."""
        self._again.clear()
        self._first = True
        self.system.tell(FRAGILE, Fragile())
        if not self._again.wait(PATIENCE_S):
            msg = "the actor was not restarted"
            raise RuntimeError(msg)
        while self.system.supervisor is not None and not self._settled():
            time.sleep(0.001)
        return self._handled_s - self._failed_s

    def _settled(self) -> bool:
        child = self.system.state(supervisor.NAME).children[f"actor:{FRAGILE}"]
        return bool(child.status == "running")

    def _decide(self, _state: Nothing, _command: Fragile, _ctx: Context) -> Decision:
        if self._first:
            self._first = False
            self._failed_s = time.perf_counter()
            msg = "told to"
            raise RuntimeError(msg)
        self._handled_s = time.perf_counter()
        self._again.set()
        return then()


class Hanging:
    """A system with one actor that hangs when told to, and a watchdog that looks when it is told to.

    Args:
        store: its log.
    """

    def __init__(self, store: EventStore) -> None:
        self._handled_s = 0.0
        self._first = True
        self._hangs, self._again, self._release = threading.Event(), threading.Event(), threading.Event()
        spec = Spec(FRAGILE, Nothing(), self._decide, lambda state, _fact: state, quarantine_after=1_000_000)
        self.system = ActorSystem(store, [spec], watch=OFF)
        self.system.start()

    def close(self) -> None:
        """End it; the log stays open."""
        self.system.stop()

    def takeover_s(self) -> float:
        """From the look at which the watchdog finds the actor hung until its successor has the message in hand."""
        self._first = True
        for event in (self._hangs, self._again, self._release):
            event.clear()
        self.system.tell(FRAGILE, Sticky())
        watchdog = Watchdog(self.system, Watch(slow_s=math.inf, hung_s=1e-9))
        self._hangs.wait(PATIENCE_S)
        watchdog.look()
        began_s = time.perf_counter()
        watchdog.look()
        if not self._again.wait(PATIENCE_S):
            msg = "the actor was not taken over"
            raise RuntimeError(msg)
        self._release.set()
        while watchdog.running_zombies():
            time.sleep(0.001)
        return self._handled_s - began_s

    def _decide(self, _state: Nothing, _command: Sticky, _ctx: Context) -> Decision:
        if self._first:
            self._first = False
            self._hangs.set()
            self._release.wait()
        else:
            self._handled_s = time.perf_counter()
            self._again.set()
        return then()
