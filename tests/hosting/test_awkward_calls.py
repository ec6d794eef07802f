"""Calls at awkward moments: a recovery that nobody waits for any more, and blocking words on the loop they wait for."""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from eventstore.errors import LogNotWritable
from lrm_actors.errors import LoopWouldWait, LrmError, WrongWith
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


@pytest.mark.parametrize(
    ("kind", "inside"), [("plain", False), ("plain", True), ("async", False)], ids=["plain", "in a step", "async"]
)
def test_a_blocking_stop_on_the_loop_takes_a_last_checkpoint(tmp_path: Path, *, kind: str, inside: bool) -> None:
    """The capture belongs to the loop that waits for the stop: it was waited for in vain, and none was left."""
    state = {"a": 1, "many": list(range(3000))}
    mode = LongRunningMode(settings(tmp_path))

    async def give() -> dict[str, Any]:
        await asyncio.sleep(0)
        return state

    mode.capture_with((lambda: state) if kind == "plain" else give)

    async def main() -> None:
        await mode.start_monitoring()
        async with mode.step("read"):
            pass
        if inside:
            async with mode.step("look"):
                mode.blocking.stop_monitoring(30.0)
        else:
            mode.blocking.stop_monitoring(30.0)

    with suppress(LrmError):  # the step that was open when the mode was stopped
        asyncio.run(main())
    found: dict[str, Any] = {}
    after = LongRunningMode(settings(tmp_path))
    after.restore_with(found.update)
    with after as blocking:
        assert 1 == len(blocking.checkpointer.list_checkpoints())
        assert blocking.recover_from_checkpoint()
    assert state == found
    assert 0 == mode.exit_code


def test_a_blocking_stop_on_the_loop_says_at_once_that_an_async_capture_waits_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It cannot have what it awaits. What it was at is undone, and all the rest of the stop is in order."""
    mode, ended = LongRunningMode(settings(tmp_path)), list[str]()

    async def give() -> dict[str, Any]:
        try:
            await asyncio.sleep(0.001)
        finally:
            ended.append("undone")
        return {}

    mode.capture_with(give)

    async def main() -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(LongRunningMode, "_stop", lambda *_: asyncio.sleep(0))
            async with mode:
                mode.blocking.stop_monitoring(60.0)

    asyncio.run(main())
    assert ["undone"] == ended
    assert 0 == mode.exit_code
    assert "waits for the event loop, which is held by a blocking stop" in caplog.text


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
