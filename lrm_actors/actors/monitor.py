"""How the monitor sees the world: samples of the machine and of this process with its children, and its components.

Talks to the kernel through psutil, which is imported with the first sample, and to the component registry. Each metric
is read on its own, so that one that cannot be read takes no other with it. It becomes None and a reason, never zero.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs

from lrm_actors.actors.analyzer import text_of
from lrm_actors.actors.cgroups import MemoryUse, tightest_limit
from lrm_actors.actors.processes import (
    NotHere,
    ProcessTree,
    cpu_s,
    open_files,
    own_memory_bytes,
    threads,
    virtual_memory_bytes,
)
from lrm_actors.domain.behavior import Command, Effect
from lrm_actors.domain.metrics import METRICS, Metrics, nothing_known
from lrm_actors.domain.monitor import CheckHeartbeats, Observation, RecordObservations, RecordSample, TakeSample

SETTLE_S = 0.2
"""Least time between two readings of the CPU times: the kernel counts in steps of 10 ms, and a few say little."""
MAX_REASON = 120
"""Characters kept of why a metric is unknown."""
HOLD_UPS = 16
"""Times this process was held up that are remembered."""
MIB = 1024 * 1024

T = TypeVar("T")


@attrs.frozen
class _CpuTimes:
    """One reading of CPU times; what could not be read is the error."""

    at_s: float
    machine: tuple[float, float] | Exception
    """Seconds idle and seconds in all, of all CPUs."""
    tree: dict[tuple[int, float], float] | Exception
    """Seconds used by each process."""


class Sampler:
    """Takes samples. Safe from any thread, one sample at a time.

    Args:
        checkpoint_dir: whose disk must not run full. May not exist yet; may be assigned while running.
        memory_budget_mb: MiB that this process and its children should get by with. May be assigned while running.
        monotonic, sleep: the time.
        memory_limit: the tightest limit of the control groups.
    """

    def __init__(
        self,
        checkpoint_dir: Path,
        *,
        memory_budget_mb: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        memory_limit: Callable[[], MemoryUse | None] = tightest_limit,
    ) -> None:
        self.checkpoint_dir = checkpoint_dir
        self.memory_budget_mb = memory_budget_mb
        self.unsupported: dict[str, str] = {}
        """Metrics that this platform does not have, and why. Decided with the first sample."""
        self._monotonic, self._sleep, self._memory_limit = monotonic, sleep, memory_limit
        self._one = threading.Lock()
        self._before: _CpuTimes | None = None
        self._first = True

    def sample(self) -> Metrics | None:
        """Read everything. May block for a moment and never raises; None while another thread is at it."""
        if not self._one.acquire(blocking=False):
            return None  # a reading that hangs must not take one thread after the other with it
        try:
            import psutil  # noqa: F401 - without it nothing is known, and there is one reason
        except ImportError as error:
            return nothing_known(_reason(error))
        else:
            return self._sample()
        finally:
            self._one.release()

    def _sample(self) -> Metrics:
        before = self._before or self._cpu_times()
        wait_s = before.at_s + SETTLE_S - self._monotonic()
        if wait_s > 0:
            self._sleep(wait_s)
        now = self._before = self._cpu_times()
        tree = _Once(ProcessTree)
        readers: dict[str, Callable[[], float]] = {
            "cpu_percent": lambda: _machine_percent(before.machine, now.machine),
            "process_cpu_percent": lambda: _tree_percent(before, now),
            "memory_percent": lambda: self._memory_percent(tree),
            "memory_rss_bytes": lambda: tree().total(own_memory_bytes),
            "memory_virtual_bytes": lambda: tree().total(virtual_memory_bytes),
            "disk_free_bytes": lambda: _disk_free_bytes(self.checkpoint_dir),
            "disk_read_bytes": lambda: _disk_counter("read_bytes"),
            "disk_write_bytes": lambda: _disk_counter("write_bytes"),
            "network_sent_bytes": lambda: _network_counter("bytes_sent"),
            "network_received_bytes": lambda: _network_counter("bytes_recv"),
            "thread_count": lambda: tree().total(threads),
            "open_files": lambda: tree().total(open_files),
        }
        values: dict[str, Any] = {}
        unknown: dict[str, str] = {}
        for name in METRICS:
            if name not in readers:
                self.unsupported[name] = "not read in this release"
            if name in self.unsupported:
                continue
            try:
                values[name] = readers[name]()
            except NotHere as error:
                # What was there before and is not any more is not known; what never was there is not missed.
                (self.unsupported if self._first else unknown)[name] = _reason(error)
            except Exception as error:  # noqa: BLE001 - whatever went wrong, this one is not known
                unknown[name] = _reason(error)
        self._first = False
        return Metrics(**values, unknown=unknown)

    def _cpu_times(self) -> _CpuTimes:
        return _CpuTimes(self._monotonic(), _or_error(_machine_times), _or_error(lambda: ProcessTree().each(cpu_s)))

    def _memory_percent(self, tree: _Once) -> float:
        """The share in use of what would run out first: the machine, a control group, the budget."""
        import psutil

        machine = psutil.virtual_memory()
        if machine.total <= 0:
            msg = f"the machine says it has {machine.total} bytes of memory"
            raise ValueError(msg)
        shares = [100.0 * (machine.total - machine.available) / machine.total]
        smallest = machine.total
        group = self._memory_limit()
        if group is not None:
            shares.append(group.percent)
            smallest = min(smallest, group.limit_bytes)
        budget = self.memory_budget_mb
        if budget is not None and budget * MIB < smallest:
            shares.append(100.0 * tree().total(own_memory_bytes) / (budget * MIB))
        return _percent(max(shares))


class _Once:
    """A process tree looked at when it is first asked for; the error, if there was one, is raised each time."""

    def __init__(self, look: Callable[[], ProcessTree]) -> None:
        self._look = look
        self._seen: ProcessTree | Exception | None = None

    def __call__(self) -> ProcessTree:
        if self._seen is None:
            self._seen = _or_error(self._look)
        if isinstance(self._seen, Exception):
            raise self._seen
        return self._seen


# Single readings


def _machine_times() -> tuple[float, float]:
    import psutil

    times = psutil.cpu_times()
    # The guests' times are contained in those of the users.
    whole = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return times.idle + getattr(times, "iowait", 0.0), whole


def _machine_percent(before: tuple[float, float] | Exception, now: tuple[float, float] | Exception) -> float:
    """The share of time that the CPUs were busy between two readings."""
    (idle_before, whole_before), (idle, whole) = _known(before), _known(now)
    if whole <= whole_before:
        msg = "the CPU times did not advance"
        raise ValueError(msg)
    return _percent(100.0 * (1.0 - (idle - idle_before) / (whole - whole_before)))


def _tree_percent(before: _CpuTimes, now: _CpuTimes) -> float:
    """The share of all CPUs that the process tree used between two readings. Who ended meanwhile is not counted."""
    import psutil

    used_before, used = _known(before.tree), _known(now.tree)
    spent_s = sum(max(seconds - used_before.get(key, 0.0), 0.0) for key, seconds in used.items())
    available_s = (now.at_s - before.at_s) * (psutil.cpu_count() or 1)
    if available_s <= 0:
        msg = "no time went by between two readings"
        raise ValueError(msg)
    return _percent(100.0 * spent_s / available_s)


def _disk_free_bytes(folder: Path) -> int:
    import psutil

    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return int(psutil.disk_usage(str(folder)).free)


def _disk_counter(name: str) -> int:
    import psutil

    counters = psutil.disk_io_counters()
    if counters is None:
        msg = "no disk is counted here"
        raise NotHere(msg)
    return int(getattr(counters, name))


def _network_counter(name: str) -> int:
    import psutil

    counters = psutil.net_io_counters()
    if not counters:
        msg = "no network interface is counted here"
        raise NotHere(msg)
    return int(getattr(counters, name))


def _percent(value: float) -> float:
    """Between 0 and 100, to one place: more would only make the log longer."""
    return round(min(max(value, 0.0), 100.0), 1)


def _or_error(read: Callable[[], T]) -> T | Exception:
    try:
        return read()
    except Exception as error:  # noqa: BLE001 - raised again where the metric is made
        return error


def _known(outcome: T | Exception) -> T:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _reason(error: BaseException) -> str:
    name = "" if isinstance(error, NotHere) else type(error).__name__
    return ": ".join(part for part in (name, text_of(error)) if part)[:MAX_REASON]


# Handling the effects


class HeartbeatCheck:
    """Looks at every component, and does not hold against them the time that this process was itself held up.

    Args:
        observe: how every component looks now.
        monotonic: the time.
    """

    def __init__(self, observe: Callable[[], tuple[Observation, ...]], monotonic: Callable[[], float]) -> None:
        self._observe, self._monotonic = observe, monotonic
        self._hold_ups: deque[tuple[float, float]] = deque(maxlen=HOLD_UPS)

    def __call__(self, effect: CheckHeartbeats) -> RecordObservations:
        """Answer with what was seen, also when there is nothing: the monitor judges the health at the same time."""
        now_s = self._monotonic()
        gap_s = max(0.0, now_s - effect.due_s)
        seen = self._observe()
        timeouts = [one.heartbeat_timeout_s for one in seen if one.heartbeat_timeout_s is not None]
        if timeouts and gap_s >= min(timeouts) / 2:
            self._hold_ups.append((now_s - gap_s, now_s))
        return RecordObservations(tuple(self._credited(one, now_s) for one in seen), gap_s)

    def _credited(self, one: Observation, now_s: float) -> Observation:
        if one.heartbeat_age_s is None:
            return one
        beat_s = now_s - one.heartbeat_age_s
        held_s = sum(max(0.0, end_s - max(start_s, beat_s)) for start_s, end_s in self._hold_ups)
        return attrs.evolve(one, heartbeat_age_s=max(0.0, one.heartbeat_age_s - held_s)) if held_s else one


def monitor_handlers(
    sampler: Sampler,
    observe: Callable[[], tuple[Observation, ...]],
    monotonic: Callable[[], float] = time.monotonic,
) -> Mapping[type[Effect], Callable[[Any], Command | None]]:
    """How the monitor's effects are carried out.

    Args:
        sampler: takes the samples.
        observe: how every component of the host looks now; ``ComponentRegistry.observe``.
        monotonic: the clock that ``CheckHeartbeats.due_s`` was taken from.
    """

    def take_sample(_: TakeSample) -> Command | None:
        metrics = sampler.sample()
        return None if metrics is None else RecordSample(metrics)

    return {TakeSample: take_sample, CheckHeartbeats: HeartbeatCheck(observe, monotonic)}
