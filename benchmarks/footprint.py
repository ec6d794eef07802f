"""What the long-running mode costs an agent that runs for days: processor time, memory, log.

Two small agents live side by side, each in a process of its own and with a browser-like tree of processes below it: one
bare, one with a mode at its default settings and everything on: a component with heartbeats and a process, a breaker,
steps, checkpoints, retention, samples, the look at memory between them. The bare one imports what an agent cannot do
without: asyncio, json, logging, subprocess, an HTTP client, and three small modules that the usual clients of models
and browsers import. It has no SQLite, no attrs, no msgspec: what we bring along is counted as ours, though many agents
have it anyway.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from benchmarks.footprint_host import BARE, KEPT
from benchmarks.harness import Figure
from eventstore import open_reader
from eventstore.opening import open_store
from eventstore.records import Batch, Durability, NewEvent, Record, StreamWrite
from lrm_actors.hosting.running import SPECS

DAY_S = 86_400.0
MB = 1_000_000
KIB_PER_MB = 1024.0
DEADLINE_S = 120.0
"""How much longer than it should a child may take."""


@attrs.frozen
class Life:
    """How long the two live, and how much they do."""

    settle_s: float
    """Until the start is over: the caches are full, the log was looked at for the first time."""
    measure_s: float
    step_s: float
    processes: int
    """Of the browser."""


FULL = Life(40.0, 330.0, 30.0, 20)
"""A checkpoint, an exact reading of memory, eleven samples and as many steps are within what is measured."""
QUICK = Life(2.0, 4.0, 1.0, 5)


def run(quick: bool) -> Sequence[Figure]:
    """The figures."""
    life = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (bare_before, bare), (kept_before, kept) = lived(life, folder)
        log_mb = log_mb_per_day(folder / "default" / "lrm.db", folder / "day", kept_before["wall_s"], kept["wall_s"])

    def percent(before: dict[str, float], after: dict[str, float]) -> float:
        return 100.0 * (after["cpu_s"] - before["cpu_s"]) / (after["at_s"] - before["at_s"])

    of = "of an agent with a mode at default settings and everything on"
    return [
        Figure(
            "cpu_percent",
            percent(kept_before, kept) - percent(bare_before, bare),
            "lower",
            f"processor time {of}, less that of the same agent without, of one core, minutes after the start",
        ),
        Figure(
            "rss_mb",
            (kept["rss_kib"] - bare["rss_kib"]) / KIB_PER_MB,
            "lower",
            f"resident memory {of}, less that of the same agent without, at the end, in MiB",
        ),
        Figure(
            "log_mb_per_day",
            log_mb,
            "lower",
            "a log file with a day of the events of the minutes measured, a step and a sample every 30 s, in MB",
        ),
        Figure("threads", kept["threads"] - bare["threads"], "lower", "threads that the mode keeps"),
        Figure("modules", kept["modules"] - bare["modules"], "lower", "modules that the mode loads"),
    ]


def lived(life: Life, folder: Path) -> list[tuple[dict[str, float], dict[str, float]]]:
    """Have both live side by side; what each has used at the beginning of what is measured, and at its end."""
    numbers = [str(one) for one in (life.processes, life.settle_s, life.measure_s, life.step_s)]
    command = [sys.executable, "-m", "benchmarks.footprint_host"]
    children = [
        subprocess.Popen([*command, kind, str(folder), *numbers], stdout=subprocess.PIPE) for kind in (BARE, KEPT)
    ]
    try:
        return [_said(child, life.settle_s + life.measure_s + DEADLINE_S) for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()


def _said(child: subprocess.Popen[bytes], deadline_s: float) -> tuple[dict[str, float], dict[str, float]]:
    output, _ = child.communicate(timeout=deadline_s)
    before, after = (json.loads(line) for line in output.splitlines())
    return before, after


def log_mb_per_day(log: Path, directory: Path, since_s: float, until_s: float) -> float:
    """How large a log becomes in a day that is as the time measured was: its events stored as often as a day has them.

    A file grows by pages and by leaps, so minutes of it say little; a day of the very same events does. Checkpoints
    and snapshots are not in it: of these the newest are kept, so they do not grow.
    """
    assert SPECS  # that every event is known
    with open_reader(log) as reader:
        seen = [record for record in reader.read() if since_s <= record.recorded_at.wall_s < until_s]
    writes = [_again(record) for record in seen]
    days_worth = round(len(writes) * DAY_S / (until_s - since_s))
    with open_store(directory / "lrm.db") as store:
        for begin in range(0, days_worth, 100):
            for number in range(begin, min(begin + 100, days_worth)):
                store.submit(Batch((writes[number % len(writes)],), durability=Durability.RELAXED))
            store.barrier()
    return (directory / "lrm.db").stat().st_size / MB


def _again(record: Record) -> StreamWrite:
    events: list[Any] = [
        NewEvent(one, command_id=record.command_id, correlation_id=record.correlation_id, depth=record.depth)
        for one in record.events
    ]
    return StreamWrite(record.stream, tuple(events))
