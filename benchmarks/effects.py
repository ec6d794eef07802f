"""The journal of effects: what a recorded one costs beside a step of DBOS, and how soon a killed agent goes on.

Both keep everything on disk with ``synchronous=FULL``: ours an intent before the call and the result after it.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import effect_peers
from benchmarks.effect_peers import RESULT, Dbos
from benchmarks.effects_resumed import IN_LAST, fill, settings
from benchmarks.harness import QUICK_PAIRS, Figure, ratio_of_pairs
from lrm_actors.blocking import BlockingMode
from lrm_actors.mode import LongRunningMode

PEERS = effect_peers.PEERS
EFFECTS, EFFECTS_QUICK = 200, 20
"""In a stretch."""
RECORDED, RECORDED_QUICK = 100_000, 1_000


def run(quick: bool) -> list[Figure]:
    """Every figure; those beside the peer only where it is installed."""
    with tempfile.TemporaryDirectory() as name:
        found = _beside_dbos(Path(name), quick) if effect_peers.available() else []
        return [*found, _resumed(Path(name), quick)]


# --- beside a step of DBOS ----------------------------------------------------------------------------------------


def _beside_dbos(directory: Path, quick: bool) -> list[Figure]:
    effects = EFFECTS_QUICK if quick else EFFECTS
    peer = Dbos(directory / "dbos")
    try:
        with LongRunningMode(settings(directory / "blocking")) as mode:
            plain = ratio_of_pairs(lambda: peer.step_s(effects), lambda: _effect_s(mode, effects), quick=quick)
        with asyncio.Runner() as runner:
            mode_async = LongRunningMode(settings(directory / "async"))
            runner.run(mode_async.start_monitoring())
            try:
                asynchronous = ratio_of_pairs(
                    lambda: runner.run(peer.step_async_s(effects)),
                    lambda: runner.run(_effect_async_s(mode_async, effects)),
                    quick=quick,
                )
            finally:
                runner.run(mode_async.stop_monitoring())
    finally:
        peer.close()
    what = (
        f"time of a step of DBOS on SQLite in a workflow of {effects}, over that of an effect in a step of as many;"
        " both awaited in an event loop, strictly durable, with results of ten bytes"
    )
    return [
        Figure("effect_vs_dbos_step", asynchronous, "higher", what),
        Figure("effect_plain_vs_dbos_step", plain, "higher", "the same, both plain calls on a thread"),
    ]


def _effect_s(mode: BlockingMode, effects: int) -> float:
    """Seconds per effect."""
    with mode.step("stretch"):
        began = time.perf_counter()
        for _ in range(effects):
            mode.effect("send", lambda: RESULT)
        return (time.perf_counter() - began) / effects


async def _result() -> str:
    return RESULT


async def _effect_async_s(mode: LongRunningMode, effects: int) -> float:
    async with mode.step("stretch"):
        began = time.perf_counter()
        for _ in range(effects):
            await mode.effect("send", _result)
        return (time.perf_counter() - began) / effects


# --- going on with many on record ---------------------------------------------------------------------------------


def _resumed(directory: Path, quick: bool) -> Figure:
    recorded = RECORDED_QUICK if quick else RECORDED
    fill(directory / "resumed", recorded)
    command = [sys.executable, "-m", "benchmarks.effects_resumed", str(directory / "resumed")]
    times = [float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(QUICK_PAIRS)]
    return Figure(
        "resume_100k_ms",
        statistics.median(times) * 1e3,
        "lower",
        f"a fresh process, {recorded} effects on record, the last {IN_LAST} in a step that was killed: from"
        " start_monitoring to the call of the first new effect's function",
    )
