"""The health report: one form for a running mode, a log file, and a mode that is switched off.

Takes plain values and returns plain JSON data in which every key is always present. It reads nothing by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

SCHEMA = "lrm.health/1"
METRICS = (
    "cpu_percent",
    "process_cpu_percent",
    "memory_percent",
    "memory_rss_bytes",
    "memory_virtual_bytes",
    "disk_free_bytes",
    "disk_read_bytes",
    "disk_write_bytes",
    "network_sent_bytes",
    "network_received_bytes",
    "thread_count",
    "open_files",
    "cgroup_cpu_percent",
    "load_1m",
    "loop_lag_s",
    "mailbox_depth",
    "memory_anonymous_bytes",
    "memory_pss_bytes",
    "memory_pss_age_s",
    "memory_limit_bytes",
    "memory_headroom_bytes",
    "memory_available_bytes",
    "cgroup_memory_bytes",
    "cgroup_memory_limit_bytes",
    "swap_percent",
    "oom_kill_count",
    "memory_limit_hit_count",
    "cpu_stall_some_percent",
    "cpu_stall_full_percent",
    "memory_stall_some_percent",
    "memory_stall_full_percent",
    "io_stall_some_percent",
    "io_stall_full_percent",
    "process_count",
    "zombie_count",
    "vanished_count",
    "reused_pid_count",
    "pids_percent",
    "open_files_limit",
    "open_files_percent",
    "disk_percent",
    "disk_inodes_free",
    "disk_inodes_percent",
)
"""Names of all metrics."""

BREAKER = {"state": "closed", "failure_count": 0, "generation": 0, "retry_after_s": 0.0, "last_failures": []}
"""What is told of a breaker, and what stands there while nothing is known."""
COMPONENT = {
    "status": "running",
    "restarts": 0,
    "heartbeat_age_s": None,
    "last_error": "",
    "down": "",
    "given_up": None,
}
"""The same for a component. ``heartbeat_age_s`` is None for one that sends no heartbeats; ``down`` is what was seen."""
ACTOR = {"status": "running", "mailbox_depth": 0, "version": 0, "restarts": 0}
FAILURES = {"total": 0, "by_category": {}, "recent": []}
CHECKPOINTS = {
    "count": 0,
    "latest": None,
    "last_taken_at": None,
    "last_age_s": None,
    "last_size_bytes": None,
    "last_stored_bytes": None,
    "last_stall_ms": None,
    "stored_bytes": 0,
    "pinned": 0,
    "damaged": 0,
    "failures": 0,
}
"""``last_taken_at`` is in seconds since the Unix epoch."""
STEPS: dict[str, Any] = {
    "committed": 0,
    "in_doubt": None,
    "repeated": 0,
    "now": None,
    "last": None,
    "sleeping": {},
    "aside": {"tasks": 0, "effects_in_doubt": 0},
}
"""``now``: the step that is not over, how far the agent is with it, and its effects; ``last``: the one before it.
``aside``: ``tasks`` and steps with a key that were begun and are neither done nor under way, and how many of their
effects are in doubt.
``sleeping``: seconds that each sleep of the agent has left, by its key."""
LOG = {"path": "", "head": 0, "size_bytes": 0}
MODE = {"cause": "", "enabled": True, "pinned": None, "pinned_for_s": None, "runs": []}
"""Why the operation mode is what it is; ``pinned`` is one held by hand, for so long yet; ``runs``: work of these
criticalities is done."""
SHEDDING = {"allowed": {}, "shed": {}, "deferred": 0, "caught_up": 0}
"""What became of work that asked this process, by criticality; what was put off and waits, and what was done late."""
SIGNAL = {"level": "healthy", "value": None, "warning": 0.0, "critical": 0.0, "at_warning_s": 0.0}
"""``at_warning_s``: how long it has been at its warning threshold or above. ``value`` is None while it is not known."""

SECTIONS: dict[str, Mapping[str, Any]] = {
    "mode": MODE,
    "shedding": SHEDDING,
    "failures": FAILURES,
    "checkpoints": CHECKPOINTS,
    "steps": STEPS,
    "log": LOG,
}
"""Keys whose value always has the same keys itself."""
TABLES: dict[str, Mapping[str, Any]] = {
    "signals": SIGNAL,
    "circuit_breakers": BREAKER,
    "components": COMPONENT,
    "actors": ACTOR,
}
"""Keys whose value has an entry for each name, and what is in an entry."""
KEYS = (
    "schema",
    "agent_id",
    "enabled",
    "operation_mode",
    "health_status",
    "health_cause",
    "mode",
    "signals",
    "uptime_s",
    "resource_metrics",
    "unknown",
    "history",
    "trends",
    "forecast",
    "shedding",
    "circuit_breakers",
    "components",
    "failures",
    "checkpoints",
    "steps",
    "actors",
    "log",
)
"""Every key of a report, in its order."""

EARLIEST, LATEST = "exhausted_low_s", "exhausted_high_s"
"""Where a trend says in how many seconds something runs out."""
NO_SAMPLE = "no sample yet"
SWITCHED_OFF = "the long-running mode is switched off"

Entries = Mapping[str, Mapping[str, Any]]


def build(
    *,
    agent_id: str,
    enabled: bool = True,
    operation_mode: str = "normal",
    health_status: str = "healthy",
    health_cause: str = "",
    uptime_s: float = 0.0,
    metrics: Mapping[str, float | None] | None = None,
    last_good: Mapping[str, float] | None = None,
    unknown: Mapping[str, str] | None = None,
    mode: Mapping[str, Any] | None = None,
    signals: Entries | None = None,
    history: Mapping[str, Iterable[float | None]] | None = None,
    trends: Iterable[Any] = (),
    shedding: Mapping[str, Any] | None = None,
    circuit_breakers: Entries | None = None,
    components: Entries | None = None,
    failures: Mapping[str, Any] | None = None,
    checkpoints: Mapping[str, Any] | None = None,
    steps: Mapping[str, Any] | None = None,
    actors: Entries | None = None,
    log: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Put a report together. What is not given gets its empty form; a key that no report has is refused.

    ``metrics`` is the last sample; None: there was none yet. ``last_good`` has the last known number of each metric,
    for those not known now, and ``unknown`` why they are not. A metric that is None without a reason is one that the
    platform does not have.

    Raises:
        ValueError: a key that no report has.
    """
    numbers, reasons = _numbers(metrics, last_good or {}, unknown or {})
    concerning = list(trends)
    return {
        "schema": SCHEMA,
        "agent_id": agent_id,
        "enabled": enabled,
        "operation_mode": operation_mode,
        "health_status": health_status,
        "health_cause": health_cause,
        "mode": _filled("mode", MODE, mode),
        "signals": _table("signals", signals),
        "uptime_s": max(0.0, float(uptime_s)),
        "resource_metrics": numbers,
        "unknown": reasons,
        "history": {name: list(values) for name, values in (history or {}).items()},
        "trends": concerning,
        "forecast": _forecast(concerning),
        "shedding": _filled("shedding", SHEDDING, shedding),
        "circuit_breakers": _table("circuit_breakers", circuit_breakers),
        "components": _table("components", components),
        "failures": _filled("failures", FAILURES, failures),
        "checkpoints": _filled("checkpoints", CHECKPOINTS, checkpoints),
        "steps": _filled("steps", STEPS, steps),
        "actors": _table("actors", actors),
        "log": _filled("log", LOG, log),
    }


def switched_off(agent_id: str, **known: Any) -> dict[str, Any]:
    """The report of a mode that is switched off: the same keys. ``known`` is as for ``build``."""
    return build(agent_id=agent_id, enabled=False, unknown=dict.fromkeys(METRICS, SWITCHED_OFF), metrics={}, **known)


def missing_keys(report: Mapping[str, Any]) -> list[str]:
    """Keys that a report should have and has not, for tests of whoever makes one: ``log.head`` and the like."""
    missing = [key for key in KEYS if key not in report]
    missing += [f"resource_metrics.{name}" for name in METRICS if name not in report.get("resource_metrics", {})]
    for section, keys in SECTIONS.items():
        missing += [f"{section}.{key}" for key in keys if key not in report.get(section, {})]
    for table, keys in TABLES.items():
        for name, entry in report.get(table, {}).items():
            missing += [f"{table}.{name}.{key}" for key in keys if key not in entry]
    return missing


def _numbers(
    metrics: Mapping[str, float | None] | None, last_good: Mapping[str, float], unknown: Mapping[str, str]
) -> tuple[dict[str, float], dict[str, str]]:
    """A number for every metric, and those that are not known now with the reason."""
    numbers: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for name in METRICS:
        value = None if metrics is None else metrics.get(name)
        number = _number(value)
        if number is not None:
            numbers[name] = number
            continue
        numbers[name] = _number(last_good.get(name)) or 0.0
        if name in unknown or metrics is None:
            reasons[name] = unknown.get(name, NO_SAMPLE)
        elif value is not None:
            reasons[name] = f"impossible value {value!r}"
    return numbers, reasons


def _forecast(trends: Iterable[Any]) -> list[dict[str, Any]]:
    """What runs out, and when, by the trends that say so; the soonest first."""
    found = [
        {"metric": one.get("metric", ""), "kind": one.get("kind", ""), "low_s": low_s, "high_s": one.get(LATEST)}
        for one in trends
        if isinstance(one, Mapping) and (low_s := _number(one.get(EARLIEST))) is not None
    ]
    return sorted(found, key=lambda one: float(one["low_s"]))


def _number(value: Any) -> float | None:
    """The value if it is a number that JSON has."""
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _table(name: str, entries: Entries | None) -> dict[str, dict[str, Any]]:
    return {key: _filled(f"{name}.{key}", TABLES[name], entry) for key, entry in sorted((entries or {}).items())}


def _filled(name: str, empty: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    given = given or {}
    if strange := sorted(set(given) - set(empty)):
        msg = f"a report has no {', '.join(f'{name}.{key}' for key in strange)}"
        raise ValueError(msg)
    # The empty lists and dicts are copied: a report belongs to whoever asked for it.
    return {key: given[key] if key in given else _copied(value) for key, value in empty.items()}


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, list | dict) else value
