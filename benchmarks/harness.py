"""How a figure is measured: two things in turn, many times, and the median of their ratios.

On a shared machine absolute times say little. Two measurements one right after the other share its mood, so their ratio
says more; taking turns at going first takes out what the first does to the second.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import pkgutil
import platform
import sqlite3
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import attrs

import benchmarks

NO_BENCHMARKS = (
    "__main__",
    "breaker_peers",
    "browser_agents",
    "checkpoint_graph",
    "checkpoint_ours",
    "checkpoint_peers",
    "checkpoint_states",
    "durable_actors",
    "effect_peers",
    "effects_resumed",
    "failing_actors",
    "footprint_host",
    "harness",
    "idle_actors",
    "leaks_modes",
    "logs",
    "mode_noise",
    "monitor_deciding",
    "monitor_sampling",
    "monitor_trends",
    "peers",
    "simulated_days",
    "plain_actors",
    "process_tree",
)
"""Modules here that the benchmarks use."""
PAIRS = 11
QUICK_PAIRS = 7
"""Fewer would not be called a median."""


@attrs.frozen
class Figure:
    """One number that a benchmark found."""

    name: str
    """``x_vs_y``: how many times better x is than y; or with a unit at its end."""
    value: float
    better: str = "higher"
    """``higher`` or ``lower``."""
    what: str = ""
    """What was compared with what, a sentence."""


def ratio_of_pairs(
    ours: Callable[[], float], theirs: Callable[[], float], *, quick: bool = False, pairs: int | None = None
) -> float:
    """The median of ``ours() / theirs()``, each called in turn, who goes first alternating.

    Both give a speed, or both a time. One unmeasured pair comes before: caches and imports are not what is compared.
    """
    found = medians_of_pairs(lambda: {"": ours()}, lambda: {"": theirs()}, quick=quick, pairs=pairs)
    return found[""]


def medians_of_pairs(
    ours: Callable[[], dict[str, float]],
    theirs: Callable[[], dict[str, float]],
    *,
    quick: bool = False,
    pairs: int | None = None,
) -> dict[str, float]:
    """As ``ratio_of_pairs``, for several figures of the same pairs: the median ratio of each, by its name."""
    ours()
    theirs()
    ratios: list[dict[str, float]] = []
    for number in range(pairs or (QUICK_PAIRS if quick else PAIRS)):
        if number % 2:
            other = theirs()
            own = ours()
        else:
            own = ours()
            other = theirs()
        ratios.append({name: own[name] / other[name] for name in own})
    return {name: statistics.median(one[name] for one in ratios) for name in ratios[0]}


def names() -> Sequence[str]:
    """Every benchmark: a module here with ``run(quick)``."""
    modules = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in modules if name not in NO_BENCHMARKS)


def parts(name: str) -> Sequence[str]:
    """What of a benchmark can be measured alone."""
    return tuple(getattr(importlib.import_module(f"benchmarks.{name}"), "PARTS", ()))


def report(name: str, *, quick: bool, part: str | None = None) -> dict[str, Any]:
    """Run one benchmark, or one of its ``PARTS``: its figures, whom it was compared with, and where.

    Raises:
        KeyError: it has no such part.
    """
    module = importlib.import_module(f"benchmarks.{name}")
    figures: Sequence[Figure] = module.run(quick) if part is None else module.PARTS[part](quick)
    return {
        "benchmark": name,
        "figures": {
            figure.name: {"value": round(figure.value, 4), "better": figure.better, "what": figure.what}
            for figure in figures
        },
        "peers": {peer: _version(peer) for peer in getattr(module, "PEERS", ())},
        "environment": {**environment(), "quick": quick},
    }


def environment() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "sqlite": sqlite3.sqlite_version,
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load_1m": round(os.getloadavg()[0], 2),
        "packages": {name: _version(name) for name in ("lrm-actors", "pykka", "attrs", "msgspec")},
    }


def _version(name: str) -> str | None:
    """A distribution's version, None for what is not installed; the standard library's goes with Python's."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return sqlite3.sqlite_version if name == "sqlite3" else None
