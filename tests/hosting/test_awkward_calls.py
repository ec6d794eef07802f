"""Calls at awkward moments: a recovery that nobody waits for any more, and blocking words on the loop they wait for."""

from __future__ import annotations

import asyncio
import contextvars
from pathlib import Path
from typing import Any

import pytest

from eventstore.errors import LogNotWritable
from lrm_actors.errors import LoopWouldWait, WrongWith
from lrm_actors.mode import LongRunningMode
from tests.mode_kit import settings, soon


def test_a_recovery_that_was_given_up_does_not_put_the_state_back_later(tmp_path: Path) -> None:
    """It waited for a step, timed out, and came through when the step was done: what that had changed was gone."""
    state: dict[str, int] = {}

    def mode() -> LongRunningMode:
        made = LongRunningMode(settings(tmp_path))
        made.capture_with(lambda: {"a": 1})
        made.restore_with(restore)
        return made

    def restore(older: dict[str, int]) -> None:
        state.clear()
        state.update(older)

    async def main() -> None:
        async with mode() as first:
            await first.take_checkpoint()
        async with mode() as second:

            async def recover() -> None:
                async with asyncio.timeout(None) as patience:
                    patience.reschedule(asyncio.get_running_loop().time())
                    await second.recover_from_checkpoint()

            async with second.step("under way") as step:
                outside = contextvars.Context()  # as of a task that was started before the step was begun
                with pytest.raises(TimeoutError):
                    await asyncio.create_task(recover(), context=outside)
                state["b"] = step.result = 2
            async with second.step("next"):
                assert {"b": 2} == state
            assert await second.recover_from_checkpoint()
            assert {"a": 1} == state

    asyncio.run(main())


def test_a_blocking_word_on_the_loop_that_it_waits_for_is_refused_at_once(tmp_path: Path) -> None:
    """A checkpoint is captured on that loop: each held it for half a minute, and none was ever taken."""
    mode = LongRunningMode(settings(tmp_path))
    mode.capture_with(dict)

    async def main() -> None:
        async with mode:
            blocking = mode.blocking
            for word, call in (
                ("take_checkpoint", blocking.take_checkpoint),
                ("recover_from_checkpoint", blocking.recover_from_checkpoint),
                ("sleep", lambda: blocking.sleep(60.0, "a while")),
            ):
                with pytest.raises(LoopWouldWait, match=word) as raised:
                    call()
                assert f"await mode.{word}(...)" in raised.value.hint
            with pytest.raises(WrongWith, match="'read'") as told, blocking.step("read"):
                pytest.fail("it was begun")
            assert "async with mode.step(...)" in told.value.hint
            with pytest.raises(WrongWith, match="'count'"):
                blocking.task("count")(lambda: 1)()

            def elsewhere() -> Any:
                with blocking.step("read") as step:
                    step.result = 7
                return blocking.take_checkpoint(), step.number

            taken, number = await asyncio.to_thread(elsewhere)
            assert (1, [taken]) == (number, blocking.checkpointer.list_checkpoints())

    asyncio.run(main())


def test_a_host_without_a_loop_may_be_inside_of_one(tmp_path: Path) -> None:
    """As in a notebook: its functions are called on the thread that needs them, and nobody waits for the loop."""

    async def main() -> None:
        with LongRunningMode(settings(tmp_path)) as blocking:
            blocking.capture_with(dict)
            with blocking.step("read"):
                pass
            blocking.take_checkpoint("by hand")
            await soon(blocking, "checkpointer.taken")
            assert blocking.recover_from_checkpoint()

    asyncio.run(main())


def test_a_working_directory_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As below a directory that was cleaned up: with an absolute one the agent starts there all the same."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with (
        pytest.raises(LogNotWritable, match="working directory is gone") as raised,
        LongRunningMode(settings(Path("a"))),
    ):
        pytest.fail("it was started")
    assert "absolute" in raised.value.hint
    with LongRunningMode(settings(tmp_path / "agent")) as mode, mode.step("read"):
        pass
