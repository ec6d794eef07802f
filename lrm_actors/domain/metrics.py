"""One sample of the resources: what is measured of the machine, of the process tree, and of what limits both.

A plain record and pure helpers; who reads the numbers is ``lrm_actors.actors.sampling``.
"""

from __future__ import annotations

import math
from typing import Any

import attrs

from eventstore.events import float_fields
from eventstore.frozen import frozen

MACHINE, CGROUP, BUDGET = "machine", "cgroup", "budget"
"""Whose memory it is that would run out first."""


@frozen(field_transformer=float_fields)
class Metrics:
    """One sample. None: not known now, ``unknown`` says why; without a reason, this platform does not have it.

    Percentages are of the whole and from 0 to 100. *The tree* is this process and all its descendants. Counters count
    since the machine started, unless they say otherwise. What a release adds is None in the logs of those before it.
    """

    cpu_percent: float | None = None
    """Of all CPUs, by the whole machine."""
    process_cpu_percent: float | None = None
    """Of all CPUs, by the tree."""
    memory_percent: float | None = None
    """Of what would run out first: the machine's memory, a control group's limit, the budget; see ``limited_by``."""
    memory_rss_bytes: int | None = None
    """Resident memory of the tree, nearly: what its processes share is counted once, as much as the largest shares."""
    memory_virtual_bytes: int | None = None
    """Address space of the tree."""
    disk_free_bytes: int | None = None
    """Where the checkpoints are, as the four metrics of the disk below."""
    disk_read_bytes: int | None = None
    """By the whole machine, as the three that follow."""
    disk_write_bytes: int | None = None
    network_sent_bytes: int | None = None
    network_received_bytes: int | None = None
    thread_count: int | None = None
    """Of the tree."""
    open_files: int | None = None
    """Descriptors in use in the tree, sockets and pipes included."""
    unknown: dict[str, str] = attrs.Factory(dict)
    """Metrics that could not be read this time, and why."""

    # Since the second release of samples. Appended, so that the order of those before stays.
    cgroup_cpu_percent: float | None = None
    """Of the smallest CPU quota of the control groups. None without one."""
    load_1m: float | None = None
    """Average count of tasks that run or wait to, over the last minute."""
    loop_lag_s: float | None = None
    """How much later than asked the host's event loop did something, at worst since the sample before."""
    mailbox_depth: int | None = None
    """Messages that wait in the fullest mailbox of an actor."""
    memory_anonymous_bytes: int | None = None
    """Of the tree: what no file stands behind and nobody shares, the part that leaks and cannot be dropped."""
    memory_pss_bytes: int | None = None
    """Of the tree: each page divided among those who have it, the exact figure. Read now and then, as it is dear."""
    memory_pss_age_s: float | None = None
    """Seconds since ``memory_pss_bytes`` was read."""
    memory_limit_bytes: int | None = None
    """What ``memory_percent`` is a share of."""
    memory_headroom_bytes: int | None = None
    """What is left of ``memory_limit_bytes``."""
    memory_available_bytes: int | None = None
    """Of the machine: what can be had without swapping."""
    cgroup_memory_bytes: int | None = None
    """Working set of the control group nearest to its limit, without the file pages the kernel would drop first."""
    cgroup_memory_limit_bytes: int | None = None
    """That limit. None where no group has one."""
    swap_percent: float | None = None
    """Of the machine's swap space in use. None without one."""
    oom_kill_count: int | None = None
    """Processes killed because memory ran out: in this control group, or on the machine where no group tells."""
    memory_limit_hit_count: int | None = None
    """Times that the control group was at its limit and had to give pages back. None where no group has one."""
    cpu_stall_some_percent: float | None = None
    """Share of the last ten seconds in which some task waited for a CPU; as all stalls of the control group, where it
    tells, or else of the machine."""
    cpu_stall_full_percent: float | None = None
    """In which all tasks did at once."""
    memory_stall_some_percent: float | None = None
    memory_stall_full_percent: float | None = None
    io_stall_some_percent: float | None = None
    io_stall_full_percent: float | None = None
    process_count: int | None = None
    """Processes of the tree, without zombies."""
    zombie_count: int | None = None
    """Processes of the tree that ended and that nobody waited for."""
    vanished_count: int | None = None
    """Processes that were in the tree at the sample before and are not any more."""
    reused_pid_count: int | None = None
    """Pids of the tree that belong to another process than at the sample before."""
    pids_percent: float | None = None
    """Tasks of the control group against the smallest limit of tasks. None without one."""
    open_files_limit: int | None = None
    """Descriptors that this process may have."""
    open_files_percent: float | None = None
    """Descriptors of the fullest process of the tree, this one included, against its own limit."""
    disk_percent: float | None = None
    """Space in use of what an unprivileged user may have."""
    disk_inodes_free: int | None = None
    """Files that can still be made. None on a file system that has no limit of them."""
    disk_inodes_percent: float | None = None
    limited_by: str = ""
    """Whose memory ``memory_percent`` speaks of: ``machine``, ``cgroup``, ``budget``; empty where it is not known."""


NO_METRICS = ("unknown", "limited_by")
"""Fields of ``Metrics`` that are no metrics themselves."""
METRICS = tuple(field.name for field in attrs.fields(Metrics) if field.name not in NO_METRICS)
"""The names of all metrics."""


def sane(metrics: Metrics) -> Metrics:
    """The same, but a number that cannot be one is not known. NaN, compared, would be below every threshold."""
    wrong: dict[str, Any] = {}
    for name in METRICS:
        value = getattr(metrics, name)
        if value is not None and not (math.isfinite(value) and value >= 0):
            wrong[name] = f"impossible value {value}"
    if not wrong:
        return metrics
    nothing: Any = None
    return attrs.evolve(metrics, unknown={**metrics.unknown, **wrong}, **dict.fromkeys(wrong, nothing))


def nothing_known(reason: str) -> Metrics:
    """A sample of which everything is unknown for one reason."""
    return Metrics(unknown=dict.fromkeys(METRICS, reason))


def overlaid(metrics: Metrics, part: Metrics) -> Metrics:
    """A sample in which what a later, partial one says stands in place of what was there."""
    known: dict[str, Any] = {name: value for name in METRICS if (value := getattr(part, name)) is not None}
    if part.limited_by:
        known["limited_by"] = part.limited_by
    lost: dict[str, Any] = dict.fromkeys(part.unknown)
    unknown = {name: why for name, why in metrics.unknown.items() if name not in known}
    return attrs.evolve(metrics, **known, **lost, unknown={**unknown, **part.unknown})
