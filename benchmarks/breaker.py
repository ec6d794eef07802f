"""The guard of a breaker: what a call through it costs, beside an empty wrapper, and beside other libraries' breakers.

What is compared takes turns in short stretches. Of a block of these the shortest of each counts, for it is the one that
no other process interrupted; a figure is the median of the blocks. ``classify_us`` is the time of telling what a
failure is.
"""

from __future__ import annotations

import asyncio
import functools
import statistics
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from benchmarks import breaker_peers
from benchmarks.harness import Figure
from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.domain.breaker_config import COUNT, BreakerConfig
from lrm_actors.errors import CircuitOpen
from lrm_actors.runtime.clock import SystemClock

PEERS = breaker_peers.PEERS

Stretch = Callable[[], float]
"""Does a stretch of calls; nanoseconds per call."""


@attrs.frozen
class Size:
    """How much is done."""

    rounds: int
    """Each is a stretch of everything that is compared."""
    calls: int


FULL = Size(rounds=300, calls=1000)
QUICK = Size(rounds=21, calls=100)
BLOCKS = 7
THREADS = 8


class ServiceError(Exception):
    """What a service raises that is down."""


def service(x: Any) -> Any:
    """What is guarded."""
    return x


async def service_async(x: Any) -> Any:
    """What is guarded."""
    return x


def run(quick: bool) -> list[Figure]:
    """Measure every figure."""
    size = QUICK if quick else FULL
    found = [*_synchronous(size), *_asynchronous(size), _threads(size), _rejection(size)]
    return [*found, *_classified(size)]


def guard(**config: Any) -> CircuitBreaker:
    """A guard whose reports go nowhere."""
    return CircuitBreaker("bench", BreakerConfig(**config), tell=lambda _: None, clock=SystemClock())


def wrapper(function: Callable[..., Any]) -> Callable[..., Any]:
    """The empty wrapper that everything is compared with."""

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return called


def wrapper_async(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The same of a coroutine function."""

    @functools.wraps(function)
    async def called(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return called


def _synchronous(size: Size) -> list[Figure]:
    ours = guard()
    window = guard(policy=COUNT, slow_after_s=5.0)

    def block(x: Any) -> Any:
        with ours.block():
            return service(x)

    def shared(x: Any) -> Any:
        with ours:
            return service(x)

    calls: dict[str, Callable[..., Any]] = {
        "bare": service,
        "wrapper": wrapper(service),
        "sync": ours(service),
        "window": window(service),
        "with": shared,
        "block": block,
        **breaker_peers.synchronous(service),
    }
    rounds = _in_turn({name: _stretch(call, size.calls) for name, call in calls.items()}, size.rounds)
    over = "time of a decorated call, over that through an empty `*args, **kwargs` wrapper: a ratio of times"
    figures = [
        Figure("sync_vs_wrapper", _ratio(rounds, "sync", "wrapper"), "lower", over),
        Figure("window_vs_wrapper", _ratio(rounds, "window", "wrapper"), "lower", f"{over}; with a window, slow calls"),
        Figure("with_vs_wrapper", _ratio(rounds, "with", "wrapper"), "lower", "the same in `with breaker:`"),
        Figure("block_vs_wrapper", _ratio(rounds, "block", "wrapper"), "lower", "the same in `with breaker.block():`"),
    ]
    what = "what its guard adds to a bare call, over what ours adds"
    peers = [
        Figure("cheaper_than_circuitbreaker", _cheaper(rounds, "circuitbreaker", "sync"), "higher", what),
        Figure("cheaper_than_pybreaker", _cheaper(rounds, "pybreaker", "sync"), "higher", what),
        Figure("cheaper_than_purgatory", _cheaper(rounds, "purgatory", "sync"), "higher", what),
        Figure("cheaper_than_aiobreaker", _cheaper(rounds, "aiobreaker", "sync"), "higher", what),
        Figure("cheaper_than_pyresilience", _cheaper(rounds, "pyresilience", "sync"), "higher", what),
        Figure("cheaper_than_backon", _cheaper(rounds, "backon", "sync"), "higher", what),
    ]
    return figures + [figure for figure in peers if figure.value]


def _asynchronous(size: Size) -> list[Figure]:
    calls: dict[str, Callable[..., Any]] = {
        "bare": service_async,
        "wrapper": wrapper_async(service_async),
        "async": guard()(service_async),
        **breaker_peers.asynchronous(service_async),
    }
    rounds = _in_turn({name: _stretch_async(call, size.calls) for name, call in calls.items()}, size.rounds)
    over = "time of a decorated call of a coroutine function, over that through an empty wrapper: a ratio of times"
    figures = [Figure("async_vs_wrapper", _ratio(rounds, "async", "wrapper"), "lower", over)]
    if "hyx" in calls:
        what = "what its guard adds to a bare call of a coroutine function, over what ours adds"
        figures.append(Figure("cheaper_than_hyx", _cheaper(rounds, "hyx", "async"), "higher", what))
    return figures


def _threads(size: Size) -> Figure:
    guarded = guard()(service)
    stretch = _stretch(guarded, size.calls)
    # By processor time: how long threads wait for the interpreter's own lock is not the guard's doing. That none waits
    # for another in the guard is proved by a test in which all of them are inside at once.
    rounds = _in_turn(
        {"one": lambda: _in_threads(stretch, 1, 8), "eight": lambda: _in_threads(stretch, THREADS, 1)},
        max(21, size.rounds // 3),
    )
    what = "processor time per call when 8 threads call at once, over that of one thread: a ratio of times"
    return Figure("threads_8_vs_1", _ratio(rounds, "eight", "one"), "lower", what)


def _in_threads(stretch: Stretch, threads: int, times: int) -> float:
    """Processor-bound nanoseconds per call of ``threads`` that do ``times`` stretches each, one after the other."""
    together = threading.Barrier(threads)
    spent: list[float] = []

    def work() -> None:
        together.wait()
        begun = time.thread_time()
        for _ in range(times):
            stretch()
        spent.append(time.thread_time() - begun)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(spent) / (threads * times)


def _rejection(size: Size) -> Figure:
    ours = guard(failure_threshold=1, recovery_timeout_s=3600.0, recovery_timeout_max_s=3600.0)

    def fails(x: Any) -> Any:
        raise ServiceError

    guarded = ours(fails)
    _raised(guarded, ServiceError)(0)
    calls = {"rejected": _raised(guarded, CircuitOpen), "raised": _raised(fails, ServiceError)}
    rounds = _in_turn({name: _stretch(call, size.calls // 2) for name, call in calls.items()}, size.rounds)
    extra = _median_of_blocks(rounds, lambda block: _least(block, "rejected") - _least(block, "raised"))
    what = "nanoseconds that a rejected call takes over one whose function raises an exception"
    return Figure("reject_extra_ns", extra, "lower", what)


def _raised(call: Callable[[Any], Any], kind: type[Exception]) -> Callable[[Any], None]:
    def caught(x: Any) -> None:
        try:
            call(x)
        except kind:
            return

    return caught


def _classified(size: Size) -> list[Figure]:
    from lrm_actors.actors.analyzer import facts_of
    from lrm_actors.domain.classify import classify

    error = ConnectionError("connection refused")
    error.__cause__ = OSError(111, "Connection refused")
    stretch = _stretch(lambda _: classify(facts_of(error)), max(10, size.calls // 20))
    rounds = _in_turn({"classify": stretch}, size.rounds)
    value = _median_of_blocks(rounds, lambda block: _least(block, "classify")) / 1000.0
    return [Figure("classify_us", value, "lower", "microseconds for telling what an error with one cause is")]


# --- measuring ----------------------------------------------------------------------------------------------------

Round = dict[str, float]


def _stretch(call: Callable[[Any], Any], calls: int) -> Stretch:
    numbers = range(calls)

    def stretch() -> float:
        begun = time.perf_counter()
        for number in numbers:
            call(number)
        return (time.perf_counter() - begun) / calls * 1e9

    return stretch


def _stretch_async(call: Callable[[Any], Awaitable[Any]], calls: int) -> Stretch:
    numbers = range(calls)

    async def stretch() -> float:
        begun = time.perf_counter()
        for number in numbers:
            await call(number)
        return (time.perf_counter() - begun) / calls * 1e9

    return lambda: asyncio.run(stretch())


def _in_turn(stretches: dict[str, Stretch], rounds: int) -> list[Round]:
    """Each once per round, who goes first changing."""
    names = list(stretches)
    for stretch in stretches.values():
        stretch()
    found = []
    for number in range(rounds):
        first = number % len(names)
        found.append({name: stretches[name]() for name in names[first:] + names[:first]})
    return found


def _median_of_blocks(rounds: list[Round], of: Callable[[list[Round]], float]) -> float:
    """The rounds in blocks, each worth one value, and the median of these."""
    size = len(rounds) // BLOCKS
    return statistics.median(of(rounds[number * size : (number + 1) * size]) for number in range(BLOCKS))


def _least(rounds: list[Round], name: str) -> float:
    return min(one[name] for one in rounds)


def _ratio(rounds: list[Round], ours: str, theirs: str) -> float:
    return _median_of_blocks(rounds, lambda block: _least(block, ours) / _least(block, theirs))


def _cheaper(rounds: list[Round], peer: str, ours: str) -> float:
    """What the peer's guard adds to a bare call, over what ours adds; 0 where the peer is not installed."""
    if peer not in rounds[0]:
        return 0.0

    def ratio(block: list[Round]) -> float:
        bare = _least(block, "bare")
        # Below the resolution of such a measurement ours would be infinitely better.
        return (_least(block, peer) - bare) / max(_least(block, ours) - bare, 1.0)

    return _median_of_blocks(rounds, ratio)
