"""``mode.task``: one that fails while others go on pays once, under one key, whenever it is called again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lrm_actors.domain import journal
from lrm_actors.domain.journaling.aside import TaskTakenBack
from lrm_actors.effects import Ask
from lrm_actors.errors import EffectInDoubt
from lrm_actors.mode import LongRunningMode
from tests.mode_kit import records, settings
from tests.test_tasks import copied

Job = Callable[[str], Any]


def job_of(mode: LongRunningMode, paid: list[tuple[str, str]], down: set[str]) -> Job:
    """A durable function that pays and then prints, unless the printer is down."""

    @mode.task("job", key=lambda name: name)
    async def job(name: str) -> str:
        def pay(key: str) -> str:
            paid.append((name, key))
            return f"receipt of {name}"

        def show(key: str) -> str:
            keys.append((name, key))
            if name in down:
                raise RuntimeError("the printer is down")
            return "printed"

        receipt = await mode.effect("pay", pay)
        await mode.effect("print", show)
        return str(receipt)

    keys: list[tuple[str, str]] = []
    job.keys = keys  # type: ignore[attr-defined]
    return job


async def work_off(job: Job, names: str) -> str:
    """Call it for each; what is left."""
    left = ""
    for name in names:
        try:
            assert f"receipt of {name}" == await job(name)
        except RuntimeError:
            left += name
    return left


@pytest.mark.parametrize("killed", [False, True])
def test_a_queue_worked_off_twice_pays_each_once(tmp_path: Path, killed: bool) -> None:
    """One job fails, the next goes on, and the first is called again: by the same process, or after ``kill -9``."""
    paid: list[tuple[str, str]] = []

    async def story() -> None:
        async with LongRunningMode(settings(tmp_path / "a")) as mode:
            job = job_of(mode, paid, {"B"})
            assert "B" == await work_off(job, "ABC")
            printed = dict(job.keys)["B"]  # type: ignore[attr-defined]
            if killed:
                copied(tmp_path / "a", tmp_path / "b")
            else:
                await again(mode, printed)
        if killed:
            async with LongRunningMode(settings(tmp_path / "b")) as mode:
                await again(mode, printed)

    async def again(mode: LongRunningMode, printed: str) -> None:
        job = job_of(mode, paid, set())
        assert "" == await work_off(job, "ABC")
        assert [("B", printed)] == job.keys, "the effect that had failed has the key of before"  # type: ignore[attr-defined]
        assert 1 == len(records(mode, "journal.task_taken_back"))
        assert not records(mode, "journal.effects_forgotten")

    asyncio.run(story())
    assert list("ABC") == [name for name, _ in paid]
    assert 3 == len({key for _, key in paid})


def test_a_process_killed_in_one_job_may_begin_with_the_one_that_had_failed(tmp_path: Path) -> None:
    """The queue is in its own order, which the kill does not know of."""
    paid: list[tuple[str, str]] = []

    async def story() -> None:
        async with LongRunningMode(settings(tmp_path / "a")) as mode:
            job = job_of(mode, paid, {"B"})
            await work_off(job, "AB")

            class Copying(list[tuple[str, str]]):
                def append(self, one: tuple[str, str]) -> None:
                    super().append(one)
                    copied(tmp_path / "a", tmp_path / "b")

            last = Copying()
            await work_off(job_of(mode, last, set()), "C")
        async with LongRunningMode(settings(tmp_path / "b")) as mode:
            assert "" == await work_off(job_of(mode, paid, set()), "ABC")
        assert [("A"), ("B"), ("C")] == [name for name, _ in paid]
        assert last == paid[2:], "done again in doubt, under its key"

    asyncio.run(story())


def test_the_queue_goes_on_while_a_human_looks_into_one_job(tmp_path: Path) -> None:
    """What is in doubt of it waits with it, and is settled there."""

    def pay() -> None:
        raise TimeoutError("the bank did not answer")

    with LongRunningMode(settings(tmp_path)) as mode:

        @mode.task("job", key=lambda name: name)
        def job(name: str) -> Any:
            return mode.effect("pay", pay if name == "B" else lambda: name, policy=Ask())

        with pytest.raises(TimeoutError):
            job("B")
        with pytest.raises(EffectInDoubt) as doubt:
            job("B")
        assert "C" == job("C")
        assert {"tasks": 1, "effects_in_doubt": 1} == mode.get_health_report()["steps"]["aside"]
        with pytest.raises(EffectInDoubt):
            job("B")
        assert "D" == job("D")
        assert "job B/pay#1" == doubt.value.effect, "the same as what waits is called"
        mode._engine.ask_blocking("journal", journal.SettleEffect(doubt.value.effect, "done", 7))
        assert 7 == job("B")
        assert {"tasks": 0, "effects_in_doubt": 0} == mode.get_health_report()["steps"]["aside"]


def test_an_effect_that_ends_after_its_task_failed_counts_for_that_task(tmp_path: Path) -> None:
    """``gather`` goes on with the others when one raises; the task that follows has effects of the same names."""
    paid: list[str] = []

    async def story() -> None:
        may_end, ended = asyncio.Event(), asyncio.Event()
        async with LongRunningMode(settings(tmp_path)) as mode:

            async def slow() -> str:
                paid.append("B")
                await may_end.wait()
                return "receipt of B"

            async def own() -> str:
                may_end.set()
                await ended.wait()
                raise RuntimeError("C has failed")

            async def down() -> None:
                raise RuntimeError("the printer is down")

            async def left_behind() -> Any:
                try:
                    return await mode.effect("pay", slow)
                finally:
                    ended.set()

            @mode.task("job", key=lambda name: name)
            async def job(name: str, again: bool = False) -> Any:
                if name == "C":
                    return await mode.effect("pay", own)
                if again:
                    await mode.effect("print", lambda: None)
                    return await mode.effect("pay", slow)
                return await asyncio.gather(left_behind(), mode.effect("print", down))

            with pytest.raises(RuntimeError, match="printer"):
                await job("B")
            with pytest.raises(RuntimeError, match="C has failed"):
                await job("C")
            assert ["failed"] == [entry.status for entry in mode._engine.state("journal").effects]
            [task] = mode._engine.state("journal").aside.tasks.values()
            assert {"pay": "receipt of B", "print": None} == {one.name: one.result for one in task.effects}

    asyncio.run(story())
    assert ["B"] == paid


def test_a_planted_journal_that_forgets_pays_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So this story would find it."""
    from lrm_actors.domain.journaling import state

    fold = state._evolve_aside
    monkeypatch.setattr(
        state, "_evolve_aside", lambda now, event: now if isinstance(event, TaskTakenBack) else fold(now, event)
    )
    paid: list[tuple[str, str]] = []

    async def story() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:
            await work_off(job_of(mode, paid, {"B"}), "ABC")
            await work_off(job_of(mode, paid, set()), "B")

    asyncio.run(story())
    assert list("ABCB") == [name for name, _ in paid]


def test_a_plain_step_that_is_left_is_forgotten_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It has no key, so a later step of its name is another one; that is a warning, once for each step left."""
    caplog.set_level(logging.WARNING, "lrm_actors.mode")
    keys: list[str] = []
    with LongRunningMode(settings(tmp_path)) as mode:
        for name, fails in (("B", True), ("C", False), ("B", False)):
            try:
                with mode.step(f"order {name}"):
                    mode.effect("pay", keys.append)
                    if fails:
                        raise RuntimeError("the printer is down")
            except RuntimeError:
                pass
    assert 3 == len(set(keys))
    [warning] = [record.getMessage() for record in caplog.records if record.name == "lrm_actors.mode"]
    assert "1 finished effects of an abandoned step are forgotten: its number 1 begins as 'order C'" in warning
