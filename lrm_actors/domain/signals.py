"""What of a sample is judged: each signal with its thresholds, the pressure that it reads, and how a cause names it.

Pure. A signal that a platform does not have says nothing; one that should be known and is not is never healthy.
"""

from __future__ import annotations

from collections.abc import Callable

from eventstore.events import float_fields
from eventstore.frozen import frozen
from lrm_actors.domain.metrics import BUDGET, CGROUP, Metrics

GIB, MIB = 1024.0**3, 1024.0**2
DISK_FULL_BELOW_BYTES = 5 * GIB
"""A disk with more free space than this is not called full, whatever share of it is used: large disks often are."""


@frozen(field_transformer=float_fields)
class MonitorConfig:
    """The thresholds, and how long something must last before it counts.

    Of each time that comes with a count of intervals, the shorter holds: who samples more often wants to know sooner.
    """

    interval_s: float = 30.0
    """Seconds between samples in normal mode; the mode's multiplier is applied to it."""
    cpu_warning: float = 80.0
    cpu_critical: float = 95.0
    memory_warning: float = 80.0
    memory_critical: float = 95.0
    leave_below: float = 5.0
    """Points below an enter threshold at which its status is left again; twice that for what is noisy."""
    failing_components: int = 2
    """Distinct components failed within ``failing_window_s`` that make it failing."""
    failing_window_s: float = 60.0
    heartbeat_check_s: float = 2.0
    """Seconds between looks at heartbeats and exits of components."""
    warning_after_s: float = 45.0
    """Seconds at or above a threshold, or 1.5 intervals, until it is a warning."""
    critical_after_s: float = 165.0
    """Seconds, or 5.5 intervals, until it is critical, where no hard limit says so at once."""
    leave_after_s: float = 300.0
    """Seconds below, or 10 intervals, until a status is left."""
    hold_s: float = 45.0
    """Seconds, or 1.5 intervals, that a better status lasts at least before it may get better still."""

    @property
    def warning_dwell_s(self) -> float:
        """Seconds until a warning, at this interval."""
        return min(self.warning_after_s, 1.5 * self.interval_s)

    @property
    def critical_dwell_s(self) -> float:
        """Seconds until it is critical, at this interval."""
        return min(self.critical_after_s, 5.5 * self.interval_s)

    @property
    def leave_dwell_s(self) -> float:
        """Seconds until a status is left, at this interval."""
        return min(self.leave_after_s, 10.0 * self.interval_s)

    @property
    def least_hold_s(self) -> float:
        """Seconds that a status which got better lasts, at this interval."""
        return min(self.hold_s, 1.5 * self.interval_s)


@frozen
class Signal:
    """One thing that is judged."""

    name: str
    metric: str
    """The metric it is read from; the one that must be known."""
    thresholds: Callable[[MonitorConfig], tuple[float, float]]
    """Warning and critical."""
    read: Callable[[Metrics], float | None]
    say: Callable[[float, Metrics], str]
    """A value in words."""
    hard: bool = False
    """At its critical threshold it is critical at once: what comes next cannot be undone."""
    noisy: bool = False
    """It swings by nature: left at twice the margin, and the sooner the further below."""
    counter: bool = False
    """What counts is by how much it grew since it was last read."""
    required: bool = False
    """Every platform has it: it is not known whenever there is no value, with a reason or without."""
    margin: float | None = None
    """Points below a threshold at which it is left; None for that of the settings."""
    unit: str = " %"

    def leaves_below(self, config: MonitorConfig, threshold: float) -> float:
        """Where a status that was entered at a threshold is left."""
        margin = self.margin if self.margin is not None else config.leave_below * (2 if self.noisy else 1)
        return threshold - margin


def _metric(name: str) -> Callable[[Metrics], float | None]:
    def read(metrics: Metrics) -> float | None:
        value: float | None = getattr(metrics, name)
        return value

    return read


def _fixed(warning: float, critical: float) -> Callable[[MonitorConfig], tuple[float, float]]:
    return lambda _: (warning, critical)


def _cpu(config: MonitorConfig) -> tuple[float, float]:
    return config.cpu_warning, config.cpu_critical


def _memory(config: MonitorConfig) -> tuple[float, float]:
    return config.memory_warning, config.memory_critical


def _plain(what: str, of: str = "") -> Callable[[float, Metrics], str]:
    return lambda value, _: f"{what} {value:.1f} %{of}"


def _say_memory(value: float, metrics: Metrics) -> str:
    limit = metrics.memory_limit_bytes
    if limit is None:
        return f"memory {value:.1f} %"
    whose = {CGROUP: "cgroup limit ", BUDGET: "the budget of "}.get(metrics.limited_by, "the machine's ")
    return f"memory {value:.1f} % of {whose}{size_text(limit)}"


def _disk(metrics: Metrics) -> float | None:
    """How full, in percent; a disk that is large enough still is at most as full as its free space says."""
    percent, free = metrics.disk_percent, metrics.disk_free_bytes
    if percent is None or free is None:
        return percent
    return min(percent, 100.0 - 10.0 * min(free / DISK_FULL_BELOW_BYTES, 10.0))


def _say_disk(value: float, metrics: Metrics) -> str:
    free = metrics.disk_free_bytes
    return f"disk {value:.1f} % full" + ("" if free is None else f" with {size_text(free)} free")


def _say_open_files(value: float, metrics: Metrics) -> str:
    limit = metrics.open_files_limit
    return f"descriptors {value:.1f} %" + ("" if limit is None else f" of {limit}")


def _say_oom(value: float, _: Metrics) -> str:
    return f"{value:.0f} process{'' if value == 1 else 'es'} killed for lack of memory"


SIGNALS = (
    Signal("cpu", "cpu_percent", _cpu, _metric("cpu_percent"), _plain("cpu"), noisy=True, required=True),
    Signal(
        "cpu_quota", "cgroup_cpu_percent", _cpu, _metric("cgroup_cpu_percent"), _plain("cpu", " of cgroup quota"),
        noisy=True,
    ),
    Signal(
        "memory", "memory_percent", _memory, _metric("memory_percent"), _say_memory, hard=True, required=True
    ),
    Signal(  # what systemd-oomd kills at, 60 %, is critical here
        "memory_stall", "memory_stall_full_percent", _fixed(20.0, 60.0), _metric("memory_stall_full_percent"),
        _plain("stalled for memory"), noisy=True,
    ),
    Signal(
        "oom", "oom_kill_count", _fixed(1.0, 1.0), _metric("oom_kill_count"), _say_oom, hard=True, counter=True,
        margin=0.5, unit="",
    ),
    Signal("disk", "disk_percent", _fixed(90.0, 97.0), _disk, _say_disk, hard=True, margin=2.0),
    Signal(
        "inodes", "disk_inodes_percent", _fixed(90.0, 98.0), _metric("disk_inodes_percent"), _plain("inodes"),
        hard=True, margin=2.0,
    ),
    Signal(
        "descriptors", "open_files_percent", _fixed(80.0, 95.0), _metric("open_files_percent"), _say_open_files,
        hard=True,
    ),
    Signal("tasks", "pids_percent", _fixed(80.0, 95.0), _metric("pids_percent"), _plain("tasks"), hard=True),
    Signal(
        "zombies", "zombie_count", _fixed(20.0, 200.0), _metric("zombie_count"),
        lambda value, _: f"{value:.0f} zombie processes", unit="",
    ),
)  # fmt: skip
"""Everything that is judged, in the order in which causes name it."""
BY_NAME = {signal.name: signal for signal in SIGNALS}
OF_MEMORY = ("memory", "memory_stall", "oom")
"""Signals that say that memory runs out."""
OF_DISK = frozenset(("disk", "inodes"))
"""Signals that say that nothing more can be kept."""
JUDGED = tuple(dict.fromkeys(signal.metric for signal in SIGNALS))
"""The metrics that must be known for the health to be."""


def size_text(count: float) -> str:
    """Bytes for people: ``2.0 GiB``."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError  # the last unit takes whatever is left
