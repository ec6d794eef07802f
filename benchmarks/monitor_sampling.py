"""What samples cost: processor time of a full one, beside the plain way through psutil; and what the loop notices."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from benchmarks.harness import Figure, ratio_of_pairs
from benchmarks.process_tree import standing
from lrm_actors import LongRunningMode, LongRunningSettings
from lrm_actors.actors.sampling import sampler as sampling
from lrm_actors.actors.sampling.readings import KernelFile
from lrm_actors.actors.sampling.sampler import Sampler

SAMPLES, QUICK_SAMPLES = 100, 20
INTERVAL_S = 10.0
EXACT_EVERY_S = 300.0
"""Seconds between two readings of the exact memory, as in ``owned``."""
LOOKS_PER_S = 1.0
"""Of memory, while there is plenty."""
ROUNDS, QUICK_ROUNDS, ROUND_S = 9, 3, 1.0
TICK_S = 0.001


def cpu_ms(function: Callable[[], object]) -> float:
    """Processor time of one call, in milliseconds."""
    began_s = time.thread_time()
    function()
    return (time.thread_time() - began_s) * 1e3


def median_ms(function: Callable[[], object], times: int) -> float:
    """The median of many calls."""
    return statistics.median(cpu_ms(function) for _ in range(times))


class PlainPsutil:
    """The usual way: ask psutil for the children, and then each of them for each figure."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._own = psutil.Process()

    def __call__(self) -> None:
        """One sample."""
        for process in (self._own, *self._own.children(recursive=True)):
            process.memory_info()
            process.cpu_times()
            process.num_threads()
            process.num_fds()
            process.status()
        psutil.cpu_times()
        psutil.virtual_memory()
        psutil.swap_memory()
        psutil.disk_usage(self._folder)
        psutil.disk_io_counters()
        psutil.net_io_counters()
        psutil.getloadavg()


def figures(quick: bool) -> Sequence[Figure]:
    """The figures of sampling."""
    times = QUICK_SAMPLES if quick else SAMPLES
    settle_s, sampling.SETTLE_S = sampling.SETTLE_S, 0.0
    try:
        with tempfile.TemporaryDirectory() as name:
            return [*_costs(Path(name), times, quick=quick), _loop_block(quick=quick)]
    finally:
        sampling.SETTLE_S = settle_s


def _costs(folder: Path, times: int, *, quick: bool) -> list[Figure]:
    with standing(19):
        sampler, plain = Sampler(folder), PlainPsutil(folder)
        exact_ms = cpu_ms(sampler.sample)
        sample_20_ms = median_ms(sampler.sample, times)
        look_ms = median_ms(sampler.memory_reader().look, times)
        versus = ratio_of_pairs(lambda: median_ms(plain, 10), lambda: median_ms(sampler.sample, 10), quick=quick)
    with standing(59):
        larger = Sampler(folder)
        larger.sample()
        sample_60_ms = median_ms(larger.sample, times)
    per_s_ms = sample_20_ms / INTERVAL_S + max(exact_ms - sample_20_ms, 0.0) / EXACT_EVERY_S + look_ms * LOOKS_PER_S
    tree = "of 20 processes and about 240 threads, this process on top"
    return [
        Figure("sample_20_ms", sample_20_ms, "lower", f"processor time of a full sample of a tree {tree}"),
        Figure("sample_60_ms", sample_60_ms, "lower", "the same of 60 processes"),
        Figure("sample_20_vs_psutil", versus, "higher", "processor time of the plain way through psutil, over ours"),
        Figure(
            "cpu_percent_at_10s",
            per_s_ms / 10.0,
            "lower",
            "of a core: a sample of 20 processes every 10 s, the exact memory now and then, a look at memory a second",
        ),
    ]


# How the host's loop fares


def _loop_block(*, quick: bool) -> Figure:
    """The worst lateness of a ticker on the loop of a host whose mode samples fifty times a second."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with standing(19), tempfile.TemporaryDirectory() as name:
        worst_ms = statistics.median(asyncio.run(_watched(Path(name), rounds)))
    return Figure(
        "loop_block_ms",
        worst_ms,
        "lower",
        "the longest in a second with fifty samples that an event loop was held up, without the time that other "
        "processes had the CPU; the median of many such seconds",
    )


async def _watched(folder: Path, rounds: int) -> list[float]:
    settings = LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=folder, monitoring_interval=0.02)
    async with LongRunningMode(settings):
        return [await _worst_ms(ROUND_S) for _ in range(rounds)]


async def _worst_ms(seconds: float) -> float:
    loop, waited_s = asyncio.get_running_loop(), Waited()
    end_s, worst_s = loop.time() + seconds, 0.0
    while (began_s := loop.time()) < end_s:
        before_s = waited_s()
        await asyncio.sleep(TICK_S)
        late_s = loop.time() - began_s - TICK_S
        worst_s = max(worst_s, late_s - (waited_s() - before_s))
    return worst_s * 1e3


class Waited:
    """How long this thread was ready to run and other processes had the CPUs: that is the machine's and not ours."""

    def __init__(self) -> None:
        path = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._file = KernelFile(path) if path.exists() else None

    def __call__(self) -> float:
        """Seconds so far; none where the kernel does not tell."""
        return 0.0 if self._file is None else int(self._file.read().split()[1]) / 1e9
