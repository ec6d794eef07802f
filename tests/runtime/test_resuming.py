"""A decider that says "resume" for everything: what cannot go on as it was is restarted all the same."""

from __future__ import annotations

import threading
from typing import Any

import attrs
import pytest

from eventstore.memory import MemoryStore
from eventstore.records import Appended, Batch
from lrm_actors.domain.behavior import Context, Decision, Spec, then
from lrm_actors.errors import StorageUnavailable
from lrm_actors.runtime.clock import ManualClock
from tests.runtime.supervising import SOON, all_up, root, statuses, steps, supervised
from tests.runtime.support import PATIENCE_S, Add, Count, Shout, counter, eventually
from tests.runtime.test_watchdog import WATCH, pass_time, zombies_end


class Faulty(MemoryStore):
    """A store that has stored an append and then fails in a way that nobody foresaw, once."""

    broken = False

    def append(self, batch: Batch) -> Appended:
        appended = super().append(batch)
        if self.broken and any(write.stream == "a" and write.events for write in batch.writes):
            self.broken = False
            raise RuntimeError("a fault after the commit")
        return appended


def test_an_actor_is_never_resumed_after_an_append_that_failed() -> None:
    """Nobody knows whether it was stored: the actor reads its state again, and does not go on beside its own log."""
    store = Faulty()
    with supervised(store, root("a", otherwise="resume"), counter("a")) as system:
        store.broken = True
        with pytest.raises(StorageUnavailable):
            system.ask_blocking("a", Add(1))
        eventually(lambda: "start a" in steps(store), "the restart")
        all_up(system, ("a",))
        assert 2 == system.ask_blocking("a", Add(1))
        assert ["start a"] == steps(store)


def test_an_actor_whose_recovery_hung_is_never_resumed() -> None:
    """It has no state yet, nor does it own its stream: to go on would look as if it were fenced, for good."""
    clock, store = ManualClock(), MemoryStore()
    entered, release, hang = threading.Event(), threading.Event(), [True]

    def recover(_state: Count, _ctx: Context) -> Decision:
        if hang:
            hang.clear()
            entered.set()
            release.wait(PATIENCE_S)
        return then()

    spec = Spec("a", Count(), counter().decide, counter().evolve, recover=recover)
    with supervised(store, root(otherwise="resume"), counter("b"), clock=clock, watch=WATCH) as system:
        system.spawn(spec, supervisor="supervisor")
        assert entered.wait(PATIENCE_S)
        pass_time(clock, 6)

        def runs() -> bool:
            clock.advance(0.1)
            return system.phase("a") == "running" and statuses(system).get("a") == "running"

        eventually(runs, "its successor")
        release.set()
        assert 1 == system.ask_blocking("a", Add(1))
        assert ["start a"] == steps(store)
        zombies_end(system)


def test_an_actor_is_never_resumed_after_an_effect_that_its_recovery_begins_again() -> None:
    """It would fail again at once, as fast as the machine can, and each time on record; restarts have a limit."""
    store = MemoryStore()
    tried: list[Any] = []

    def shout(effect: Any) -> None:
        tried.append(effect)
        raise ValueError("no voice")

    def recover(_state: Count, _ctx: Context) -> Decision:
        return then(effects=[Shout("in doubt")])

    spec = Spec("a", Count(), counter().decide, counter().evolve, recover=recover)
    few = attrs.evolve(SOON, intensity=3)
    boss = root("a", policy=few, otherwise="resume", excess="give_up")
    with supervised(store, boss, spec, handlers={Shout: shout}) as system:
        eventually(lambda: statuses(system).get("a") == "given_up", "the end of it")
        assert "resume a" not in steps(store)
        assert len(tried) <= 8
