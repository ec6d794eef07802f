"""Effects of a whole mode: from one process to the next, in both of its forms, and at what they may not do."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lrm_actors.domain.journal import SettleEffect
from lrm_actors.effects import Ask
from lrm_actors.errors import EffectInDoubt, ResultNotKept
from lrm_actors.inspect.sentences import sentence
from lrm_actors.mode import LongRunningMode
from tests.mode_kit import records, settings

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.usefixtures("sampled")

DYING = """
import os, signal, sys
from lrm_actors import LongRunningMode, LongRunningSettings
with LongRunningMode(LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=sys.argv[1])) as mode:
    with mode.step("pay"):
        print(mode.effect("book", lambda key: key))
        sys.stdout.flush()
        mode.effect("pay", lambda: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_process_that_was_killed_in_an_effect_leaves_it_in_doubt(tmp_path: Path) -> None:
    """What was finished before is given, under the same key; the other goes by its policy, and all is told."""
    died = subprocess.run([sys.executable, "-c", DYING, str(tmp_path)], cwd=ROOT, check=False, stdout=subprocess.PIPE)
    assert died.returncode == -9

    async def main() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:
            (doubt,) = records(mode, "journal.effect_in_doubt")
            assert "effect 1/pay#1 may have happened or not" in sentence(doubt)
            for _ in range(2):
                with pytest.raises(EffectInDoubt, match="1/pay#1"):
                    async with mode.step("pay"):
                        assert died.stdout.decode().strip() == await mode.effect("book", lambda key: "another")
                        await mode.effect("pay", lambda: 5, policy=Ask())
            running = mode._engine.running
            assert running is not None
            await running.system.ask("journal", SettleEffect("pay", "done", {"paid": 5}))
            async with mode.step("pay"):
                await mode.effect("book", lambda key: "another")
                assert {"paid": 5} == await mode.effect("pay", lambda: 6, policy=Ask())
            (settled,) = records(mode, "journal.effect_settled")
            assert "effect 1/pay#1 is in doubt no more: it happened (by hand)" == sentence(settled)

    asyncio.run(main())


def test_effects_of_several_threads_belong_to_the_step_that_they_were_started_in(tmp_path: Path) -> None:
    """A host without a loop hands its context on, as asyncio does for its tasks."""
    with LongRunningMode(settings(tmp_path)) as mode:
        with mode.step("many"), ThreadPoolExecutor(4) as pool:
            ran = [
                pool.submit(contextvars.copy_context().run, mode.effect, f"act {number}", lambda number=number: number)
                for number in range(8)
            ]
            assert list(range(8)) == [one.result(30.0) for one in ran]
        assert 8 == len(records(mode, "journal.effect_done"))


def test_effects_of_tasks_started_in_a_step_belong_to_it(tmp_path: Path) -> None:
    """In a task group, with gather, and by create_task."""

    async def main() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:

            async def act(name: str) -> str:
                async def give() -> str:
                    return name

                return str(await mode.effect(name, give))

            async with mode.step("many"):
                async with asyncio.TaskGroup() as group:
                    group.create_task(act("a"))
                    group.create_task(act("b"))
                assert ("c", "d") == tuple(await asyncio.gather(act("c"), act("d")))
                assert "e" == await asyncio.ensure_future(act("e"))
            done = records(mode, "journal.effect_done")
            assert ["a", "b", "c", "d", "e"] == sorted(one.event.name for one in done)
            assert {1} == {one.event.step for one in done}

    asyncio.run(main())


def test_a_result_that_is_no_json_ends_no_actor(tmp_path: Path) -> None:
    """It is the host's mistake: said once to it, and on record as what happened."""
    with LongRunningMode(settings(tmp_path)) as mode:
        with pytest.raises(ResultNotKept, match="1/open#1 happened"), mode.step("open"):
            mode.effect("open", object)
        (done,) = records(mode, "journal.effect_done")
        assert "effect 1/open#1 is done, but its result is not kept" in sentence(done)
        assert not records(mode, "supervisor.child_failed")
