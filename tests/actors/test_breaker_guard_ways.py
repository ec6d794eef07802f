"""Every way to guard a call: blocks, functions, coroutine functions, streams."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import Any

import attrs
import pytest

from lrm_actors.errors import CircuitOpen
from tests.actors.breaker_kit import CONFIG, Rig, ServiceError


class TestWays:
    """Every way to guard a call."""

    def test_blocks_check_the_state(self) -> None:
        """A with-block counts its failures, and is not entered while the breaker is open."""
        rig = Rig()
        for _ in range(3):
            with pytest.raises(ServiceError), rig.guard:
                raise ServiceError
        with pytest.raises(CircuitOpen), rig.guard:
            pytest.fail("the block was entered")

    def test_blocks_nest(self) -> None:
        """Blocks of two guards, and of one guard twice, each remember their own entry."""
        llm, browser = Rig(), Rig()
        with pytest.raises(ServiceError), llm.guard, browser.guard, llm.guard:
            raise ServiceError
        assert [2, 1] == [llm.guard.failure_count, browser.guard.failure_count]

    def test_blocks_of_tasks_do_not_mix(self) -> None:
        """Two tasks inside blocks of one half-open guard hold one permit each, and each gives back its own."""
        rig = Rig(attrs.evolve(CONFIG, half_open_permits=2, successes_to_close=5))
        rig.trip()
        rig.expire()

        async def probe(go: asyncio.Event) -> None:
            async with rig.guard:
                await go.wait()

        async def main() -> None:
            first, second = asyncio.Event(), asyncio.Event()
            tasks = [asyncio.create_task(probe(first)), asyncio.create_task(probe(second))]
            await asyncio.sleep(0)
            rig.rejected()
            first.set()
            await tasks[0]
            rig.succeed()
            second.set()
            await tasks[1]

        asyncio.run(main())
        assert 3 == rig.actor.probe_successes

    def test_blocks_left_in_any_order(self) -> None:
        """Blocks of two guards that are left in the order they were entered in give each its own result."""
        llm, browser = Rig(), Rig()
        llm.guard.__enter__()
        browser.guard.__enter__()
        llm.guard.__exit__(ServiceError, ServiceError(), None)
        browser.guard.__exit__(None, None, None)
        assert [1, 0] == [llm.guard.failure_count, browser.guard.failure_count]
        browser.guard.__exit__(None, None, None)

    def test_functions(self) -> None:
        """A decorated function keeps its name, passes arguments and results, and counts failures."""
        rig = Rig()

        @rig.guard
        def divide(a: int, *, by: int) -> float:
            """Divide."""
            return a / by

        assert 2.0 == divide(4, by=2)
        assert ("divide", "Divide.") == (divide.__name__, divide.__doc__)
        with pytest.raises(ZeroDivisionError):
            divide(4, by=0)
        assert 1 == rig.guard.failure_count

    def test_coroutine_functions(self) -> None:
        """A coroutine function's failures count when it is awaited, and it is rejected while open."""
        rig = Rig()

        @rig.guard
        async def fetch() -> None:
            raise ServiceError

        async def main() -> None:
            for _ in range(3):
                with pytest.raises(ServiceError):
                    await fetch()
            with pytest.raises(CircuitOpen):
                await fetch()
            with pytest.raises(CircuitOpen):
                await rig.guard.call(fetch)

        asyncio.run(main())

    def test_plain_functions_that_make_coroutines(self) -> None:
        """Making a coroutine is no success: what counts is how it ends."""
        rig = Rig()

        async def fetch() -> None:
            raise ServiceError

        @rig.guard
        def guarded() -> Coroutine[Any, Any, None]:
            return fetch()

        async def main() -> None:
            for _ in range(3):
                with pytest.raises(ServiceError):
                    await guarded()

        asyncio.run(main())
        assert "open" == rig.guard.state

    def test_blocking_calls_refuse_coroutine_functions(self) -> None:
        """A blocking call of a coroutine function would call nothing: it is refused with the way that works."""
        rig = Rig()

        async def fetch() -> None:
            """Never called."""

        with pytest.raises(TypeError, match=r"await breaker.call"):
            _ = rig.guard.call_blocking(fetch)

    def test_streams_that_break_in_the_middle(self) -> None:
        """A generator of either kind that fails after some items is a failure; one that is left early is neutral."""
        rig = Rig()

        @rig.guard
        def lines() -> Generator[int, None, str]:
            yield 1
            raise ServiceError

        @rig.guard
        async def chunks() -> AsyncGenerator[int, None]:
            yield 1
            raise ServiceError

        async def read() -> list[int]:
            return [item async for item in chunks()]

        async def leave() -> None:
            stream = chunks()
            assert 1 == await anext(stream)
            await stream.aclose()

        with pytest.raises(ServiceError):
            list(lines())
        stream = lines()
        assert 1 == next(stream)
        stream.close()
        asyncio.run(leave())
        assert 1 == rig.guard.failure_count
        for _ in range(2):
            with pytest.raises(ServiceError):
                asyncio.run(read())
        assert "open" == rig.guard.state

    def test_an_abandoned_generator_gives_its_permit_back(self) -> None:
        """A probing generator that nobody reads on is ended by the collector, and its permit is free again."""
        rig = Rig()
        rig.trip()
        rig.expire()

        @rig.guard
        def lines() -> Generator[int, None, None]:
            yield 1
            yield 2

        stream = lines()
        next(stream)
        rig.rejected()
        del stream
        gc.collect()
        rig.succeed()

    def test_generators_take_part_like_functions(self) -> None:
        """A guarded generator returns its value, takes what is sent, and closes a half-open breaker by its end."""
        rig = Rig()
        rig.trip()
        rig.expire()

        @rig.guard
        def talk() -> Generator[str, str, str]:
            heard = yield "hello"
            return heard

        conversation = talk()
        assert "hello" == next(conversation)
        with pytest.raises(StopIteration) as ended:
            conversation.send("goodbye")
        assert "goodbye" == ended.value.value
        assert "closed" == rig.guard.state
