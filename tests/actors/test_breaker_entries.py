"""A shared with-block gives each call's ticket back with that call's own result, whatever shares its context."""

from __future__ import annotations

import asyncio
import contextvars
import random
import threading
from typing import Any

import pytest

from lrm_actors.actors import entries, ways
from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.actors.entries import Entry
from lrm_actors.domain.breaker_config import COUNT, BreakerConfig
from lrm_actors.runtime.clock import SystemClock

PATIENCE_S = 30.0


class Failed(Exception):
    """A call failed; its number says which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Told(CircuitBreaker):
    """A breaker that makes a ticket for each call, and compares what comes back with what it made."""

    def __init__(self) -> None:
        config = BreakerConfig(policy=COUNT, failure_rate=1.0, window_calls=1000, minimum_calls=1000)
        super().__init__("told", config, tell=lambda _: None, clock=SystemClock())
        self.given: dict[int, int] = {}
        """By the ticket's id, the number of the call that got it."""
        self.kept: list[object] = []
        """Every ticket, so that no id comes twice."""
        self.wrong: list[tuple[int | None, int]] = []
        self.back = 0

    def _admit_slowly(self) -> Any:
        ticket = super()._admit_slowly()
        self.kept.append(ticket)
        self.given[id(ticket)] = number.get()
        return ticket

    def came_back(self, ticket: Any, error: BaseException | None, *args: Any, **kwargs: Any) -> None:
        self.back += 1
        whose = self.given.pop(id(ticket), None)
        if whose is None or (isinstance(error, Failed) and error.number != whose):
            self.wrong.append((whose, getattr(error, "number", -1)))


number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=-1)


def mixed_up(seed: int, rounds: int) -> tuple[int, int, int]:
    """The checker: calls made, tickets that came back with another call's result, and tickets that never came back.

    Tasks, and threads in copies of their contexts, enter one guard inside each other and at the same time, some of them
    while whoever began them is inside as well.
    """
    guard, chance, made = Told(), random.Random(seed), [0]
    counting = threading.Lock()

    def next_number() -> int:
        with counting:
            made[0] += 1
            return made[0]

    def plain(depth: int) -> None:
        mine = next_number()
        before = number.set(mine)
        try:
            with guard:
                if depth:
                    plain(depth - 1)
                raise Failed(mine)
        except Failed:
            pass
        finally:
            number.reset(before)

    async def awaited(depth: int) -> None:
        mine = next_number()
        before = number.set(mine)
        try:
            async with guard:
                number.set(mine)
                await asyncio.sleep(0)
                inside = [asyncio.create_task(awaited(depth - 1)) for _ in range(2 if depth else 0)]
                if chance.random() < 0.3:
                    thread = threading.Thread(target=contextvars.copy_context().run, args=(plain, 1))
                    thread.start()
                    await asyncio.sleep(0)
                    thread.join(PATIENCE_S)
                await asyncio.gather(*inside)
                raise Failed(mine)
        except Failed:
            pass
        finally:
            number.reset(before)

    async def main() -> None:
        plain(0)  # leaves an entry behind, which every task's context has from here on
        for _ in range(rounds):
            tasks = [asyncio.create_task(awaited(chance.randrange(3))) for _ in range(8)]
            plain(chance.randrange(3))
            await asyncio.gather(*tasks)

    asyncio.run(main())
    return made[0], len(guard.wrong), len(guard.given)


def test_no_call_gets_the_result_of_another(release: bool) -> None:
    """Hundreds of nested blocks of tasks and threads with copied contexts: each ticket comes back, and to its own."""
    calls = 0
    for seed in range(40 if release else 4):
        made, wrong, lost = mixed_up(seed, 20)
        assert (0, 0) == (wrong, lost)
        calls += made
    print(f"{calls} calls in shared contexts, each with its own ticket")
    assert calls > 2000


class Careless(Entry):
    """Planted: whoever comes takes an entry again, also while somebody is in."""

    __slots__ = ()

    @property
    def free(self) -> list[None]:
        """Always."""
        return [None]

    @free.setter
    def free(self, value: list[None]) -> None:
        """Never mind."""


def left_behind() -> int:
    """The checker: how many entries are kept after blocks one after the other, on one guard and on two in turn."""
    one, other = Told(), Told()
    for _ in range(100):
        with one, other:
            pass
        with one:
            pass
        with other:
            pass
    count, entry = 0, entries.innermost()
    while entry is not None:
        count, entry = count + 1, entry.before
    return count


def test_one_entry_is_kept_and_nothing_grows() -> None:
    """The outermost, which the next block takes again."""
    assert 1 == contextvars.Context().run(left_behind)


def test_an_entry_that_anybody_takes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """By tickets that come back with another's result, or never."""
    monkeypatch.setattr(entries, "Entry", Careless)
    _, wrong, lost = contextvars.Context().run(mixed_up, 1, 5)
    assert wrong or lost


def test_a_block_that_is_never_left_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what is left behind."""
    monkeypatch.setattr(ways, "leave", lambda entry: None)
    assert contextvars.Context().run(left_behind) > 100


def test_a_thread_that_is_slower_makes_an_entry_of_its_own() -> None:
    """Two in copies of one context look at once; one of them takes the entry that both saw free."""
    guard, begin = Told(), threading.Barrier(2)

    class Slow(list[None]):
        """Has both look before either takes."""

        def __bool__(self) -> bool:
            found = len(self) > 0
            if threading.current_thread().name not in looked:
                looked.add(threading.current_thread().name)
                begin.wait(PATIENCE_S)
            return found

    def block() -> None:
        with guard:
            pass

    def in_context() -> None:
        block()
        entry = entries.innermost()
        entry.free = Slow(entry.free)
        threads = [threading.Thread(target=contextvars.copy_context().run, args=(look,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)

    def look() -> None:
        guard.__enter__()
        seen.append(entries.innermost())

    seen: list[Any] = []
    looked = {threading.current_thread().name}
    contextvars.Context().run(in_context)
    assert 2 == len({id(one) for one in seen}) == len(seen)
