"""The sampler on the real machine, with a real tree of processes; and what it says of what it cannot read."""

from __future__ import annotations

import gc
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from lrm_actors.actors.monitor import monitor_handlers
from lrm_actors.actors.sampling import figures
from lrm_actors.actors.sampling import sampler as sampling
from lrm_actors.actors.sampling.cgroups import Groups, MemoryUse
from lrm_actors.actors.sampling.machine import Disk, LinuxMachine, MachineMemory, PortableMachine
from lrm_actors.actors.sampling.memory import MIB
from lrm_actors.actors.sampling.pressure import Stall
from lrm_actors.actors.sampling.readings import NotHere
from lrm_actors.actors.sampling.sampler import Sampler
from lrm_actors.actors.sampling.tree import LinuxTree, PortableTree, Tree
from lrm_actors.domain import monitor
from lrm_actors.domain.metrics import METRICS
from lrm_actors.domain.monitor import Metrics, MonitorState, RecordSample, TakeSample
from tests.domain.kit import Run
from tests.runtime.support import eventually

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


WHERE_THERE_IS_ONE = {
    "cgroup_cpu_percent", "cgroup_memory_bytes", "cgroup_memory_limit_bytes", "memory_limit_hit_count", "pids_percent",
    "swap_percent", "disk_inodes_free", "disk_inodes_percent", "loop_lag_s", "mailbox_depth",
}  # fmt: skip
"""Metrics of what a machine of any platform may have or not."""
LINUX = Path("/proc/self/stat").exists()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less time between two readings of the CPU, and no files that another test's sampler still holds."""
    monkeypatch.setattr(sampling, "SETTLE_S", 0.05)
    gc.collect()


@pytest.fixture
def sampler(tmp_path: Path) -> Sampler:
    """A sampler whose checkpoint directory does not exist yet."""
    return Sampler(tmp_path / "not" / "yet")


@pytest.fixture(params=["linux", "portable"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Sampler:
    """A sampler in each of the two ways to read."""
    if request.param == "linux" and not LINUX:
        pytest.skip("the kernel has no /proc here")
    if request.param == "linux":
        return Sampler(tmp_path, machine=LinuxMachine(), processes=LinuxTree())
    return Sampler(tmp_path, machine=PortableMachine(), processes=PortableTree())


def not_here(*args: object) -> Any:
    """Stands in for what a platform does not have."""
    raise NotHere("no disk is counted here")


def broken(*args: object, **kwargs: object) -> Any:
    """Stands in for any reading that fails."""
    raise OSError(5, "Input/output error")


# On the real machine


def test_the_first_sample_knows_everything(either: Sampler) -> None:
    """Also the CPU, which takes two readings; percentages are between 0 and 100, and nothing else is negative."""
    metrics = taken(either)
    assert {} == metrics.unknown
    for name in METRICS:
        value = getattr(metrics, name)
        assert (value is None) == (name in either.unsupported) or name in WHERE_THERE_IS_ONE, name
        assert value is None or 0 <= value, name
        assert value is None or not name.endswith("percent") or value <= 100.0, name


def test_children_count(either: Sampler) -> None:
    """What a child and a grandchild hold is part of what this process holds."""
    before = taken(either)
    with tree() as child:
        during = taken(either)
        assert 1 == len(child.children())
    assert during.memory_rss_bytes - before.memory_rss_bytes > 40 * MIB  # type: ignore[operator]  # all are known
    assert during.thread_count - before.thread_count >= 7  # type: ignore[operator]
    assert during.open_files - before.open_files >= 26  # type: ignore[operator]
    assert {} == during.unknown


SHARER = """
import mmap, sys
with open(sys.argv[1], "r+b") as file:
    pages = mmap.mmap(file.fileno(), 0)
sum(pages[::4096])
print("ready", flush=True)
sys.stdin.read()
"""


def test_memory_that_is_shared_counts_once(either: Sampler, tmp_path: Path) -> None:
    """What three processes share is not counted three times, as a sum of resident sizes would; and not as their own."""
    (tmp_path / "shared").write_bytes(bytes(32 * MIB))
    before = taken(either)
    with ExitStack() as held:
        for _ in range(3):
            command = [sys.executable, "-c", SHARER, str(tmp_path / "shared")]
            child = held.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            assert child.stdin is not None
            assert child.stdout is not None
            held.callback(child.stdin.close)
            assert b"ready\n" == child.stdout.readline()
        during = taken(either)
    assert during.memory_rss_bytes - before.memory_rss_bytes < 80 * MIB  # type: ignore[operator]  # all are known
    own = during.memory_anonymous_bytes - before.memory_anonymous_bytes  # type: ignore[operator]  # as above
    assert 0 < own < 60 * MIB


def test_a_busy_child_is_seen_in_both_figures(either: Sampler) -> None:
    """A child that keeps one CPU busy shows in the machine's share and in the tree's."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        try:
            # Others may have the CPUs between two readings.
            eventually(lambda: min(share or 0.0 for share in shares(taken(either))) > 0.0, "a busy child")
        finally:
            child.kill()


def shares(metrics: Metrics) -> tuple[float | None, float | None]:
    """Of the tree and of the machine."""
    return metrics.process_cpu_percent, metrics.cpu_percent


def test_a_zombie_is_seen_and_takes_nothing_with_it(either: Sampler) -> None:
    """A child that ended and was not waited for holds nothing, makes nothing unknown, and is counted as what it is."""
    before = taken(either)
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and still there
        during = taken(either)
    after = taken(either)
    assert {} == during.unknown
    assert (0, 1, 0) == (before.zombie_count, during.zombie_count, after.zombie_count)
    assert (before.process_count, 0) == (during.process_count, during.vanished_count)
    assert (1, 0) == (after.vanished_count, after.reused_pid_count)


def test_what_ended_meanwhile_used_its_time(either: Sampler) -> None:
    """CPU time of a child that began and ended between two samples counts, as its parent waited for it."""
    taken(either)
    work = "import time\nwhile time.process_time() < 0.1: pass"
    subprocess.run([sys.executable, "-c", work], check=True)
    metrics = taken(either)
    assert metrics.process_cpu_percent is not None
    assert metrics.process_cpu_percent > 0.0


def test_the_exact_memory_is_read_now_and_then(tmp_path: Path) -> None:
    """It is remembered in between, with its age; it lies between what nobody shares and all that is resident."""
    now_s = itertools.count(100.0, 10.0)
    sampler = Sampler(tmp_path, monotonic=lambda: next(now_s), sleep=lambda _: None)
    first = taken(sampler)
    if "memory_pss_bytes" in sampler.unsupported:
        return
    second = taken(sampler)
    assert second.memory_pss_bytes == first.memory_pss_bytes
    assert second.memory_pss_age_s is not None
    assert first.memory_pss_age_s is not None
    assert second.memory_pss_age_s > first.memory_pss_age_s
    assert first.memory_anonymous_bytes is not None
    assert first.memory_rss_bytes is not None
    assert first.memory_pss_bytes is not None
    assert first.memory_anonymous_bytes * 0.8 < first.memory_pss_bytes < first.memory_rss_bytes * 1.2


# What cannot be read

SOURCES = {
    "cpu_times": {"cpu_percent"},
    "memory": {"memory_percent", "memory_limit_bytes", "memory_headroom_bytes", "memory_available_bytes"}
    | {"swap_percent"},
    "disk_io": {"disk_read_bytes", "disk_write_bytes"},
    "network": {"network_sent_bytes", "network_received_bytes"},
    "load_1m": {"load_1m"},
}
"""What a machine is asked, and the metrics that come of it."""
TREE_METRICS = {
    "process_cpu_percent", "memory_rss_bytes", "memory_anonymous_bytes", "memory_virtual_bytes", "memory_pss_bytes",
    "process_count", "thread_count", "zombie_count", "vanished_count", "reused_pid_count", "open_files",
    "open_files_percent",
}  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_one_that_fails_takes_no_other_with_it(either: Sampler, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """It is None and a reason; every other metric is read all the same."""
    before = taken(either)
    monkeypatch.setattr(either._machine, source, broken)
    metrics = taken(either)
    lost = SOURCES[source] - either.unsupported.keys()
    assert dict.fromkeys(lost, "OSError: [Errno 5] Input/output error") == metrics.unknown
    assert all(getattr(metrics, name) is None for name in lost)
    there = {name for name in METRICS if getattr(before, name) is not None}
    assert there - lost == {name for name in METRICS if getattr(metrics, name) is not None}


def test_the_tree_that_cannot_be_read(either: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metrics of the tree are unknown, and the machine's are not."""
    taken(either)
    monkeypatch.setattr(either._processes, "look", broken)
    metrics = taken(either)
    assert TREE_METRICS - either.unsupported.keys() == set(metrics.unknown)
    assert metrics.cpu_percent is not None
    assert metrics.memory_percent is not None


@pytest.mark.parametrize("column", ["shared_bytes", "open_files"])
def test_a_column_of_the_tree_that_cannot_be_read(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    """One process whose descriptors nobody may count makes the count unknown, and nothing else."""
    lost = {
        "shared_bytes": {"memory_rss_bytes", "memory_anonymous_bytes"},
        "open_files": {"open_files", "open_files_percent"},
    }
    honest = sampler._processes.look

    def without() -> Tree:
        tree = honest()
        setattr(tree, column, PermissionError(13, "Permission denied"))
        return tree

    taken(sampler)
    monkeypatch.setattr(sampler._processes, "look", without)
    assert lost[column] == set(taken(sampler).unknown)


def test_what_the_platform_does_not_have_is_not_unknown(
    either: Sampler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decided with the first sample: missing then is unsupported, missing later is unknown."""
    without = Sampler(tmp_path)
    monkeypatch.setattr(without._machine, "disk_io", not_here)
    assert {} == taken(without).unknown
    assert {"disk_read_bytes", "disk_write_bytes"} <= set(without.unsupported)
    taken(either)
    if "disk_read_bytes" not in either.unsupported:
        monkeypatch.setattr(either._machine, "disk_io", not_here)
        assert {"disk_read_bytes", "disk_write_bytes"} == set(taken(either).unknown)


def test_a_platform_without_the_kernel_s_files_is_seen_through_psutil(tmp_path: Path) -> None:
    """As macOS: no stalls, no control groups, no exact memory, and nothing of that is unknown."""
    nowhere = tmp_path / "nowhere"
    sampler = Sampler(tmp_path, proc=nowhere, groups=Groups(nowhere, nowhere))
    metrics = taken(sampler)
    assert {} == metrics.unknown
    assert {"memory_stall_full_percent", "memory_pss_bytes", "oom_kill_count"} <= sampler.unsupported.keys()
    assert (None, "machine") == (metrics.cgroup_memory_bytes, metrics.limited_by)
    assert metrics.process_count is not None
    assert metrics.memory_percent is not None
    look = sampler.memory_reader().look()
    assert look.memory_percent == pytest.approx(metrics.memory_percent, abs=5.0)
    assert {} == taken(sampler).unknown


@pytest.mark.skipif(not LINUX, reason="the kernel has no /proc here")
def test_a_first_sample_that_fails_is_no_reason_to_know_less_for_ever(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where no descriptor is left just then: afterwards everything is known, and nothing is taken for missing."""
    with monkeypatch.context() as trouble:
        trouble.setattr(LinuxTree, "look", broken)
        trouble.setattr(Groups, "unified", broken)
        first = taken(sampler)
    assert {"memory_stall_full_percent", "zombie_count"} <= first.unknown.keys()
    taken(sampler)
    later = taken(sampler)
    assert {} == later.unknown
    assert later.memory_pss_age_s is not None


def test_a_sample_that_fails_as_a_whole_knows_nothing(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it has one reason, and the system goes on."""
    monkeypatch.setattr(sampler, "_used", broken)
    metrics = taken(sampler)
    assert set(METRICS) == set(metrics.unknown)
    assert "Input/output" in metrics.unknown["cpu_percent"]


def test_without_psutil_a_linux_machine_is_still_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There psutil is not needed; elsewhere everything that it would have said is unknown, with one reason."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    if LINUX:
        assert {} == taken(Sampler(tmp_path)).unknown
    portable = taken(Sampler(tmp_path, machine=PortableMachine(), processes=PortableTree()))
    assert {"cpu_percent", "memory_percent", *TREE_METRICS} - {"memory_pss_bytes"} <= portable.unknown.keys()
    assert "psutil" in portable.unknown["cpu_percent"]


def test_cpu_times_that_stand_still_are_unknown(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two readings alike say nothing, least of all that the machine is idle."""
    times = sampler._machine.cpu_times()
    monkeypatch.setattr(sampler._machine, "cpu_times", lambda: times)
    assert "did not advance" in taken(sampler).unknown["cpu_percent"]


def test_a_reading_that_hangs_holds_one_thread_only(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread is at it the others go away empty-handed, and do not queue up behind a dead disk."""
    hangs, entered = threading.Event(), threading.Event()

    def slow(_: Path) -> Any:
        entered.set()
        assert hangs.wait(30)
        raise TimeoutError

    monkeypatch.setattr(sampling, "disk_of", slow)
    first = threading.Thread(target=sampler.sample)
    first.start()
    assert entered.wait(30)
    assert [None, None] == [sampler.sample(), sampler.sample()]
    hangs.set()
    first.join()
    assert {"disk_free_bytes", "disk_percent", "disk_inodes_free", "disk_inodes_percent"} == set(taken(sampler).unknown)


def test_a_sampler_that_was_closed_reads_on(sampler: Sampler) -> None:
    """Between two runs of a mode it holds no files, and opens them again with the next sample."""
    taken(sampler)
    if LINUX:
        held = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough
        sampler.close()
        assert len(os.listdir("/proc/self/fd")) < held  # noqa: PTH208 - as above
    assert {} == taken(sampler).unknown
    sampler.close()


# Memory against what would run out first


class Limited(Groups):
    """Control groups of which one has this use of its limit."""

    def __init__(self, use: MemoryUse | None) -> None:
        super().__init__()
        self.use = use

    def memory(self) -> MemoryUse | None:
        return self.use


def sample_of(tmp_path: Path, group: MemoryUse | None, budget_mb: float | None = None) -> Metrics:
    """A sample, given a control group and a budget."""
    return taken(Sampler(tmp_path, memory_budget_mb=budget_mb, groups=Limited(group)))


def test_a_control_group_counts_before_the_machine(tmp_path: Path) -> None:
    """At 98 % of its group's limit a process is about to be killed, however much the machine has left."""
    near = sample_of(tmp_path, MemoryUse(98 * MIB, 100 * MIB))
    assert (98.0, "cgroup", 2 * MIB) == (near.memory_percent, near.limited_by, near.memory_headroom_bytes)
    assert (98 * MIB, 100 * MIB) == (near.cgroup_memory_bytes, near.cgroup_memory_limit_bytes)
    far = sample_of(tmp_path, MemoryUse(0, 100 * MIB))
    assert "machine" == far.limited_by
    assert far.memory_percent == pytest.approx(psutil.virtual_memory().percent, abs=5.0)


def test_a_budget_counts_where_it_is_the_smallest(tmp_path: Path) -> None:
    """Against a small budget the tree's own memory is the share; a budget above the limit changes nothing."""
    own = sample_of(tmp_path, MemoryUse(1, 10**15), budget_mb=1.0)
    assert (100.0, "budget", MIB, 0) == (
        own.memory_percent, own.limited_by, own.memory_limit_bytes, own.memory_headroom_bytes
    )  # fmt: skip
    assert 50.0 == sample_of(tmp_path, MemoryUse(50 * MIB, 100 * MIB), budget_mb=101.0).memory_percent


def test_the_budget_can_be_changed_while_running(sampler: Sampler) -> None:
    """The next sample is judged by it, and so is the next look in between."""
    before = taken(sampler).memory_percent
    reader = sampler.memory_reader()
    sampler.memory_budget_mb = 1.0
    assert 100.0 == taken(sampler).memory_percent
    assert 100.0 == reader.look().memory_percent
    sampler.memory_budget_mb = None
    assert taken(sampler).memory_percent == pytest.approx(before, abs=5.0)
    assert reader.look().memory_percent == pytest.approx(before, abs=5.0)


def test_a_look_that_fails_is_unknown(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look between samples never raises and makes nothing up."""
    monkeypatch.setattr(Groups, "memory", broken)
    seen = sampler.memory_reader().look()
    assert seen.memory_percent is None
    assert "OSError: [Errno 5] Input/output error" == seen.unknown["memory_percent"]


# The checker: a failing sampler must never look healthy


class Idle(PortableMachine):
    """A machine that has nothing to do, and enough of everything."""

    def __init__(self) -> None:
        self.seconds = itertools.count(1)

    def cpu_times(self) -> tuple[float, float]:
        now = float(next(self.seconds))
        return now, now

    def memory(self) -> MachineMemory:
        return MachineMemory(100 * MIB, 90 * MIB, None)


def health_when(tmp_path: Path, failing: str = "", groups: Groups | None = None) -> str:
    """The checker: what the monitor makes of an idle machine, one of whose answers fails."""
    machine = Idle()
    if failing:
        setattr(machine, failing, broken)
    sampler = Sampler(tmp_path, machine=machine, groups=groups or Limited(None), sleep=lambda _: None)
    command = monitor_handlers(sampler, tuple)[TakeSample](TakeSample())
    assert isinstance(command, RecordSample)
    run: Run[MonitorState] = Run.of(monitor.spec())
    run.tell(command)
    return run.state.status


def test_a_sampler_that_fails_is_never_healthy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whichever of CPU, memory and its limits cannot be read, the monitor says so, on a machine that is idle."""
    assert "healthy" == health_when(tmp_path)
    assert "warning" == health_when(tmp_path, "cpu_times")
    assert "warning" == health_when(tmp_path, "memory")
    monkeypatch.setattr(Limited, "memory", broken)
    assert "warning" == health_when(tmp_path)


LATER: dict[str, tuple[Callable[[Sampler], Any], str]] = {
    "cpu": (lambda sampler: sampler._machine, "cpu_times"),
    "memory": (lambda sampler: sampler._machine, "memory"),
    "oom kills": (lambda sampler: sampler._machine, "oom_kills"),
    "the limit": (lambda sampler: sampler._groups, "memory"),
    "the quota": (lambda sampler: sampler._groups, "cpu_quotas"),
    "tasks": (lambda sampler: sampler._groups, "pids_percent"),
    "stalls": (lambda sampler: sampler._stalls["memory"], "percents"),
    "disk and inodes": (lambda _: sampling, "disk_of"),
    "the tree": (lambda sampler: sampler._processes, "look"),
    "descriptors": (lambda sampler: sampler._limits, "fullest_percent"),
    "the whole sample": (lambda sampler: sampler, "_used"),
}
"""Everything that the health is judged by, and where it is read."""


class Everything(Limited):
    """Control groups that limit everything, far away."""

    def __init__(self) -> None:
        super().__init__(MemoryUse(1, 50 * MIB))

    def cpu_quotas(self) -> dict[str, tuple[float, float]]:
        return {"/group": (1000.0, 0.0)}

    def pids_percent(self) -> float | None:
        return 1.0

    def oom_kills(self) -> int | None:
        return None


class Countless(Idle):
    """An idle machine that has killed nobody yet."""

    def oom_kills(self) -> int:
        return 0


@pytest.mark.parametrize("what", LATER)
def test_whatever_fails_later_is_never_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Each thing that is judged was there at first; from the moment that it cannot be read the health is a warning."""
    now_s = itertools.count(100.0, 10.0)
    sampler = Sampler(
        tmp_path,
        machine=Countless(),
        groups=Everything(),
        monotonic=lambda: next(now_s),
        sleep=lambda _: None,
    )
    monkeypatch.setattr(sampling, "disk_of", lambda _: Disk(10**12, 1.0, 10**9, 1.0))
    monkeypatch.setattr(Stall, "percents", lambda _: {"some": 0.0, "full": 0.0})
    handlers = monitor_handlers(sampler, tuple)
    run: Run[MonitorState] = Run.of(monitor.spec())

    def status() -> str:
        command = handlers[TakeSample](TakeSample())
        assert isinstance(command, RecordSample)
        run.seconds += 30.0
        run.tell(command)
        return run.state.status

    assert ["healthy", "healthy"] == [status(), status()]
    place, name = LATER[what]
    monkeypatch.setattr(place(sampler), name, broken)
    assert "healthy" not in [status(), status()]


def test_the_checker_sees_a_failure_read_as_zero(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The planted bug: a reading that failed counts as 0 %, and the blind monitor is content."""
    honest = figures.machine_percent

    def zero_when_failing(before: Any, now: Any) -> float:
        return 0.0 if isinstance(now.machine, Exception) else honest(before, now)

    monkeypatch.setattr(sampling, "machine_percent", zero_when_failing)
    assert "healthy" == health_when(tmp_path, "cpu_times")


def test_the_checker_sees_a_limit_that_cannot_be_read_taken_for_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The planted bug: a control group that fails counts as one without a limit."""

    def none_when_failing(groups: Limited) -> MemoryUse | None:
        with suppress(OSError):
            broken()
        return None

    monkeypatch.setattr(Limited, "memory", none_when_failing)
    assert "healthy" == health_when(tmp_path)
