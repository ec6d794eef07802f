"""Crowds that come to one guard at once, again and again: threads, tasks, and tasks of two event loops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue

from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.errors import CircuitOpen

PATIENCE_S = 30.0
THREADS, TASKS = 8, 50


class ThreadCrowd:
    """Threads that stay, and come to one guard after the other, all at once."""

    def __init__(self, count: int = THREADS) -> None:
        self.count = count
        self._guard: CircuitBreaker | None = None
        self._admitted: SimpleQueue[None] = SimpleQueue()
        # The one who counts is the last at each of them.
        self._come = threading.Barrier(count + 1)
        self._tried = threading.Barrier(count + 1)
        self._gone = threading.Barrier(count + 1)
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def admitted(self, guard: CircuitBreaker) -> int:
        """How many are let through, while none that was has come back."""
        self._guard = guard
        for barrier in (self._come, self._tried, self._gone):
            barrier.wait(PATIENCE_S)
        count = self._admitted.qsize()
        for _ in range(count):
            self._admitted.get()
        return count

    def close(self) -> None:
        """Let them go."""
        self._guard = None
        self._come.wait(PATIENCE_S)
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _work(self) -> None:
        while True:
            self._come.wait(PATIENCE_S)
            guard = self._guard
            if guard is None:
                return
            try:
                guard(self._service)()
            except CircuitOpen:
                self._tried.wait(PATIENCE_S)
            self._gone.wait(PATIENCE_S)

    def _service(self) -> None:
        self._admitted.put(None)
        self._tried.wait(PATIENCE_S)


async def _come(guard: CircuitBreaker, tasks: int, tried: Callable[[], object]) -> int:
    admitted = 0
    go = asyncio.Event()

    async def service() -> None:
        nonlocal admitted
        admitted += 1
        await go.wait()

    guarded = guard(service)
    under_way = [asyncio.ensure_future(guarded()) for _ in range(tasks)]
    await asyncio.sleep(0)
    tried()
    go.set()
    results = await asyncio.gather(*under_way, return_exceptions=True)
    assert tasks - admitted == sum(isinstance(result, CircuitOpen) for result in results)
    return admitted


def admitted_tasks(guards: list[CircuitBreaker], tasks: int = TASKS) -> list[int]:
    """Of each guard, how many of the tasks of one loop that come at once are let through."""

    async def main() -> list[int]:
        return [await _come(guard, tasks, lambda: None) for guard in guards]

    return asyncio.run(main())


def admitted_of_two_loops(guards: list[CircuitBreaker], tasks: int = TASKS // 2) -> list[int]:
    """Of each guard, how many of the tasks of two loops in two threads that come at once are let through."""
    tried = threading.Barrier(2)
    found: list[list[int]] = [[], []]

    async def main(counts: list[int]) -> None:
        for guard in guards:
            tried.wait(PATIENCE_S)
            counts.append(await _come(guard, tasks, lambda: tried.wait(PATIENCE_S)))

    threads = [threading.Thread(target=lambda one=one: asyncio.run(main(one)), daemon=True) for one in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S + len(guards))
        assert not thread.is_alive()
    return [sum(both) for both in zip(*found, strict=True)]
