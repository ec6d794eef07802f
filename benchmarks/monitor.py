"""What watching the resources costs. One module for each part of it; each gives its figures.

Another part is another module with ``figures(quick)``, and a name more in ``PARTS``.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from benchmarks.harness import Figure

PARTS = ("sampling", "deciding", "trends")
"""Modules ``benchmarks.monitor_<part>``."""
PEERS = ("psutil",)


def run(quick: bool) -> Sequence[Figure]:
    """The figures of every part."""
    return [figure for part in PARTS for figure in importlib.import_module(f"benchmarks.monitor_{part}").figures(quick)]
