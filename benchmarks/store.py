"""What a log costs before anything is done with it: bytes on disk, time to open, time to import."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Figure, ratio_of_pairs
from benchmarks.logs import PAYLOAD_BYTES, fill
from eventstore.opening import open_store

EVENTS, EVENTS_QUICK = 1_000_000, 5_000


def run(quick: bool) -> list[Figure]:
    """Every figure."""
    events = EVENTS_QUICK if quick else EVENTS
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "lrm.db"
        fill(path, events)
        size = path.stat().st_size / events
        opening = statistics.median(_open_ms(path) for _ in range(11))
    importing = ratio_of_pairs(lambda: _import_s("eventstore"), lambda: _import_s("asyncio"), quick=quick)
    return [
        Figure("bytes_per_event", size, "lower", f"of a closed log of {events} events of {PAYLOAD_BYTES} bytes each"),
        Figure("open_1m_ms", opening, "lower", f"opening and owning a log of {events} events"),
        Figure("import_vs_asyncio", importing, "lower", "`import eventstore` over `import asyncio`: a ratio of times"),
    ]


def _open_ms(path: Path) -> float:
    began = time.perf_counter()
    store = open_store(path)
    took_s = time.perf_counter() - began
    store.close()
    return took_s * 1e3


def _import_s(module: str) -> float:
    """A fresh interpreter that imports one module."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - began
