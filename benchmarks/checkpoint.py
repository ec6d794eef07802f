"""Checkpoints of a growing agent: what one costs in time, bytes and stalls of the loop, beside what others do.

Every way keeps the same states in one run, in turn. They are nested dicts and lists that are changed in place as soon
as everybody has let go of them. Ours is a running mode on a real log; a checkpoint is over when it is in the log, and a
restore when the host has been given its state and that is on record.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import statistics
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import attrs
import msgspec

from benchmarks import checkpoint_graph as graph
from benchmarks import checkpoint_peers as peers
from benchmarks import checkpoint_states as states
from benchmarks.checkpoint_ours import Ours, Ticker, disk_bytes, timed_ms, written_bytes
from benchmarks.checkpoint_states import MB, State
from benchmarks.harness import Figure

PEERS = peers.PEERS
WARM = 8
"""Checkpoints before what is measured, where the first is a whole state: that one has left the WAL by then."""


@attrs.frozen
class Size:
    """How much is done."""

    state: int
    """Bytes of the large state."""
    rounds: int
    """Checkpoints of the large state, by everybody."""
    growing: int
    """Checkpoints of a state of 1 MB that grows by 1 KB each."""
    restores: int
    few: int
    """Checkpoints behind the one restored."""
    many: int


FULL = Size(state=10 * MB, rounds=41, growing=1_000, restores=21, few=100, many=10_000)
QUICK = Size(state=10 * MB, rounds=9, growing=50, restores=7, few=20, many=200)


def run(quick: bool) -> list[Figure]:
    """Every figure; those against a peer only where it is installed."""
    return [figure for part in PARTS.values() for figure in part(quick)]


def _in_directory(part: Callable[[Path, Size], Awaitable[list[Figure]]]) -> Callable[[bool], list[Figure]]:
    def measured(quick: bool) -> list[Figure]:
        async def within() -> list[Figure]:
            with tempfile.TemporaryDirectory() as name:
                return await part(Path(name), QUICK if quick else FULL)

        return asyncio.run(within())

    return measured


def _percentile(values: Sequence[float], of: int = 99) -> float:
    return statistics.quantiles(values, n=100)[of - 1] if len(values) > 1 else max(values, default=0.0)


# --- time -----------------------------------------------------------------------------------------------------------


async def _time(directory: Path, size: Size) -> list[Figure]:
    chance, state = random.Random(7), states.new_state(size.state)
    marked = Ours(directory / "marked", state, changes="marks")
    everybody: dict[str, peers.Keeper] = {
        "safe": Ours(directory / "ours", state),
        "marked": marked,
        **peers.available(directory),
    }
    rounds: list[dict[str, float]] = []
    writes = []
    async with peers.Opened(everybody) as keepers:
        names = list(keepers)
        for keeper in keepers.values():  # the first is a whole state for everybody, and caches and imports are cold
            await keeper.put(state)
        for number in range(size.rounds):
            changes = states.change(state, chance, size.state)
            puts = {name: partial(keeper.put, state) for name, keeper in keepers.items()}
            puts["marked"] = partial(marked.put_marked, state, changes.paths)
            first = number % len(names)
            rounds.append({name: await timed_ms(puts[name]) for name in names[first:] + names[:first]})
            writes.append(graph.write(state, changes.steps))
        for name, keeper in keepers.items():
            assert _digest(await keeper.get()) == _digest(state), name
    what = "milliseconds of a checkpoint of 10 MB of which 1 % changed, {}; the median"
    safe, marks = _median(rounds, "safe"), _median(rounds, "marked")
    found = [
        Figure("safe_10mb_ms", safe, "lower", what.format("found by comparing everything")),
        Figure("marked_10mb_ms", marks, "lower", what.format("marked by the host")),
    ]
    if "langgraph" in everybody:
        found += [
            Figure("safe_10mb_vs_langgraph", *_faster(rounds, "safe", "langgraph", "LangGraph's AsyncSqliteSaver")),
            Figure("marked_10mb_vs_langgraph", *_faster(rounds, "marked", "langgraph", "LangGraph's AsyncSqliteSaver")),
            Figure("safe_10mb_vs_sqlite_saver", *_faster(rounds, "safe", "sqlite_saver", "LangGraph's SqliteSaver")),
        ]
    if "orjson" in everybody:
        found.append(Figure("safe_10mb_vs_orjson", *_faster(rounds, "safe", "orjson", "orjson, a file and an fsync")))
    found.append(Figure("safe_10mb_vs_pickle", *_faster(rounds, "safe", "pickle", "pickle, a file and an fsync")))
    if graph.available():
        took, kept = await graph.run(directory / "graph", states.new_state(size.state), writes)
        assert _digest({name: kept[name] for name in state}) == _digest(state)
        theirs = statistics.median(took)
        over = f"a superstep of a graph whose history is a delta channel, {theirs:.1f} ms: a ratio of medians"
        found.append(Figure("safe_10mb_vs_delta_channel", theirs / safe, "higher", over))
        found.append(Figure("marked_10mb_vs_delta_channel", theirs / marks, "higher", over))
    return found


def _faster(rounds: Sequence[dict[str, float]], ours: str, peer: str, spoken: str) -> tuple[float, str, str]:
    value = statistics.median(one[peer] / one[ours] for one in rounds)
    return value, "higher", f"how many times faster than {spoken} of the same states, {_median(rounds, peer):.1f} ms"


def _median(rounds: Sequence[dict[str, float]], name: str) -> float:
    return statistics.median(one[name] for one in rounds)


# --- bytes and stalls -----------------------------------------------------------------------------------------------


async def _written(directory: Path, size: Size) -> list[Figure]:
    ours, every = await _bytes_of(Ours(directory / "ours", {}), size)
    each = "kilobytes written by the process per checkpoint of 10 MB, 1 % changed, until it is in the log: the median"
    copied = f"the mean of {size.rounds} and the stop's own, with all that is copied from the WAL into the log"
    found = [
        Figure("written_10mb_kb", ours / 1000, "lower", each),
        Figure("written_10mb_all_kb", every / 1000, "lower", copied),
    ]
    if peers.langgraph_available():
        _, theirs = await _bytes_of(peers.AsyncSaver(directory / "langgraph"), size)
        of = f"how many times less than LangGraph's AsyncSqliteSaver, {theirs / 1000:.0f} KB, all of it in both"
        found.append(Figure("written_10mb_vs_langgraph", theirs / every, "higher", of))
    return found


async def _bytes_of(keeper: peers.Keeper, size: Size) -> tuple[float, float]:
    """What each checkpoint writes until it is kept, the median; and what all of them do until the end, the mean."""
    chance, state = random.Random(7), states.new_state(size.state)
    await keeper.open()
    for _ in range(WARM):
        await keeper.put(state)
        states.change(state, chance, size.state)
    begun = written_bytes()
    each = []
    for _ in range(size.rounds):
        states.change(state, chance, size.state)
        before = written_bytes()
        await keeper.put(state)
        each.append(written_bytes() - before)
    await keeper.close()
    return statistics.median(each), (written_bytes() - begun) / size.rounds


async def _stall(directory: Path, size: Size) -> list[Figure]:
    found: list[Figure] = []
    keepers: dict[str, peers.Keeper] = {"ours": Ours(directory / "ours", {})}
    if peers.langgraph_available():
        keepers["langgraph"] = peers.AsyncSaver(directory / "langgraph")
    for name, keeper in keepers.items():
        chance, state = random.Random(7), states.new_state(size.state)
        await keeper.open()
        await keeper.put(state)
        late, worst, idle = [], [], []
        for _ in range(size.rounds):
            states.change(state, chance, size.state)
            async with Ticker() as ticker:
                took_ms = await timed_ms(partial(keeper.put, state))
                await asyncio.sleep(0.002)  # a tick that comes late because of it counts
            late += ticker.late_ms
            worst.append(max(ticker.late_ms))
            async with Ticker() as ticker:
                await asyncio.sleep(took_ms / 1000 + 0.002)
            idle += ticker.late_ms
        await keeper.close()
        if name == "ours":
            what = f"by how many milliseconds a tick on the host's loop came late, of {len(late)} during checkpoints"
            found += [
                Figure("loop_stall_p99_ms", _percentile(late), "lower", f"{what}: the 99th percentile"),
                Figure("loop_idle_p99_ms", _percentile(idle), "lower", "the same with nothing to do, for as long"),
                Figure("loop_stall_worst_ms", statistics.median(worst), "lower", "the latest of each: the median"),
            ]
        else:
            of = "the 99th percentile with LangGraph's AsyncSqliteSaver"
            found.append(Figure("loop_stall_langgraph_p99_ms", _percentile(late), "lower", of))
    return found


# --- disk -----------------------------------------------------------------------------------------------------------


async def _disk(directory: Path, size: Size) -> list[Figure]:
    keepers: dict[str, peers.Keeper] = {"ours": Ours(directory / "ours", {}, max_checkpoints=size.growing + 10)}
    if peers.langgraph_available():
        keepers["saver"] = peers.Saver(directory / "saver")
    used_mb, put_ms = {}, {}
    for name, keeper in keepers.items():
        chance, state = random.Random(7), states.new_state(MB)
        kept: list[bytes] = []
        await keeper.open()
        took = []
        for _ in range(size.growing):
            states.grow(state, chance)
            took.append(await timed_ms(lambda: keeper.put(state)))  # noqa: B023 - awaited here
            kept.append(_digest(state))
        await keeper.close()
        used_mb[name], put_ms[name] = disk_bytes(directory / name) / MB, took
        if name == "ours":
            await _all_come_back(Ours(directory / name, {}, max_checkpoints=size.growing + 10), kept)
    number = f"{size.growing} checkpoints of 1 MB that grows by 1 KB each"
    told = f"median {statistics.median(put_ms['ours']):.2f} ms each, p99 {_percentile(put_ms['ours']):.2f}"
    what = f"megabytes of the log's files after {number} and the stop; all restored and compared; {told}"
    found = [Figure("disk_1000x1mb_mb", used_mb["ours"], "lower", what)]
    if graph.available():
        await _grown_by_graph(directory / "graph", size.growing)
        theirs = disk_bytes(directory / "graph") / MB
        of = f"how many times less than a graph of LangGraph's whose history is a delta channel, {theirs:.1f} MB"
        found.append(Figure("disk_1000x1mb_vs_delta_channel", theirs / used_mb["ours"], "higher", of))
    if "saver" in used_mb:
        of = f"how many times less than LangGraph's SqliteSaver, {used_mb['saver']:.1f} MB"
        found.append(Figure("disk_1000x1mb_vs_langgraph", used_mb["saver"] / used_mb["ours"], "higher", of))
    return found


async def _all_come_back(ours: Ours, kept: Sequence[bytes]) -> None:
    """Restore each checkpoint in another run, and compare it with what was captured. The newest is the stop's own."""
    async with ours:
        ids = await ours.mode.checkpointer.list_checkpoints()
        assert len(ids) == len(kept) + 1
        for one, digest in zip(reversed(ids), (*kept, kept[-1]), strict=True):
            assert _digest(await ours.get(one)) == digest, f"{one} is not what was captured"


async def _grown_by_graph(directory: Path, times: int) -> None:
    chance, state = random.Random(7), states.new_state(MB)
    writes = []
    for _ in range(times):
        step = states.grow(state, chance)
        writes.append(graph.write({"cursor": state["cursor"]}, {len(state["history"]) - 1: step}))
    await graph.run(directory, states.new_state(MB), writes)


def _digest(state: State) -> bytes:
    return hashlib.blake2b(msgspec.msgpack.encode(state), digest_size=16).digest()


# --- restoring ------------------------------------------------------------------------------------------------------


async def _restore(directory: Path, size: Size) -> list[Figure]:
    small, of_small = await _restored(directory / "1", 1, size.few, size.restores)
    large, of_large = await _restored(directory / "10", 10, min(size.few, 50), size.restores)
    what = "milliseconds until a host has the newest checkpoint of {} MB back and that is on record: the median; {}"
    return [
        Figure("restore_1mb_ms", small, "lower", what.format(1, of_small)),
        Figure("restore_10mb_ms", large, "lower", what.format(10, of_large)),
    ]


async def _restored(directory: Path, megabytes: int, checkpoints: int, times: int) -> tuple[float, str]:
    chance, state = random.Random(7), states.new_state(megabytes * MB)
    async with Ours(directory, state) as ours:
        for _ in range(checkpoints):
            states.change(state, chance, megabytes * MB)
            await ours.take()
        await ours.get()
        newest_ms = [await timed_ms(ours.get) for _ in range(times)]
        assert msgspec.msgpack.encode(ours.restored) == msgspec.msgpack.encode(state)
        ids = await ours.mode.checkpointer.list_checkpoints()
        any_ms = [await timed_ms(partial(ours.get, one)) for one in ids]
    told = f"of any of {len(ids)}: {statistics.median(any_ms):.1f}, at most {max(any_ms):.1f}"
    return statistics.median(newest_ms), told


async def _behind(directory: Path, size: Size) -> list[Figure]:
    """The state keeps its size, so that only what is behind it differs."""
    took: dict[int, list[float]] = {size.few: [], size.many: []}
    hosts = {}
    for number in took:
        chance, state = random.Random(7), states.new_state(MB)
        hosts[number] = ours = Ours(directory / str(number), state, max_checkpoints=size.many + 10)
        await ours.open()
        for _ in range(number):
            states.touch(state, chance)
            await ours.take()
        await ours.get()
    for turn in range(size.restores * 3):
        for number in sorted(hosts, reverse=bool(turn % 2)):
            took[number].append(await timed_ms(hosts[number].get))
    for ours in hosts.values():
        await ours.close()
    value = statistics.median(many / few for few, many in zip(took[size.few], took[size.many], strict=True))
    what = f"time to restore 1 MB with {size.many} checkpoints behind it, all kept, over that with {size.few}"
    return [Figure("restore_10k_vs_100", value, "lower", f"{what}: a ratio of times")]


PARTS: dict[str, Callable[[bool], list[Figure]]] = {
    "stall": _in_directory(_stall),
    "time": _in_directory(_time),
    "written": _in_directory(_written),
    "restore": _in_directory(_restore),
    "disk": _in_directory(_disk),
    "behind": _in_directory(_behind),
}
"""Each gives some of the figures; ``--part`` measures one of them alone."""
