"""How many actors load their state at once, in which order, and that nobody waits for ever for a turn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from eventstore.memory import MemoryStore
from lrm_actors.runtime.recovery import MAX_RECOVERIES, RecoveryGate
from lrm_actors.runtime.system import ActorSystem
from tests.runtime.support import PATIENCE_S, Add, counter, eventually, running


class Counting(MemoryStore):
    """Counts how many fold at once, and can make them all wait inside."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.most = 0
        self.slow_s = 0.0
        """How long the disk takes."""
        self.free = threading.Event()
        self.free.set()
        self._count = threading.Lock()

    def fold(self, stream: str, evolve: Callable[[Any, Any], Any], state: Any, **options: Any) -> Any:
        with self._count:
            self.inside.append(stream)
            self.most = max(self.most, len(self.inside))
        self.free.wait(PATIENCE_S)
        threading.Event().wait(self.slow_s)
        try:
            return super().fold(stream, evolve, state, **options)
        finally:
            with self._count:
                self.inside.remove(stream)


def storm(actors: int) -> Counting:
    """Have so many actors fail at once, and see how they come back."""
    store = Counting()
    specs = [counter(f"counter/{number}") for number in range(actors)]
    with running(*specs, store=store) as system:
        store.most, store.slow_s = 0, 0.001
        threads = [threading.Thread(target=system.restart_actor, args=(spec.name, 60.0)) for spec in specs[:64]]
        for thread in threads:
            thread.start()
        for spec in specs[64:]:
            system.command(spec.name, _restart())
        for thread in threads:
            thread.join()
        for spec in specs:
            assert 1 == system.ask_blocking(spec.name, Add(1), timeout_s=60.0)
    return store


def _restart() -> Any:
    from lrm_actors.runtime.control import Restart

    return Restart()


def test_a_storm_of_restarts_loads_a_few_states_at_a_time(release: bool) -> None:
    """All come back, and never more than the limit at once."""
    actors = 1_000 if release else 60
    store = storm(actors)
    print(f"{actors} restarts, at most {store.most} recoveries at once")
    assert store.most <= MAX_RECOVERIES


def test_planted_bug_a_gate_that_lets_everybody_in_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it they all load at once."""
    store = Counting()
    specs = [counter(f"counter/{number}") for number in range(MAX_RECOVERIES + 1)]
    monkeypatch.setattr(RecoveryGate, "_enter", lambda gate, _name: setattr(gate, "_recovering", 0))
    with running(*specs, store=store) as system:
        store.free.clear()
        for spec in specs:
            system.command(spec.name, _restart())
        eventually(lambda: len(store.inside) == len(specs))
        store.free.set()
        eventually(lambda: not store.inside)
    assert store.most > MAX_RECOVERIES


def test_the_supervisor_goes_first_and_the_others_in_turn() -> None:
    """Whoever waits lets it pass, for the others need it to be restarted at all; each leaves its place to the next."""
    gate = RecoveryGate(limit=1, ahead=frozenset(("boss",)))
    order: list[str] = []
    inside, go_on = threading.Event(), threading.Event()

    def recover(name: str) -> None:
        with gate.slot(name):
            order.append(name)
            inside.set()
            go_on.wait(PATIENCE_S)

    threads = []
    for number, name in enumerate(("a", "b", "c", "boss")):
        threads.append(threading.Thread(target=recover, args=(name,)))
        threads[-1].start()
        assert inside.wait(PATIENCE_S)
        eventually(lambda number=number: len(gate._waiting) == number)  # type: ignore[misc]
    go_on.set()
    for thread in threads:
        thread.join()
    assert ["a", "boss", "b", "c"] == order
    assert (0, 0) == (gate._recovering, len(gate._waiting))


def test_a_system_names_its_supervisor_to_the_gate() -> None:
    """Whatever it is called."""
    with running(counter(), counter("boss"), supervisor="boss") as system:
        assert frozenset(("boss",)) == system._services.recoveries._ahead


def test_a_recovery_that_hangs_holds_nobody_up_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has waited long enough recovers all the same, and the places are counted right afterwards."""
    monkeypatch.setattr("lrm_actors.runtime.recovery.RECOVERY_WAIT_S", 0.01)
    gate = RecoveryGate(limit=1)
    with gate.slot("hangs"):
        with gate.slot("waits"):
            assert 2 == gate._recovering
        assert 1 == gate._recovering
    assert 0 == gate._recovering


def test_a_stop_lets_everybody_in() -> None:
    """A system that ends has nobody wait for a turn."""
    gate = RecoveryGate(limit=1)
    done = threading.Event()

    def recover() -> None:
        with gate.slot("waits"):
            done.set()

    with gate.slot("first"):
        waiting = threading.Thread(target=recover)
        waiting.start()
        eventually(lambda: gate._waiting)
        gate.close()
        assert done.wait(PATIENCE_S)
        waiting.join()


def test_a_system_stops_though_its_recoveries_hang() -> None:
    """Within its deadline; what hangs is left behind and named."""
    store = Counting()
    specs = [counter(f"counter/{number}") for number in range(MAX_RECOVERIES + 2)]
    system = ActorSystem(store, specs, name="hanging")
    system.start()
    store.free.clear()
    for spec in specs:
        system.command(spec.name, _restart())
    eventually(lambda: len(store.inside) == MAX_RECOVERIES)
    try:
        report = system.stop(deadline_s=0.3)
    finally:
        store.free.set()
        eventually(lambda: not any(one.name.startswith("hanging-counter") for one in threading.enumerate()))
    assert not report.clean
