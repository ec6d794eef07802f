"""The sampler on the real machine, with a real tree of processes; and what it says of what it cannot read."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import psutil
import pytest

from lrm_actors.actors import monitor as actors_monitor
from lrm_actors.actors.cgroups import MemoryUse
from lrm_actors.actors.monitor import MIB, Sampler, monitor_handlers
from lrm_actors.domain import monitor
from lrm_actors.domain.metrics import METRICS
from lrm_actors.domain.monitor import (
    CheckHeartbeats,
    Metrics,
    MonitorState,
    Observation,
    RecordObservations,
    RecordSample,
    TakeSample,
)
from tests.domain.kit import START, Run

TREE = """
import subprocess, sys, threading
ballast = bytearray(40 * 1024 * 1024)
ballast[::4096] = b"x" * len(ballast[::4096])
waiting = threading.Event()
for _ in range(5):
    threading.Thread(target=waiting.wait, daemon=True).start()
files = [open("/dev/null") for _ in range(20)]
code = "print('ready', flush=True); import sys; sys.stdin.read()"
child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
sys.stdin.read()
child.stdin.close()
child.wait()
"""


@contextmanager
def tree() -> Iterator[psutil.Process]:
    """A child with 40 MiB, 5 more threads and 20 more files, and a grandchild; both up and waiting."""
    child = subprocess.Popen([sys.executable, "-c", TREE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        assert b"ready\n" == child.stdout.readline()
        yield psutil.Process(child.pid)
    finally:
        child.stdin.close()
        child.wait()
        child.stdout.close()


def taken(sampler: Sampler) -> Metrics:
    """A sample that no other thread was in the way of."""
    metrics = sampler.sample()
    assert metrics is not None
    return metrics


@pytest.fixture
def sampler(tmp_path: Path) -> Sampler:
    """A sampler whose checkpoint directory does not exist yet."""
    return Sampler(tmp_path / "not" / "yet")


def broken(*args: object, **kwargs: object) -> Any:
    """Stands in for any reading that fails."""
    raise OSError(5, "Input/output error")


# On the real machine


def test_the_first_sample_knows_everything(sampler: Sampler) -> None:
    """Also the CPU, which takes two readings; percentages are between 0 and 100, and nothing else is negative."""
    metrics = taken(sampler)
    assert {} == metrics.unknown
    for name in METRICS:
        value = getattr(metrics, name)
        assert (value is None) == (name in sampler.unsupported), name
        assert value is None or 0 <= value, name
        assert value is None or not name.endswith("percent") or value <= 100.0, name


def test_children_count(sampler: Sampler) -> None:
    """What a child and a grandchild hold is part of what this process holds."""
    before = taken(sampler)
    with tree() as child:
        during = taken(sampler)
        assert 1 == len(child.children())
    assert during.memory_rss_bytes - before.memory_rss_bytes > 40 * MIB  # type: ignore[operator]  # all are known
    assert during.thread_count - before.thread_count >= 7  # type: ignore[operator]
    assert during.open_files - before.open_files >= 26  # type: ignore[operator]
    assert {} == during.unknown


def test_memory_that_is_shared_counts_once(sampler: Sampler) -> None:
    """Children that share their parent's pages do not multiply them, as a sum of resident sizes would."""
    shared = multiprocessing.get_context("fork").RawArray("b", 32 * MIB)
    shared[:] = b"x" * len(shared)
    with tree():
        metrics = taken(sampler)
        whole = [psutil.Process(), *psutil.Process().children(recursive=True)]
        resident = sum(process.memory_info().rss for process in whole)
    assert metrics.memory_rss_bytes is not None
    assert metrics.memory_rss_bytes < resident - 32 * MIB


def test_a_busy_child_is_seen_in_both_figures(sampler: Sampler) -> None:
    """A child that keeps one CPU busy shows in the machine's share and in the tree's."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        try:
            ran_s = 0.0
            while ran_s < 0.05:  # until the kernel's clock has counted it
                ran_s = psutil.Process(child.pid).cpu_times().user
            metrics = taken(sampler)
        finally:
            child.kill()
    assert metrics.process_cpu_percent is not None
    assert metrics.cpu_percent is not None
    assert metrics.process_cpu_percent > 0.0
    assert metrics.cpu_percent > 0.0


def test_a_zombie_takes_nothing_with_it(sampler: Sampler) -> None:
    """A child that ended and was not waited for is left out, and makes nothing unknown."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and still there
        assert psutil.STATUS_ZOMBIE == psutil.Process(child.pid).status()
        assert {} == taken(sampler).unknown


# What cannot be read


@pytest.mark.parametrize(
    ("function", "lost"),
    [
        ("cpu_times", {"cpu_percent"}),
        ("virtual_memory", {"memory_percent"}),
        ("disk_usage", {"disk_free_bytes"}),
        ("disk_io_counters", {"disk_read_bytes", "disk_write_bytes"}),
        ("net_io_counters", {"network_sent_bytes", "network_received_bytes"}),
    ],
)
def test_one_that_fails_takes_no_other_with_it(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch, function: str, lost: set[str]
) -> None:
    """It is None and a reason; every other metric is read all the same."""
    taken(sampler)
    monkeypatch.setattr(psutil, function, broken)
    metrics = taken(sampler)
    assert dict.fromkeys(lost, "OSError: [Errno 5] Input/output error") == metrics.unknown
    assert all(getattr(metrics, name) is None for name in lost)
    assert all(getattr(metrics, name) is not None for name in set(METRICS) - lost - set(sampler.unsupported))


def test_the_tree_that_cannot_be_read(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metrics of the tree are unknown, and the machine's are not."""
    monkeypatch.setattr(psutil.Process, "children", broken)
    metrics = taken(sampler)
    tree_metrics = {"process_cpu_percent", "memory_rss_bytes", "memory_virtual_bytes", "thread_count", "open_files"}
    assert tree_metrics == set(metrics.unknown)
    assert metrics.cpu_percent is not None
    assert metrics.memory_percent is not None


def test_a_process_that_ends_meanwhile_is_left_out(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between finding a child and reading it, it may be gone."""

    def gone(process: psutil.Process, **_: object) -> list[psutil.Process]:
        with subprocess.Popen([sys.executable, "-c", ""]) as child:
            found = psutil.Process(child.pid)
        return [found]

    monkeypatch.setattr(psutil.Process, "children", gone)
    assert {} == taken(sampler).unknown


def test_what_the_platform_does_not_have_is_not_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decided with the first sample: missing then is unsupported, missing later is unknown."""
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    without = Sampler(tmp_path)
    assert {} == taken(without).unknown
    assert {"disk_read_bytes", "disk_write_bytes"} <= set(without.unsupported)
    monkeypatch.undo()
    having = Sampler(tmp_path)
    if "disk_read_bytes" in having.unsupported:
        return
    taken(having)
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    assert {"disk_read_bytes", "disk_write_bytes"} == set(taken(having).unknown)


def test_without_psutil_nothing_is_known(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it has one reason, and the system goes on."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    metrics = taken(sampler)
    assert set(METRICS) == set(metrics.unknown)
    assert "psutil" in metrics.unknown["cpu_percent"]


def test_cpu_times_that_stand_still_are_unknown(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two readings alike say nothing, least of all that the machine is idle."""
    times = psutil.cpu_times()
    monkeypatch.setattr(psutil, "cpu_times", lambda: times)
    assert "did not advance" in taken(sampler).unknown["cpu_percent"]


def test_a_reading_that_hangs_holds_one_thread_only(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread is at it the others go away empty-handed, and do not queue up behind a dead disk."""
    hangs, entered = threading.Event(), threading.Event()

    def slow(_: str) -> Any:
        entered.set()
        assert hangs.wait(30)
        raise TimeoutError

    monkeypatch.setattr(psutil, "disk_usage", slow)
    first = threading.Thread(target=sampler.sample)
    first.start()
    assert entered.wait(30)
    assert [None, None] == [sampler.sample(), sampler.sample()]
    hangs.set()
    first.join()
    assert "disk_free_bytes" in taken(sampler).unknown


# Memory against what would run out first


def memory_percent(tmp_path: Path, group: MemoryUse | None, budget_mb: float | None = None) -> float:
    """The share of memory in use, given a control group and a budget."""
    metrics = taken(Sampler(tmp_path, memory_budget_mb=budget_mb, memory_limit=lambda: group))
    assert metrics.memory_percent is not None
    return metrics.memory_percent


def test_a_control_group_counts_before_the_machine(tmp_path: Path) -> None:
    """At 98 % of its group's limit a process is about to be killed, however much the machine has left."""
    assert 98.0 == memory_percent(tmp_path, MemoryUse(98 * MIB, 100 * MIB))
    assert memory_percent(tmp_path, MemoryUse(0, 100 * MIB)) == pytest.approx(psutil.virtual_memory().percent, abs=5.0)


def test_a_budget_counts_where_it_is_the_smallest(tmp_path: Path) -> None:
    """Against a small budget the tree's own memory is the share; a budget above the limit changes nothing."""
    own = memory_percent(tmp_path, MemoryUse(1, 10**15), budget_mb=1.0)
    assert 100.0 == own
    assert 50.0 == memory_percent(tmp_path, MemoryUse(50 * MIB, 100 * MIB), budget_mb=101.0)


def test_the_budget_can_be_changed_while_running(sampler: Sampler) -> None:
    """The next sample is judged by it."""
    before = taken(sampler).memory_percent
    sampler.memory_budget_mb = 1.0
    assert 100.0 == taken(sampler).memory_percent
    sampler.memory_budget_mb = None
    assert taken(sampler).memory_percent == pytest.approx(before, abs=5.0)


# The checker: a failing sampler must never look healthy


class IdleTimes(NamedTuple):
    user: float
    idle: float


def health_when(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **failing: Callable[..., Any]) -> str:
    """The checker: what the monitor makes of an idle machine, sampled while these functions of psutil fail."""
    seconds = itertools.count(1)
    idle: dict[str, Callable[..., Any]] = {
        "cpu_times": lambda: IdleTimes(0.0, next(seconds)),
        "virtual_memory": lambda: SimpleNamespace(total=100 * MIB, available=90 * MIB),
    }
    with monkeypatch.context() as patch:
        for name, function in {**idle, **failing}.items():
            patch.setattr(psutil, name, function)
        sampler = Sampler(tmp_path, memory_limit=lambda: None, sleep=lambda _: None)
        command = monitor_handlers(sampler, tuple)[TakeSample](TakeSample())
    assert isinstance(command, RecordSample)
    run: Run[MonitorState] = Run.of(monitor.spec())
    run.tell(command)
    return run.state.status


def test_a_sampler_that_fails_is_never_healthy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whichever of CPU and memory cannot be read, the monitor says so, on a machine that has nothing else to say."""
    assert "healthy" == health_when(monkeypatch, tmp_path)
    assert "warning" == health_when(monkeypatch, tmp_path, cpu_times=broken)
    assert "warning" == health_when(monkeypatch, tmp_path, virtual_memory=broken)


def test_the_checker_sees_a_failure_read_as_zero(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The planted bug: a reading that failed counts as 0 %, and the blind monitor is content."""
    honest = actors_monitor._machine_percent

    def zero_when_failing(before: Any, now: Any) -> float:
        return 0.0 if isinstance(now, Exception) else honest(before, now)

    monkeypatch.setattr(actors_monitor, "_machine_percent", zero_when_failing)
    assert "healthy" == health_when(monkeypatch, tmp_path, cpu_times=broken)


# Heartbeats


class Times:
    """A clock that stands where it is put."""

    now_s = START.monotonic_s

    def __call__(self) -> float:
        return self.now_s


def check(times: Times, *seen: Observation) -> Callable[[float], RecordObservations]:
    """A heartbeat check over these components, called with when it was due."""
    handlers = monitor_handlers(Sampler(Path()), lambda: seen, times)

    def run(due_s: float) -> RecordObservations:
        command = handlers[CheckHeartbeats](CheckHeartbeats(due_s))
        assert isinstance(command, RecordObservations)
        return command

    return run


def test_how_late_a_check_came_is_told() -> None:
    """The monitor learns it with what was seen; a check with nothing to see answers too."""
    times = Times()
    assert RecordObservations((), 2.5) == check(times)(times.now_s - 2.5)
    assert RecordObservations((), 0.0) == check(times)(times.now_s + 1.0)


def test_time_held_up_does_not_count_against_a_component() -> None:
    """After this process was stopped for 20 s, a heartbeat 21 s old is 1 s old, also at the checks that follow."""
    times = Times()
    ages = [21.0, 22.0, 30.0]
    handlers = monitor_handlers(Sampler(Path()), lambda: (Observation("browser", ages.pop(0), 10.0),), times)
    seen = []
    for late_s, gone_s in ((20.0, 0.0), (0.0, 1.0), (0.0, 8.0)):
        times.now_s += gone_s
        command = handlers[CheckHeartbeats](CheckHeartbeats(times.now_s - late_s))
        assert isinstance(command, RecordObservations)
        seen.append(command.observations[0].heartbeat_age_s)
    assert [1.0, 2.0, 10.0] == seen


def test_a_beat_since_the_hold_up_is_as_old_as_it_is() -> None:
    """Only the part of the hold-up that lies after the last heartbeat is credited."""
    times = Times()
    run = check(times, Observation("browser", 3.0, 10.0), Observation("silent", None, None))
    assert (Observation("browser", 0.0, 10.0), Observation("silent", None, None)) == run(times.now_s - 5.0).observations
    times.now_s += 100.0
    assert 3.0 == run(times.now_s).observations[0].heartbeat_age_s
