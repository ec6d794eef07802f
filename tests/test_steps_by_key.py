"""``mode.step(name, key=...)``: what an abandoned step had finished waits for it while others go on."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from eventstore.errors import EventRefused
from lrm_actors.domain.journal import SettleEffect
from lrm_actors.effects import Ask
from lrm_actors.errors import EffectInDoubt, SettingsError
from lrm_actors.inspect.sentences import sentence
from lrm_actors.mode import LongRunningMode
from tests.mode_kit import records, settings
from tests.test_tasks import copied

pytestmark = pytest.mark.usefixtures("sampled")


async def order(mode: LongRunningMode, number: str, paid: list[tuple[str, str]], *, fails: bool) -> bool:
    """One step that pays and ships; whether it is done."""
    try:
        async with mode.step("order", key=number) as step:
            assert f"order {number}" == step.name
            step.result = await mode.effect("pay", lambda key: paid.append((number, key)))
            if fails:
                raise RuntimeError("the printer is down")
            await mode.effect("ship", lambda: number)
    except RuntimeError:
        return False
    return step.committed


@pytest.mark.parametrize("killed", [False, True])
def test_a_queue_of_steps_pays_each_order_once(tmp_path: Path, killed: bool, caplog: pytest.LogCaptureFixture) -> None:
    """One fails, the next goes on, and the first begins again: in the same process, or in the one after ``kill -9``."""
    caplog.set_level(logging.WARNING, "lrm_actors.mode")
    paid: list[tuple[str, str]] = []

    async def story() -> None:
        async with LongRunningMode(settings(tmp_path / "a")) as mode:
            assert [True, False, True] == [await order(mode, number, paid, fails=number == "B") for number in "ABC"]
            async with mode.step("look"):
                pass
            if killed:
                copied(tmp_path / "a", tmp_path / "b")
            else:
                await again(mode)
        if killed:
            async with LongRunningMode(settings(tmp_path / "b")) as mode:
                await again(mode)

    async def again(mode: LongRunningMode) -> None:
        assert {"tasks": 1, "effects_in_doubt": 0} == (await mode.get_health_report())["steps"]["aside"]
        assert await order(mode, "B", paid, fails=False)
        (waited,), (back,) = records(mode, "journal.task_set_aside"), records(mode, "journal.task_taken_back")
        assert "order B waits until it begins again, with 1 effects finished, 0 in doubt" == sentence(waited)
        assert "order B goes on in step 4 with 1 effects finished" == sentence(back)
        assert not records(mode, "journal.effects_forgotten")
        assert await order(mode, "B", paid, fails=False), "the key of one that is done is free for another"

    asyncio.run(story())
    assert list("ABCB") == [name for name, _ in paid]
    assert 4 == len({key for _, key in paid})
    assert not [record for record in caplog.records if "forgotten" in record.getMessage()]


def test_others_go_on_while_a_human_looks_into_one(tmp_path: Path) -> None:
    """Its doubt waits with it, by its name, and is settled there."""

    def pay() -> None:
        raise TimeoutError("the bank did not answer")

    with LongRunningMode(settings(tmp_path)) as mode:

        def buy(number: str) -> Any:
            with mode.step("order", key=number):
                return mode.effect("pay", pay if number == "B" else lambda: number, policy=Ask())

        with pytest.raises(TimeoutError):
            buy("B")
        with pytest.raises(EffectInDoubt) as doubt:
            buy("B")
        assert "C" == buy("C")
        assert "order B/pay#1" == doubt.value.effect
        mode._engine.ask_blocking("journal", SettleEffect(doubt.value.effect, "done", 7))
        assert 7 == buy("B")


@pytest.mark.parametrize("key", ["", "  ", 4711, "a\0b", "x" * 1_000])
def test_a_key_is_a_text(tmp_path: Path, key: Any) -> None:
    """Refused before anything is begun."""
    with LongRunningMode(settings(tmp_path)) as mode:
        with pytest.raises(SettingsError, match="key"):
            mode.step("order", key=key)
        assert not records(mode, "journal.step_begun")


def test_what_could_not_be_set_aside_is_not_begun(tmp_path: Path) -> None:
    """No other step could begin after it was abandoned: the journal failed on each."""
    with LongRunningMode(settings(tmp_path)) as mode:
        with pytest.raises(EventRefused, match="task_set_aside"), mode.step("x" * 9_000_000, key="4711"):
            raise AssertionError
        with mode.step("order", key="4711") as step:
            assert (1, 1) == (step.number, step.attempt)
