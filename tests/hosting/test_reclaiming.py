"""Memory that runs out: what the host can give back, in order, judged by what it really freed; and then its process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from lrm_actors.domain import modes, monitor, reclaiming
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.reclaiming import Attempt
from lrm_actors.domain.trends import Trend
from lrm_actors.domain.trends.telling import TrendConfirmed, TrendSuspected
from lrm_actors.hosting import reclaiming as hosting
from lrm_actors.hosting.host import HostBridge
from lrm_actors.hosting.reclaiming import Reclaiming
from lrm_actors.mode import LongRunningMode
from lrm_actors.settings import LongRunningSettings
from tests.mode_kit import CalmSampler, settings, wait_for
from tests.runtime.support import eventually

MIB = 1024 * 1024
LIMIT = 1000 * MIB


class Machine:
    """A limit of 1000 MiB, how much of it is in use, and an engine that stands on it."""

    def __init__(self, used_mib: int) -> None:
        self.used_mib, self.seconds = used_mib, 0.0
        self.told: list[Any] = []
        self.replaced: list[str] = []
        self.cleared: list[str] = []
        self.replaceable, self.exhausted = True, False
        self.settings = LongRunningSettings()
        self.clock = SimpleNamespace(monotonic=lambda: self.seconds)
        self.bridge = HostBridge()
        self.context = SimpleNamespace(extra=dict)
        self.registry = SimpleNamespace(with_caches=lambda: ("browser",), clear_caches=self.clear)
        self.on_exhausted = self.replaced.append
        self.capturing = SimpleNamespace(can_capture=False)
        self.running = SimpleNamespace(system=self)
        self.published = self
        self.version = 1
        self.asked_for_version = False
        self.status, self.levels = "critical", {"memory": "critical"}

    def look(self) -> Metrics:
        """Memory now."""
        left = LIMIT - self.used_mib * MIB
        percent = 100.0 * self.used_mib * MIB / LIMIT
        return Metrics(
            memory_percent=percent, memory_limit_bytes=LIMIT, memory_headroom_bytes=left, limited_by="cgroup"
        )

    def state(self, name: str) -> monitor.MonitorState:
        """The monitor's."""
        assert name == monitor.NAME
        return monitor.MonitorState(status=self.status, levels=self.levels, last=self.look())

    def shell(self, _: str) -> Machine:
        """What publishes the monitor's state, and of which version that is."""
        self.asked_for_version = True
        return self

    def tell(self, to: str, command: object) -> None:
        """What is put on record."""
        assert to == modes.NAME
        self.told.append(command)

    def clear(self, name: str) -> SimpleNamespace:
        """The component gives 50 MiB back."""
        self.cleared.append(name)
        self.used_mib -= 50
        return SimpleNamespace(error="")

    def free(self, mib: int) -> None:
        """Something of the host gives so much back."""
        self.used_mib -= mib


def reclaiming_of(machine: Machine) -> Reclaiming:
    """On that machine."""
    engine: Any = machine
    return Reclaiming(engine, machine.look)


def asked(machine: Machine) -> list[tuple[str, int, int]]:
    """Who was asked, what was freed in MiB, and what was missing then."""
    return [
        (one.name, one.freed_bytes // MIB, one.needed_bytes // MIB)
        for one in machine.told
        if isinstance(one, modes.ReportReclaimed)
    ]


def test_one_after_the_other_until_it_is_enough() -> None:
    """Each is judged by what is left afterwards; the next is asked only if that is not enough."""
    machine = Machine(900)
    ours = reclaiming_of(machine)
    ours.free_with("page cache", lambda: machine.free(60))
    ours.free_with("idle tabs", lambda: machine.free(100))
    ours.free_with("the index", lambda: machine.free(500))
    assert ours.reclaim("warning", "memory")
    assert [("page cache", 60, 90), ("idle tabs", 100, 0)] == asked(machine)
    assert [] == machine.replaced


def test_a_confirmed_leak_has_everybody_give_back_once() -> None:
    """However much is left, and nothing is replaced; a leak that is only suspected, or of threads, does not."""
    machine = Machine(300)
    ours = reclaiming_of(machine)
    ours.free_with("page cache", lambda: machine.free(60))
    ours.free_with("boaster", lambda: "freed 500 MiB")
    trend = Trend("memory_leak", "memory_anonymous_bytes", "confirmed", 0.6, 12.0, "MB/min", 0.0, "it grows")
    ours._consider(TrendSuspected(trend))
    ours._consider(TrendConfirmed(attrs.evolve(trend, kind="thread_growth")))
    assert [] == asked(machine)
    ours._consider(TrendConfirmed(trend))
    assert [("page cache", 60, 0), ("boaster", 0, 0), ("caches of browser", 50, 0)] == asked(machine)
    assert [] == machine.replaced
    machine.told.clear()
    ours._consider(TrendConfirmed(trend))
    assert ["page cache", "caches of browser"] == [name for name, _, _ in asked(machine)]


def test_what_it_says_it_freed_does_not_count() -> None:
    """One that frees nothing, or fails, is put on record as such, and is passed over the next time for a while."""
    machine = Machine(900)
    ours = reclaiming_of(machine)
    ours.free_with("boaster", lambda: "freed 500 MiB")
    ours.free_with("broken", lambda: 1 / 0)

    async def later() -> None:
        machine.free(10)

    ours.free_with("later", later)
    assert not ours.reclaim("warning", "memory")
    assert [("boaster", 0, 150), ("broken", 0, 150), ("later", 10, 140), ("caches of browser", 50, 90)] == asked(
        machine
    )
    assert "ZeroDivisionError: division by zero" == machine.told[1].error
    machine.told.clear()
    ours.reclaim("warning", "memory")
    assert ["later", "caches of browser"] == [name for name, _, _ in asked(machine)]
    machine.told.clear()
    machine.used_mib, machine.seconds = 990, reclaiming.USELESS_FOR_S
    ours.reclaim("warning", "memory")
    assert ["boaster", "broken", "later", "caches of browser"] == [name for name, _, _ in asked(machine)]


def test_one_that_hangs_holds_up_the_next_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up after its time, and the next is asked."""
    monkeypatch.setattr(hosting, "TIMEOUT_S", 0.05)
    machine, over = Machine(900), threading.Event()
    ours = reclaiming_of(machine)
    ours.free_with("hangs", lambda: over.wait(30.0))
    ours.free_with("helps", lambda: machine.free(200))
    assert ours.reclaim("warning", "memory")
    over.set()
    assert machine.told[0].error.startswith("TimeoutError")
    assert [("hangs", 0, 150), ("helps", 200, 0)] == asked(machine)


def test_when_nothing_is_enough_the_process_is_replaced() -> None:
    """Only where memory is critical, is the agent's own, and the host said how; on record first."""
    machine = Machine(990)
    assert not reclaiming_of(machine).reclaim("critical", "memory 99.0 %")
    assert ["memory runs out: memory 99.0 %"] == machine.replaced
    assert modes.ReportRestartAsked("memory 99.0 %") == machine.told[-1]
    assert machine.exhausted
    for change in ("replaceable", "exhausted", "warning"):
        machine = Machine(990)
        machine.replaceable = change != "replaceable"
        machine.exhausted = change == "exhausted"
        reclaiming_of(machine).reclaim("warning" if change == "warning" else "critical", "memory")
        assert [] == machine.replaced, change


def test_what_others_hold_is_not_given_back_by_our_end() -> None:
    """On a machine without a limit of our own, the process is replaced only if a good part of its memory is ours."""
    assert reclaiming.is_ours(Metrics(limited_by="budget"))
    machine = Metrics(limited_by="machine", memory_limit_bytes=LIMIT)
    assert not reclaiming.is_ours(machine)
    for share, ours in ((0.1, False), (0.5, True)):
        sample = Metrics(limited_by="machine", memory_limit_bytes=LIMIT, memory_anonymous_bytes=int(share * LIMIT))
        assert ours is reclaiming.is_ours(sample)


def test_what_is_not_known_asks_for_nothing() -> None:
    """Without a limit or what is left of it, nobody can say how much is missing, nor what was freed."""
    assert reclaiming.needed_bytes(Metrics(), 75.0) is None
    assert 0 == reclaiming.freed_bytes(Metrics(memory_headroom_bytes=5), Metrics())
    assert 0 == reclaiming.freed_bytes(Metrics(memory_headroom_bytes=5), Metrics(memory_headroom_bytes=3))


def test_what_was_freed_is_not_the_difference_of_two_limits() -> None:
    """A budget that is no longer the tightest leaves the whole machine: nobody gave that back."""

    def seen(limit: int, left: int, available: int | None) -> Metrics:
        return Metrics(memory_limit_bytes=limit, memory_headroom_bytes=left, memory_available_bytes=available)

    before = seen(300, 14, 20_000)
    assert 260 == reclaiming.freed_bytes(before, seen(300, 274, 20_100))
    assert 250 == reclaiming.freed_bytes(before, seen(25_000, 20_250, 20_250))
    assert 286 == reclaiming.freed_bytes(before, seen(25_000, 22_000, 22_000))
    assert 0 == reclaiming.freed_bytes(before, seen(25_000, 19_000, 19_000))
    assert 0 == reclaiming.freed_bytes(before, seen(25_000, 19_000, None))
    assert reclaiming.worth_asking({}, "x", 0.0)
    assert not reclaiming.worth_asking({"x": Attempt(0.0, 5)}, "x", 10.0)


class Log:
    """Stands in for a log: what is in it, and who is told of a commit."""

    head = 0

    def __init__(self) -> None:
        self.told: list[Callable[[int, frozenset[str]], None]] = []
        self.subscribe = self.told.append
        self.events: list[object] = []

    def version(self, _: str) -> int:
        """One for each event."""
        return 1 + len(self.events)

    def read(self, *, after: int, types: tuple[str, ...], removed: str) -> list[SimpleNamespace]:
        """Everything after a position."""
        assert types
        assert removed == "skip"
        return [
            SimpleNamespace(position=number, events=(event,))
            for number, event in enumerate(self.events, 1)
            if number > after
        ]

    def commit(self, kind: str, *events: object) -> None:
        """Put on record, and tell of it."""
        self.events += events
        self.told[0](len(self.events), frozenset((kind,)))


def followed(machine: Machine) -> tuple[Reclaiming, Any]:
    """On that machine, and told of everything in a log."""
    ours, log = reclaiming_of(machine), Log()
    store: Any = log
    ours.follow(store)
    return ours, log


def test_a_health_that_is_published_after_its_commit_is_not_taken_for_better() -> None:
    """The log tells of it first: whoever looked at once would see no reason to replace the process."""
    machine = Machine(990)
    machine.status, machine.levels = "healthy", {}
    _, log = followed(machine)
    log.commit("monitor.health_changed", monitor.HealthChanged("healthy", "critical", "memory", None, ("memory",)))
    eventually(lambda: machine.asked_for_version)
    machine.status, machine.levels = "critical", {"memory": "critical"}
    machine.version = 2
    eventually(lambda: machine.replaced == ["memory runs out: memory"])


@pytest.mark.parametrize("status", ["critical", "failing"])
def test_memory_that_runs_out_while_something_else_is_as_bad_is_given_back(status: str) -> None:
    """The status is the same, and what it stands for is not. One that gets better asks for nothing."""
    machine = Machine(990)
    machine.version = 3  # what is committed below is published already
    ours, log = followed(machine)
    ours.free_with("page cache", lambda: machine.free(300))
    log.commit("monitor.health_changed", monitor.HealthChanged("failing", "critical", "x", None, ("cpu", "memory")))
    eventually(lambda: not ours._looking)
    assert [] == asked(machine)
    log.commit("monitor.health_changed", monitor.HealthChanged(status, status, "x", None, ("cpu", "memory")))
    eventually(lambda: [("page cache", 300, 0)] == asked(machine))


@pytest.mark.parametrize("status", ["critical", "failing"])
def test_what_was_given_back_and_taken_again_is_asked_for_again(status: str) -> None:
    """The health is critical as before, so nothing is on record of it but samples; it ends with another process."""
    machine = Machine(990)
    machine.status = status
    ours, log = followed(machine)
    ours.free_with("page cache", lambda: machine.free(300))
    log.commit("monitor.sampled")
    eventually(lambda: [("page cache", 300, 0)] == asked(machine))
    eventually(lambda: not ours._looking)
    machine.seconds += hosting.AGAIN_S
    log.commit("monitor.sampled")  # below the threshold: nobody is asked
    eventually(lambda: not ours._looking)
    ours.free_with("page cache", lambda: None)
    machine.used_mib = 999
    log.commit("monitor.sampled")
    eventually(lambda: ["memory runs out: memory 99.9 %"] == machine.replaced)
    assert [("page cache", 300, 0), ("page cache", 0, 249), ("caches of browser", 50, 199)] == asked(machine)


def test_a_process_is_not_replaced_once_the_danger_is_over() -> None:
    """Less was given back than was wanted, but memory is critical no more. A stall that is stays a reason."""
    for stall, ends in (("healthy", 0), ("critical", 1)):
        machine = Machine(940)
        machine.levels = {"oom": "critical", "memory_stall": stall}
        assert not reclaiming_of(machine).reclaim("critical", "1 process killed for lack of memory")
        assert ends == len(machine.replaced)


def test_one_that_wants_to_end_the_process_ends_nothing() -> None:
    """Not even our own looking: the next time that memory is scarce, it is asked again like all others."""
    machine = Machine(990)
    ours, log = followed(machine)

    def leaves() -> None:
        raise SystemExit(3)

    ours.free_with("leaves", leaves)
    for _ in range(2):
        log.commit("monitor.sampled")
        eventually(lambda: not ours._looking)
        machine.seconds, machine.used_mib = machine.seconds + reclaiming.USELESS_FOR_S, 990
    assert ["SystemExit: 3", "SystemExit: 3"] == [one.error for one in machine.told if getattr(one, "error", "")]


def test_one_that_hangs_takes_one_thread_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not called again while it is still at it, however often memory is scarce."""
    monkeypatch.setattr(hosting, "TIMEOUT_S", 0.01)
    machine, over, calls = Machine(900), threading.Event(), [0]
    ours = reclaiming_of(machine)

    def hangs() -> None:
        calls[0] += 1
        over.wait(30.0)

    ours.free_with("hangs", hangs)
    for _ in range(3):
        ours.reclaim("warning", "memory")
        machine.seconds += reclaiming.USELESS_FOR_S
    over.set()
    assert [1] == calls
    assert (
        "it is still at it since it was asked before" == [one for one in machine.told if one.name == "hangs"][-1].error
    )


def believed(ours: Reclaiming, machine: Machine) -> list[str]:
    """The checker: who is asked although enough was freed, or is not asked although it was not."""
    ours.free_with("boaster", lambda: 500 * MIB)
    ours.free_with("helps", lambda: machine.free(200))
    ours.reclaim("warning", "memory")
    return [name for name, _, _ in asked(machine)]


def test_the_checker_sees_a_hook_that_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: whoever was asked is taken to have freed all that was needed."""
    machine = Machine(900)
    assert ["boaster", "helps"] == believed(reclaiming_of(machine), machine)
    needs = iter([150 * MIB, 0])
    monkeypatch.setattr(reclaiming, "needed_bytes", lambda *_: next(needs, 0))
    machine = Machine(900)
    assert ["boaster", "helps"] != believed(reclaiming_of(machine), machine)


def test_a_running_mode_asks_as_soon_as_memory_is_scarce(
    tmp_path: Path, sampled: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was freed stands in the log, with what is missing still."""
    machine = Machine(970)
    monkeypatch.setattr(CalmSampler, "look", lambda _: machine.look())
    sampled["memory_percent"] = 10.0
    mode = LongRunningMode(settings(tmp_path))
    mode.free_memory_with("page cache", lambda: machine.free(300))
    with mode as running:
        freed = wait_for(running, "modes.memory_reclaimed")
        assert ("page cache", 300 * MIB, 0, "") == (
            freed.event.name,
            freed.event.freed_bytes,
            freed.event.needed_bytes,
            freed.event.error,
        )
