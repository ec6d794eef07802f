"""What a decision costs the host: whether a piece of work is done now, of a mode that runs."""

from __future__ import annotations

import statistics
import tempfile
import time

from benchmarks.harness import Figure
from lrm_actors import LongRunningMode, LongRunningSettings

BLOCKS = 11
QUICK_BLOCKS = 7
CALLS = 20_000
QUICK_CALLS = 2_000


def figures(quick: bool) -> list[Figure]:
    """The time of one ``should_run``: the median of the blocks."""
    blocks, calls = (QUICK_BLOCKS, QUICK_CALLS) if quick else (BLOCKS, CALLS)
    with tempfile.TemporaryDirectory() as directory:
        settings = LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=directory)
        with LongRunningMode(settings) as mode:
            for criticality in ("sheddable", "critical"):
                mode.should_run("screenshots", criticality)
            spent = [_block_us(mode.should_run, calls) for _ in range(blocks)]
    what = "microseconds of CPU of `mode.should_run(name, criticality)` in a running mode, counted and all"
    return [Figure("decision_us", statistics.median(spent), "lower", what)]


def _block_us(should_run: object, calls: int) -> float:
    assert callable(should_run)
    began_ns = time.thread_time_ns()
    for _ in range(calls):
        should_run("screenshots", criticality="sheddable")
    return (time.thread_time_ns() - began_ns) / calls / 1000
