"""Rule 11: everything has a finite default: mailboxes, retries, leases, backoff caps, histories.

The log of a running agent has a limit on its size and one on the age of its events, held by
``tests/hosting/test_trimming.py``; what recovery needs stays above them too: the results of the steps since the oldest
checkpoint that is kept. What an actor sends itself, timers and the results of effects, is never refused, and effects
that wait for a worker are not counted: both are as many as the actor's own decisions make them. How many components,
services and actors there are is the host's affair: each is remembered, and a component that failed and was removed is
until the process ends.
"""

from __future__ import annotations

import ast
import math
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.memory import MemoryStore
from eventstore.opening import open_store
from eventstore.protocol import EventStore
from eventstore.records import Batch, Receipt
from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.actors.outbox import LIMIT
from lrm_actors.domain import backoff, breaker, checkpointer, children, supervisor
from lrm_actors.domain.analysis import folding
from lrm_actors.domain.behavior import Spec
from lrm_actors.domain.checkpointing import keeping
from lrm_actors.domain.monitoring import folding as monitor_folding
from lrm_actors.errors import MailboxFull
from lrm_actors.hosting.running import SPECS
from lrm_actors.runtime import root_restarts
from lrm_actors.runtime.clock import ManualClock, SystemClock
from lrm_actors.runtime.workers import Workers
from lrm_actors.settings import FIELDS
from tests.machines.world import World
from tests.rules.growing import GROWING, sizes
from tests.rules.limits import (
    BOUNDED_BY,
    WITHOUT_DEFAULT,
    Limits,
    constants,
    endless,
    endless_constants,
    policies,
    unlimited,
)
from tests.rules.support import Outside, sources, system_on_disk
from tests.runtime.support import PATIENCE_S, Add, Wait, counter, eventually

# --- what is given by default -------------------------------------------------------------------------------------


def test_rule_11_holds_for_policies_and_settings() -> None:
    """Every number of every configuration, of every actor's spec, and of every setting's range."""
    assert {"BreakerConfig", "CheckpointerConfig", "MonitorConfig", "RestartPolicy"} <= {
        type(one).__name__ for one in policies()
    }
    assert [] == unlimited(policies())
    specs: list[Spec[Any]] = [*SPECS, breaker.spec("llm"), counter()]
    assert [] == unlimited(Limits(one.mailbox_capacity, one.snapshot_every) for one in specs)
    numbers = [one for one in FIELDS if one.type in {"int", "float"}]
    assert [] == [one.name for one in numbers if not math.isfinite(one.most) or (one.default is None) != one.optional]


@pytest.mark.parametrize(
    "plant",
    [
        breaker.BreakerConfig(recovery_timeout_max_s=math.inf),
        breaker.BreakerConfig(probe_lease_s=math.nan),
        children.RestartPolicy(intensity=None),  # type: ignore[arg-type]
        children.RestartPolicy(period_s=0.0),
        Limits(math.inf),
        Limits(None),
    ],
)
def test_rule_11_planted_a_default_without_an_end_is_caught(plant: Any) -> None:
    """Infinite, not a number, none, or nothing."""
    assert unlimited([*policies(), plant])


# --- the sources --------------------------------------------------------------------------------------------------


def test_rule_11_holds_in_the_sources() -> None:
    """No limit is None or infinite by default, and what bounds each queue without a length is named."""
    modules = [(path, tree) for path, tree in sources() if not re.search(r"lrm_actors/(demo|testing)/", path)]
    found = set(endless(modules))
    known = {*BOUNDED_BY, *(one for one in found if one in WITHOUT_DEFAULT or one.split()[0] in WITHOUT_DEFAULT)}
    assert set() == found - known
    assert set() == BOUNDED_BY.keys() - found, "named, and not there"


def test_rule_11_holds_for_constants() -> None:
    """Every constant that says how long or how many is finite."""
    assert len(constants()) > 50
    assert [] == endless_constants(constants())


def test_rule_11_planted_a_constant_without_an_end_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Infinite, or less than nothing."""
    monkeypatch.setattr("lrm_actors.runtime.system.START_TIMEOUT_S", math.inf)
    monkeypatch.setattr("eventstore.prepare.SNAPSHOTS_KEPT", -1)
    assert ["eventstore.prepare.SNAPSHOTS_KEPT", "lrm_actors.runtime.system.START_TIMEOUT_S"] == [
        one for one in endless_constants(constants()) if one.startswith(("eventstore.prepare", "lrm_actors.runtime"))
    ]


@pytest.mark.parametrize(
    "source",
    [
        "def ask(to, timeout_s=None): ...",
        "def stop(*, deadline_s=float('inf')): ...",
        "class Spec:\n    mailbox_capacity: int = sys.maxsize",
        "class Config:\n    probe_lease_s: float = math.inf",
        "from collections import deque\nclass A:\n    def f(self):\n        self.history = deque()",
        "import queue\nINBOX = queue.Queue()",
        "@functools.cache\ndef read(path): ...",
        "@lru_cache(maxsize=None)\ndef read(path): ...".replace("maxsize=None", ""),
    ],
)
def test_rule_11_planted_source_without_a_limit_is_caught(source: str) -> None:
    """A timeout, a deadline, a lease, a capacity, a history, a queue, a cache."""
    assert list(endless([("any.py", ast.parse(source))]))


# --- what grows ---------------------------------------------------------------------------------------------------

COMMANDS, EVERY = 5_000, 250
LARGEST_BYTES = 64 * 1024


def growth(name: str, commands: int = COMMANDS) -> list[str]:
    """What is wrong with the size of an actor's state after thousands of commands."""
    spec, make = GROWING[name]
    seen = list(sizes(spec, make, commands, EVERY))
    first, second = max(seen[: len(seen) // 2]), max(seen[len(seen) // 2 :])
    found = []
    if second > 1.1 * first + 200:
        found.append(f"{name} still grows: {first} bytes, then {second}")
    if second > LARGEST_BYTES:
        found.append(f"{name} takes {second} bytes")
    return found


@pytest.mark.parametrize("name", GROWING)
def test_rule_11_holds_for_states(name: str) -> None:
    """After thousands of commands with ever new names, numbers and texts, a state is as large as it was before."""
    assert [] == growth(name)


def _remembers_everything(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(folding, "RECENT", 10**9)
    return "analyzer"


def _remembers_everybody(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(folding, "MAX_STREAKS", 10**9)
    return "analyzer"


def _keeps_everything(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(keeping, "beyond_retention", lambda *_: ())
    return "checkpointer"


def _forgets_no_failure(monkeypatch: pytest.MonkeyPatch) -> str:
    fold = monitor_folding._with_failure

    def remembering(state: Any, fact: Any) -> Any:
        folded = fold(state, fact)
        return attrs.evolve(folded, failed_at_s={**state.failed_at_s, **folded.failed_at_s})

    monkeypatch.setattr(monitor_folding, "_with_failure", remembering)
    return "monitor"


def _keeps_every_restart(monkeypatch: pytest.MonkeyPatch) -> str:
    schedule = children.schedule
    monkeypatch.setattr(children, "schedule", lambda child, attempt, due, _: schedule(child, attempt, due, 10**9))
    return "supervisor"


@pytest.mark.parametrize(
    "plant",
    [_remembers_everything, _remembers_everybody, _keeps_everything, _forgets_no_failure, _keeps_every_restart],
)
def test_rule_11_planted_an_unbounded_history_is_caught(
    plant: Callable[[pytest.MonkeyPatch], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failures, components, checkpoints, times and children that are never forgotten."""
    assert growth(plant(monkeypatch), COMMANDS)


# --- what waits ---------------------------------------------------------------------------------------------------


def waiting_at_most(directory: Path, capacity: int) -> int:
    """How many messages an actor takes that is held up, until it takes no more; at most twice its capacity."""
    entered, release = threading.Event(), threading.Event()
    with system_on_disk(directory, counter(mailbox_capacity=capacity)) as system:
        system.tell("counter", Wait(entered, release))
        assert entered.wait(PATIENCE_S)
        taken = 0
        try:
            for _ in range(2 * capacity):
                system.tell("counter", Add(1))
                taken += 1
        except MailboxFull:
            pass
        finally:
            release.set()
        eventually(lambda: system.state("counter").total == taken)
    return taken


def test_rule_11_holds_for_mailboxes(tmp_path: Path) -> None:
    """One message more than the capacity is refused, and none that was taken is lost."""
    assert 100 == waiting_at_most(tmp_path, 100)


def test_rule_11_planted_a_mailbox_without_a_capacity_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes everything."""
    monkeypatch.setattr("lrm_actors.runtime.mailbox.Mailbox.put", lambda mailbox, one: mailbox.put_anyway(one))
    assert waiting_at_most(tmp_path, 100) > 100


def threads_for(jobs: int, workers: Workers) -> int:
    """How many threads so many jobs come to run on that all take long."""
    release, running = threading.Event(), threading.Semaphore(0)

    def job() -> None:
        running.release()
        release.wait(PATIENCE_S)

    try:
        for _ in range(jobs):
            workers.submit(job)
        return sum(thread.name.startswith(f"{workers._name}-") for thread in threading.enumerate())
    finally:
        release.set()
        for _ in range(jobs):
            assert running.acquire(timeout=PATIENCE_S), "a job that had to wait was dropped"
        workers.close()


def test_rule_11_holds_for_workers() -> None:
    """Effects that hang take no more threads than the limit; those that wait are done later."""
    assert 16 == threads_for(64, Workers("limited"))


def test_rule_11_planted_workers_without_a_limit_are_caught() -> None:
    """A thread for each."""
    assert threads_for(64, Workers("unlimited", limit=10**6)) > 16


def undelivered(guard: CircuitBreaker, calls: int) -> int:
    """Reports that wait in a guard whose actor takes none."""
    for _ in range(calls):
        try:
            with guard:
                raise OSError("down")
        except OSError:
            pass
        guard._outbox.send(breaker.ReportProbeStarted(1))
    return guard.statistics().undelivered


def _unheard(_: Any) -> None:
    raise OSError("nobody listens")


def test_rule_11_holds_for_reports_of_guards() -> None:
    """What cannot be told waits up to a limit, and is counted beyond it."""
    guard = CircuitBreaker("llm", breaker.BreakerConfig(failure_threshold=10**6), tell=_unheard, clock=SystemClock())
    assert LIMIT == undelivered(guard, 2 * LIMIT)
    assert LIMIT == guard.statistics().lost


def test_rule_11_planted_an_outbox_without_a_limit_is_caught() -> None:
    """It keeps everything."""
    guard = CircuitBreaker("llm", breaker.BreakerConfig(failure_threshold=10**6), tell=_unheard, clock=SystemClock())
    guard._outbox._limit = 10**9
    assert undelivered(guard, 2 * LIMIT) > LIMIT


# --- what is stored -----------------------------------------------------------------------------------------------

STORES: list[Callable[[Path], EventStore]] = [lambda path: open_store(path / "lrm.db"), lambda _: MemoryStore()]


def receipts_kept(store: EventStore, given: int) -> int:
    """How many replies a store remembers of so many."""
    for number in range(given):
        store.append(Batch(receipts=(Receipt(f"command {number}", number),)))
    assert store.receipt(f"command {given - 1}") is not None
    return sum(store.receipt(f"command {number}") is not None for number in range(given))


@pytest.mark.parametrize("open_one", STORES, ids=["file", "memory"])
def test_rule_11_holds_for_receipts(
    open_one: Callable[[Path], EventStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest are kept, and the limit by default is a number."""
    for module in ("writing", "memory_log"):
        monkeypatch.setattr(f"eventstore.{module}.RECEIPTS_KEPT", 50)
    monkeypatch.setattr("eventstore.writing.PRUNE_EVERY", 10)
    store = open_one(tmp_path)
    assert 50 <= receipts_kept(store, 200) <= 60
    store.close()


def test_rule_11_planted_receipts_for_ever_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is pruned, all are there."""
    monkeypatch.setattr("eventstore.writing.RECEIPTS_KEPT", 10**9)
    with open_store(tmp_path / "lrm.db") as store:
        assert receipts_kept(store, 200) > 60


def snapshots_kept(directory: Path) -> int:
    """How many snapshots there are of an actor that takes one with each event."""
    with system_on_disk(directory, counter(snapshot_every=1)) as system:
        for _ in range(20):
            system.ask_blocking("counter", Add(1))
    return int(Outside(directory / "lrm.db").one("SELECT count(*) FROM snapshot_log WHERE stream = 'counter'"))


def test_rule_11_holds_for_snapshots(tmp_path: Path) -> None:
    """Three of each actor."""
    assert 3 == snapshots_kept(tmp_path)


def test_rule_11_planted_snapshots_for_ever_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One with each event."""
    monkeypatch.setattr("eventstore.snapshots.SNAPSHOTS_KEPT", 10**9)
    assert snapshots_kept(tmp_path) > 3


def checkpoints_kept(directory: Path) -> int:
    """How many checkpoints' bytes are in a log after twenty of them, when two and two emergencies are to be kept."""
    world = World(directory, ManualClock())
    try:
        world.ask("checkpointer", checkpointer.Configure(checkpointer.CheckpointerConfig(60.0, 2, 2)))
        for number in range(20):
            kind = checkpointer.EMERGENCY if number % 2 else checkpointer.MANUAL
            world.ask("checkpointer", checkpointer.TakeCheckpoint(kind, "one of many"))
            world.settle()
        return len(world.store.attachment_keys("checkpoint/"))
    finally:
        world.close()


def test_rule_11_holds_for_checkpoints(tmp_path: Path) -> None:
    """Their bytes leave the log when newer ones take their place."""
    assert 4 == checkpoints_kept(tmp_path)


def test_rule_11_planted_checkpoints_for_ever_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All twenty are there."""
    monkeypatch.setattr(keeping, "beyond_retention", lambda *_: ())
    assert 20 == checkpoints_kept(tmp_path)


# --- retries and their delays -------------------------------------------------------------------------------------


def longest_delays(attempts: int = 10_000) -> dict[str, float]:
    """The longest wait that each backoff comes to, against its cap: 1 is the cap."""
    policy, config = children.RestartPolicy(), breaker.BreakerConfig()
    delays: list[float] = []

    class Tree:
        supervisor = None

        def command(self, _name: str, _control: Any) -> None:
            delays.append(0.0)

        class clock:  # noqa: N801 - stands for an instance
            @staticmethod
            def call_later(delay_s: float, _: Any) -> None:
                delays.append(delay_s)

            @staticmethod
            def monotonic() -> float:
                return 0.0  # every restart falls into one moment, so that the backoff never begins anew

    restarts = root_restarts.RootRestarts(Tree())  # type: ignore[arg-type]
    for _ in range(200):
        restarts.restart("supervisor")
    return {
        "restarts": max(
            backoff.delay_s(n, policy.backoff_initial_s, policy.backoff_max_s, policy.jitter, lambda: 0.0)
            for n in range(attempts)
        )
        / policy.backoff_max_s,
        "openings": max(breaker.open_time_s(config, n) for n in range(attempts)) / config.recovery_timeout_max_s,
        "the supervisor's restarts": max(delays) / root_restarts.RESTART_MAX_S,
    }


def test_rule_11_holds_for_backoffs() -> None:
    """However many attempts there were, none waits longer than its cap."""
    assert {"restarts": 1.0, "openings": 1.0, "the supervisor's restarts": 1.0} == longest_delays()


def test_rule_11_planted_a_backoff_without_a_cap_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that only doubles."""
    monkeypatch.setattr(backoff, "exponential_s", lambda attempt, initial_s, cap_s: initial_s * 2.0 ** min(attempt, 63))
    assert longest_delays()["restarts"] > 1.0


def restarts_until_given_up(directory: Path) -> int:
    """How often a component is restarted that never comes back, up to 30 times."""
    world = World(directory, ManualClock())
    world.hands.restarts_work = False
    try:
        world.ask("supervisor", supervisor.RestartComponent("browser", "asked to"))
        for _ in range(30):
            world.settle()
            world.clock.advance(1.0)  # type: ignore[attr-defined]  # the test's own
            if world.system.state("supervisor").children["component:browser"].status == "given_up":
                break
        return sum(isinstance(one, supervisor.RestartChild) for one in world.hands.done)
    finally:
        world.close()


def test_rule_11_holds_for_restarts(tmp_path: Path) -> None:
    """As often as the policy says, and then it is given up."""
    assert children.RestartPolicy().intensity == restarts_until_given_up(tmp_path)


def test_rule_11_planted_restarts_for_ever_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where restarts are not counted, nothing is ever given up."""
    monkeypatch.setattr(children, "restarts_lately", lambda child, policy, now: 0)
    assert restarts_until_given_up(tmp_path) > children.RestartPolicy().intensity
