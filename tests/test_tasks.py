"""``mode.task``: a plain function made durable goes on where it was, and is called once for each result."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.errors import EventRefused
from lrm_actors.blocking import BlockingMode
from lrm_actors.errors import JournalMismatch, SettingsError, StepOrder, TaskConflict
from lrm_actors.hosting.effects import digest_of
from lrm_actors.mode import LongRunningMode
from tests.mode_kit import records, settings


@attrs.define
class Agent:
    """One process of an agent with a durable function."""

    mode: LongRunningMode
    calls: list[str] = attrs.Factory(list)
    during_post: Callable[[], Any] = lambda: None
    report: Callable[..., Any] = attrs.field(init=False)
    greet: Callable[..., Any] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        @self.mode.task("report")
        async def report(city: str, **_: Any) -> dict[str, Any]:
            """Tell of the weather."""
            self.calls.append("report")
            weather = await self.mode.effect("fetch", lambda: self.do("fetch"))
            await self.mode.sleep(0.001, "before posting")
            posted = await self.mode.effect("post", self.post)
            return {"city": city, "weather": weather, "posted": posted}

        @self.mode.task("greet", key=lambda name, *, day="Monday": f"{name} on {day}".removesuffix(" on "))
        async def greet(name: str, *, day: str = "Monday") -> str:
            self.calls.append(name)
            return f"hello {name}"

        self.report, self.greet = report, greet

    def do(self, what: str) -> str:
        """Something outside."""
        self.calls.append(what)
        return f"{what} {self.calls.count(what)}"

    def post(self) -> str:
        """Something outside in which much can happen."""
        posted = self.do("post")
        self.during_post()
        return posted


def copied(directory: Path, to: Path) -> None:
    """What a process leaves behind that is killed now."""
    shutil.copytree(directory, to, ignore=shutil.ignore_patterns("*.sock"))


def test_it_goes_on_in_the_process_after_the_one_that_was_killed(tmp_path: Path) -> None:
    """What was finished is not done again; the result is as if nothing had happened."""

    async def story() -> None:
        async with LongRunningMode(settings(tmp_path / "a")) as mode:
            agent = Agent(mode, during_post=lambda: copied(tmp_path / "a", tmp_path / "b"))
            whole = await agent.report("Oslo")
        async with LongRunningMode(settings(tmp_path / "b")) as mode:
            agent = Agent(mode)
            assert whole == await agent.report("Oslo")
            assert ["report", "post"] == agent.calls
            assert 1 == len(records(mode, "journal.effect_in_doubt"))
            assert 1 == len(records(mode, "journal.sleep_begun"))

    asyncio.run(story())


def test_it_goes_on_after_an_exception(tmp_path: Path) -> None:
    """In the same process."""

    async def story() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:
            agent = Agent(mode)
            agent.during_post = lambda: 1 / 0
            for _ in range(2):
                with pytest.raises(ZeroDivisionError):
                    await agent.report("Oslo")
            agent.during_post = lambda: None
            assert {"city": "Oslo", "weather": "fetch 1", "posted": "post 3"} == await agent.report("Oslo")
            assert 1 == agent.calls.count("fetch")

    asyncio.run(story())


def test_one_that_is_done_gives_its_result_without_being_called(tmp_path: Path) -> None:
    """In this process and in the next ones."""

    async def story() -> None:
        results = []
        for _ in range(2):
            async with LongRunningMode(settings(tmp_path)) as mode:
                agent = Agent(mode)
                results += [await agent.report("Oslo"), await agent.report("Oslo")]
                assert 1 == mode._engine.state("journal").committed
        assert [results[0]] * 4 == results
        assert [] == agent.calls

    asyncio.run(story())


def test_other_arguments_need_another_key(tmp_path: Path) -> None:
    """What is on record belongs to the first ones, whether it is done or under way. The error says what to write."""

    async def story() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:
            agent = Agent(mode)
            await agent.greet("Ada")
            assert "hello Ada" == await agent.greet("Ada", day="Tuesday")
            assert ["Ada", "Ada"] == agent.calls
            assert "hello Ada" == await agent.greet(name="Ada", day="Monday")  # the same, said by name
            with pytest.raises(TaskConflict, match="'greet' with key 'Ada on Monday'") as refused:
                await agent.greet("Ada on Monday", day="")
            assert "a key of its own" in refused.value.hint
            agent.during_post = lambda: 1 / 0
            with pytest.raises(ZeroDivisionError):
                await agent.report("Oslo")
            with pytest.raises(TaskConflict):
                await agent.report("Bergen")
            agent.during_post = lambda: None
            await agent.report("Oslo")
            with pytest.raises(TaskConflict):
                await agent.report("Bergen")

    asyncio.run(story())


def test_arguments_that_are_no_json_values_are_not_compared(tmp_path: Path) -> None:
    """A browser, say: nobody can tell whether it is another one."""

    async def story() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:
            agent = Agent(mode)
            assert await agent.report("Oslo", browser=object()) == await agent.report("Bergen", browser=object())

    asyncio.run(story())


def test_a_task_is_a_step(tmp_path: Path) -> None:
    """With its name and key; so none begins inside another, and a result is a JSON value."""

    async def story() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:
            agent = Agent(mode)
            await agent.greet("Ada")
            [begun] = [record.event for record in records(mode, "journal.step_begun")]
            assert "greet Ada on Monday" == begun.name

            @mode.task("outer")
            async def outer() -> None:
                await agent.report("Oslo")

            with pytest.raises(StepOrder):
                await outer()

            @mode.task("odd")
            async def odd() -> object:
                return object()

            with pytest.raises(EventRefused):
                await odd()

    asyncio.run(story())


def test_another_step_does_not_take_over_what_is_on_record_of_a_task(tmp_path: Path) -> None:
    """Where the process was killed in the middle of it, the task has to be called again, or given up."""

    async def story() -> None:
        async with LongRunningMode(settings(tmp_path / "a")) as mode:
            await Agent(mode, during_post=lambda: copied(tmp_path / "a", tmp_path / "b")).report("Oslo")
        async with LongRunningMode(settings(tmp_path / "b")) as mode:
            with pytest.raises(JournalMismatch, match="report"):
                async with mode.step("something else"):
                    pass
            await Agent(mode).report("Oslo")

    asyncio.run(story())


def test_a_host_without_an_event_loop_has_the_same(tmp_path: Path) -> None:
    """For plain functions."""
    calls = []

    def count_in(mode: BlockingMode) -> Callable[[int], int]:
        @mode.task("count", key=str)
        def count(number: int) -> int:
            calls.append(number)
            mode.sleep(0.001, "first")
            return int(mode.effect("add", lambda: number + 1))

        return count

    for _ in range(2):
        with LongRunningMode(settings(tmp_path)) as mode:
            assert [2, 2, 3] == [count_in(mode)(number) for number in (1, 1, 2)]
            with pytest.raises(TaskConflict):
                mode.task("count", key="1")(lambda number: number)(3)
    assert [1, 2] == calls


def test_what_cannot_be_made_durable_is_refused() -> None:
    """With what to write instead."""
    mode = LongRunningMode()

    def plain() -> None: ...

    async def asynchronous() -> None: ...

    with pytest.raises(SettingsError, match=r"blocking\.task"):
        mode.task("plain")(plain)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"mode\.task"):
        mode.blocking.task("asynchronous")(asynchronous)
    with pytest.raises(SettingsError, match="name"):
        mode.task("")(asynchronous)
    with pytest.raises(SettingsError, match="key"):
        mode.task("task", key="")(asynchronous)


def test_a_mode_that_is_switched_off_calls_the_function() -> None:
    """Within one process, what is done gives its result all the same."""

    async def story() -> None:
        async with LongRunningMode() as mode:
            agent = Agent(mode)
            assert await agent.report("Oslo") == await agent.report("Oslo")
            assert 1 == agent.calls.count("report")

    asyncio.run(story())


def test_the_function_keeps_its_name_and_its_words() -> None:
    """For whoever reads a traceback or asks for help."""
    agent = Agent(LongRunningMode())
    assert ("report", "Tell of the weather.") == (agent.report.__name__, agent.report.__doc__)


@pytest.mark.parametrize(("size", "beside"), [(10, False), (10**6, True)])
def test_large_arguments_are_looked_through_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, beside: bool
) -> None:
    """A page that a task is given is hashed on another thread, so that the loop turns meanwhile."""
    threads: list[int] = []

    def noted(given: object) -> str:
        threads.append(threading.get_ident())
        return digest_of(given)

    monkeypatch.setattr("lrm_actors.hosting.tasks.digest_of", noted)

    async def main() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:

            @mode.task("measure")
            async def measure(page: str) -> int:
                return len(page)

            assert [size, size] == [await measure("x" * size), await measure(page="x" * size)]

    asyncio.run(main())
    assert [beside] * 2 == [thread != threading.get_ident() for thread in threads]
