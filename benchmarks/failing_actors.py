"""How long an actor is down that fails: from the raise in its handler until the next message is in its hands."""

from __future__ import annotations

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

FRAGILE = "fragile"
PATIENCE_S = 60.0


@attrs.frozen
class Fail(Command):
    """Raise."""


@attrs.frozen
class Go(Command):
    """Be the next message."""


def first_restart_s() -> float:
    """The first restart of a system over a log in memory, which is one without backoff."""
    fragile = Fragile(MemoryStore(), supervised=False)
    try:
        return fragile.restarted_s()
    finally:
        fragile.close()


@attrs.frozen
class Nothing:
    """The state of an actor that keeps none."""


class Fragile:
    """A system with one actor that fails when told to.

    Args:
        store: its log.
        supervised: whether the supervisor decides on each restart, through the log, without any backoff; else the
            root of the tree restarts at once, as it does with the supervisor itself.
    """

    def __init__(self, store: EventStore, *, supervised: bool) -> None:
        self._failed_s = self._handled_s = 0.0
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
        self.system.tell(FRAGILE, Fail())
        self.system.tell(FRAGILE, Go())
        if not self._again.wait(PATIENCE_S):
            msg = "the actor was not restarted"
            raise RuntimeError(msg)
        while self.system.supervisor is not None and not self._settled():
            time.sleep(0.001)
        return self._handled_s - self._failed_s

    def _settled(self) -> bool:
        child = self.system.state(supervisor.NAME).children[f"actor:{FRAGILE}"]
        return bool(child.status == "running")

    def _decide(self, _state: Nothing, command: Command, _ctx: Context) -> Decision:
        if isinstance(command, Fail):
            self._fail()
        self._handled_s = time.perf_counter()
        self._again.set()
        return then()

    def _fail(self) -> None:
        self._failed_s = time.perf_counter()
        msg = "told to"
        raise RuntimeError(msg)
