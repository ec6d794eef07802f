"""The actors: telling and asking, storing what was told, failing, and doing nothing.

Telling and asking are compared with bare pykka in the same run, without a log on either side. Whatever is stored waits
for the disk at each commit (``synchronous=FULL``). What a handler does is next to nothing everywhere.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from benchmarks import idle_actors
from benchmarks.durable_actors import Appender, tellers
from benchmarks.failing_actors import Failing, Hanging, first_restart_s
from benchmarks.harness import PAIRS, QUICK_PAIRS, Figure, medians_of_pairs, ratio_of_pairs
from benchmarks.plain_actors import (
    Asked,
    OurActor,
    PykkaActor,
    asks_per_s,
    async_ask_p50_s,
    pykka_ask_p50_s,
    tells_per_s,
)
from eventstore.memory import MemoryStore
from eventstore.opening import open_store

PEERS = ("pykka",)


@attrs.frozen
class Size:
    """How much is done between two looks at the clock."""

    tells: int
    asks: int
    durable: int
    commits: int
    relaxed: int
    restarts: int
    blocked_s: float
    idle: int
    watched: int
    idle_s: float


FULL = Size(
    tells=100_000,
    asks=5_000,
    durable=10_000,
    commits=300,
    relaxed=1_000,
    restarts=30,
    blocked_s=0.5,
    idle=1_000,
    watched=100,
    idle_s=3.0,
)
QUICK = Size(
    tells=2_000,
    asks=100,
    durable=100,
    commits=5,
    relaxed=20,
    restarts=1,
    blocked_s=0.01,
    idle=50,
    watched=10,
    idle_s=0.05,
)


def run(quick: bool) -> list[Figure]:
    """Measure every figure."""
    size = QUICK if quick else FULL
    sections: tuple[Callable[[Path, Size, bool], Iterator[Figure]], ...] = (
        _against_pykka,
        _asked,
        _stored,
        _wired,
        _fenced,
        _restarted,
        _taken_over,
        _idle,
    )
    found: list[Figure] = []
    for section in sections:
        with tempfile.TemporaryDirectory() as name:
            found += section(Path(name), size, quick)
    return found


def _against_pykka(_directory: Path, size: Size, quick: bool) -> Iterator[Figure]:
    tells, asks = size.tells, size.asks
    value = ratio_of_pairs(lambda: tells_per_s(OurActor, tells), lambda: tells_per_s(PykkaActor, tells), quick=quick)
    yield Figure("tell_vs_pykka", value, "higher", "plain, undurable tells handled per second, over bare pykka's")
    value = ratio_of_pairs(lambda: asks_per_s(OurActor, asks), lambda: asks_per_s(PykkaActor, asks), quick=quick)
    yield Figure("ask_vs_pykka", value, "higher", "plain blocking asks answered per second, over bare pykka's")


def _asked(_directory: Path, size: Size, quick: bool) -> Iterator[Figure]:
    asked = Asked()
    try:
        found = medians_of_pairs(
            lambda: {"plain": async_ask_p50_s(size.asks), "system": asked.p50_s(size.asks)},
            lambda: dict.fromkeys(("plain", "system"), pykka_ask_p50_s(size.asks)),
            quick=quick,
        )
        what = "median time of an awaited ask of a plain actor, over that of pykka's blocking ask: a ratio of times"
        yield Figure("ask_async_p50_vs_pykka", found["plain"], "lower", what)
        what = "the same of an event-sourced actor, through the system, with a command that needs no event"
        yield Figure("ask_system_p50_vs_pykka", found["system"], "lower", what)
        value = _median(asked.concurrent_per_s, quick)
        yield Figure("concurrent_asks_per_s", value, "higher", "answers per second to 2000 asks of one event loop")
        value = _median(lambda: asked.longest_pause_s(size.blocked_s), quick) * 1e3
        what = f"longest pause of a loop that awaits a handler which blocks {size.blocked_s} s; its ticker wants 1 ms"
        yield Figure("loop_stall_ms", value, "lower", what)
    finally:
        asked.close()


def _stored(directory: Path, size: Size, quick: bool) -> Iterator[Figure]:
    speeds: list[float] = []
    with tellers(directory / "told") as told, open_store(directory / "lrm.db") as store:
        single = Appender(store, "single/1")

        def ours() -> float:
            speeds.append(told.tells_per_s(size.durable))
            return speeds[-1]

        value = ratio_of_pairs(ours, lambda: single.commits_per_s(size.commits), quick=quick)
    what = "told commands stored per second, a turn in one commit, over appends of one event in a commit each"
    yield Figure("durable_tell_vs_commit_per_event", value, "higher", what)
    what = "told commands whose event is on disk, per second, the median"
    yield Figure("durable_tell_per_s", statistics.median(speeds), "higher", what)


def _wired(directory: Path, size: Size, quick: bool) -> Iterator[Figure]:
    with tellers(directory / "wired", wired=True) as wired, tellers(directory / "told") as told:
        value = ratio_of_pairs(
            lambda: wired.tells_per_s(size.durable), lambda: told.tells_per_s(size.durable), quick=quick
        )
    what = "commands stored and decided on once more by a wired actor, per second, over commands stored"
    yield Figure("wired_vs_unwired", value, "higher", what)


def _fenced(directory: Path, size: Size, quick: bool) -> Iterator[Figure]:
    with open_store(directory / "lrm.db") as store:
        fenced, free = Appender(store, "fenced/1"), Appender(store, "free/1", fenced=False)
        value = ratio_of_pairs(lambda: fenced.cpu_s(size.relaxed), lambda: free.cpu_s(size.relaxed), quick=quick)
    what = "more processor time of an append whose epoch is checked; none waits for the disk"
    yield Figure("fence_cost_percent", (value - 1) * 100, "lower", what)


def _restarted(directory: Path, size: Size, quick: bool) -> Iterator[Figure]:
    with _quiet():
        value = _median(lambda: statistics.median(first_restart_s() for _ in range(size.restarts)), quick) * 1e6
        what = "from the raise in a handler until the next message is handled, over a log in memory"
        yield Figure("restart_us", value, "lower", what)
        with open_store(directory / "lrm.db") as store:
            single = Appender(store, "single/1")
            failing = Failing(store, supervised=True)
            try:
                value = ratio_of_pairs(
                    lambda: failing.restarts_s(size.restarts),
                    lambda: 1 / single.commits_per_s(size.commits),
                    quick=quick,
                )
            finally:
                failing.close()
        what = "the same, decided by the supervisor through the log, over one durable commit: a ratio of times"
        yield Figure("restart_durable_commits", value, "lower", what)


def _taken_over(directory: Path, size: Size, quick: bool) -> Iterator[Figure]:
    with _quiet():
        hanging = Hanging(MemoryStore())
        try:
            value = _median(hanging.takeover_s, quick) * 1e3
        finally:
            hanging.close()
        what = "from the look that finds an actor hung until its successor has the message in hand; a log in memory"
        yield Figure("takeover_ms", value, "lower", what)
        with open_store(directory / "lrm.db") as store:
            single = Appender(store, "single/1")
            hanging = Hanging(store)
            try:
                value = ratio_of_pairs(hanging.takeover_s, lambda: 1 / single.commits_per_s(size.commits), quick=quick)
            finally:
                hanging.close()
        what = "the same with the stream's new epoch on disk, over one durable commit: a ratio of times"
        yield Figure("takeover_durable_commits", value, "lower", what)


def _idle(_directory: Path, size: Size, _quick: bool) -> Iterator[Figure]:
    idle = idle_actors.measured(size.idle, size.idle_s)
    yield Figure("idle_actor_kib", idle.kib_per_actor, "lower", f"resident memory of each of {size.idle} idle actors")
    what = f"processor time of {size.idle} idle actors"
    yield Figure("idle_cpu_percent", idle.cpu_percent, "lower", what)
    watched = idle_actors.measured(size.watched, size.idle_s)
    what = f"processor time of {size.watched} idle actors that are watched"
    yield Figure("watch_100_cpu_percent", watched.cpu_percent, "lower", what)


def _median(measure: Callable[[], float], quick: bool) -> float:
    """As many measurements as there would be pairs, after one that does not count."""
    measure()
    return statistics.median(measure() for _ in range(QUICK_PAIRS if quick else PAIRS))


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing is logged of failures that are wanted: what that costs is the host's affair."""
    logger = logging.getLogger("lrm_actors")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
