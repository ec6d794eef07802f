"""What was done after the checkpoint is taken up by the host's own function: each step once, in order, or an error."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from lrm_actors.errors import NotCapturable, SettingsError, StepNotReplayed, StepOrder
from lrm_actors.hosting import capturing
from lrm_actors.hosting.capturing import REPLAYED_AT_ONCE
from lrm_actors.integration import Component, LongRunningIntegration
from lrm_actors.mode import LongRunningMode
from lrm_actors.words import CommittedStep
from tests.mode_kit import settings

pytestmark = pytest.mark.usefixtures("sampled")


def lived(directory: Path, numbers: Iterable[int], *, checkpoint_after: int = 0) -> None:
    """A process that makes these steps, and takes a checkpoint after one of them; then it ends without another."""
    done: list[int] = []
    mode = LongRunningMode(settings(directory))
    with mode as blocking:
        blocking.capture_with(lambda: list(done))
        for number in numbers:
            with blocking.step(f"step {number}") as step:
                done.append(number)
                step.result = number
            if number == checkpoint_after:
                blocking.take_checkpoint()
        blocking.capture_with(object)  # nothing that could be captured when it stops


def test_the_steps_since_the_checkpoint_are_taken_up_on_the_hosts_loop(tmp_path: Path) -> None:
    """In order, after the state, more of them than at once; then the state is whole, and may be captured at once."""
    count = REPLAYED_AT_ONCE + 7
    lived(tmp_path, range(1, count + 3), checkpoint_after=2)
    done: list[int] = []
    threads: set[int] = set()

    async def replay(step: CommittedStep) -> None:
        threads.add(threading.get_ident())
        await asyncio.sleep(0)
        done.append(step.result)

    async def main() -> None:
        mode = LongRunningMode(settings(tmp_path))
        mode.capture_with(lambda: list(done))
        mode.restore_with(done.extend)
        mode.replay_with(replay)
        async with mode:
            assert await mode.recover_from_checkpoint()
            assert done == list(range(1, count + 3))
            assert threads == {threading.get_ident()}
            assert mode.last_recovery is not None
            assert len(mode.last_recovery.steps) == count
            taken = await mode.take_checkpoint()
            assert (await mode.checkpointer.preview(taken))["agent_state"] == done

    asyncio.run(main())


def test_each_step_has_the_time_of_a_call_and_one_that_hangs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are: an agent whose steps take a second to be taken up could never start again."""
    lived(tmp_path, range(1, 8))
    monkeypatch.setattr(capturing, "REPLAYED_FOR_S", 0.0)
    calls: list[int] = []
    done: list[int] = []

    async def main() -> None:
        mode = LongRunningMode(settings(tmp_path))
        bridge = mode._engine.bridge
        call = bridge.call

        def counted(*given: Any, **named: Any) -> Any:
            calls.append(len(done))
            return call(*given, **named)

        monkeypatch.setattr(bridge, "call", counted)
        never = asyncio.Event()

        async def replay(step: CommittedStep) -> None:
            if bridge.timeout_s < 1.0 and step.result == 4:
                await never.wait()
            done.append(step.result)

        mode.replay_with(replay)
        async with mode:
            calls.clear()
            await mode.recover_from_checkpoint()
            assert (calls, done) == ([0, 1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7])
            bridge.timeout_s = 0.05
            with pytest.raises(StepNotReplayed, match=r"step 4, 'step 4', could not be taken up .*more than 0.05 s"):
                await mode.recover_from_checkpoint()
            assert mode.last_recovery is None

    asyncio.run(main())


def test_without_a_checkpoint_they_are_taken_up_from_the_beginning(tmp_path: Path) -> None:
    """In a host without a loop, on its own thread; the answer says that no checkpoint was restored."""
    lived(tmp_path, [1, 2, 3])
    done: list[Any] = []
    with LongRunningMode(settings(tmp_path)) as blocking:
        blocking.replay_with(lambda step: done.append((step.name, step.result, threading.get_ident())))
        assert not blocking.recover_from_checkpoint()
        assert done == [(f"step {number}", number, threading.get_ident()) for number in (1, 2, 3)]
        with blocking.step("step 4") as step:
            assert step.number == 4


def test_a_step_that_cannot_be_taken_up_ends_the_recovery(tmp_path: Path) -> None:
    """To go on without it would do it again. Nothing is captured of the half state; mended, it goes on."""
    lived(tmp_path, [1, 2, 3])
    done: list[int] = []

    def replay(step: CommittedStep) -> None:
        done.append(10 // (step.result - 2))

    with LongRunningMode(settings(tmp_path)) as blocking:
        blocking.capture_with(lambda: list(done))
        blocking.replay_with(replay)
        with pytest.raises(StepNotReplayed, match="step 2, 'step 2', could not be taken up") as raised:
            blocking.recover_from_checkpoint()
        assert (raised.value.step, raised.value.name) == (2, "step 2")
        assert isinstance(raised.value.__cause__, ZeroDivisionError)
        assert blocking.last_recovery is None
        with pytest.raises(NotCapturable):
            blocking.take_checkpoint()
        done.clear()
        blocking.replay_with(lambda step: done.append(step.result))
        blocking.recover_from_checkpoint()
        assert done == [1, 2, 3]
        with pytest.raises(SettingsError, match="a function"):
            blocking.replay_with(done)  # type: ignore[arg-type]  # what is refused


def test_a_step_inside_of_what_takes_up_or_gives_the_state_is_refused(tmp_path: Path) -> None:
    """In a host without a loop it would wait for the thread that holds steps back, and that for it."""
    lived(tmp_path, [1, 2])
    with LongRunningMode(settings(tmp_path)) as blocking:

        def again(_: object) -> None:
            with blocking.step("again"):
                pytest.fail("begun")

        blocking.replay_with(again)
        with pytest.raises(StepNotReplayed, match="step 'again' cannot begin inside a function") as raised:
            blocking.recover_from_checkpoint()
        assert isinstance(raised.value.__cause__, StepOrder)
        blocking.replay_with(lambda _: None)
        blocking.recover_from_checkpoint()
        blocking.capture_with(lambda: again(None))
        with pytest.raises(NotCapturable, match="step 'again' cannot begin"):
            blocking.take_checkpoint()
        blocking.capture_with(dict)
        with blocking.step("step 3") as step:
            assert 3 == step.number


def test_a_function_that_says_it_was_cancelled_was_not(tmp_path: Path) -> None:
    """Nobody cancelled whoever waits: it is an error of the function, with a loop and without, plain and async."""
    lived(tmp_path, [1, 2])

    def cancelled(_: CommittedStep) -> None:
        raise asyncio.CancelledError

    async def cancelled_later(_: CommittedStep) -> None:
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    async def in_a_loop() -> None:
        mode = LongRunningMode(settings(tmp_path))
        async with mode:
            for replay in (cancelled, cancelled_later):
                mode.replay_with(replay)
                with pytest.raises(StepNotReplayed, match="step 1, 'step 1'"):
                    await mode.recover_from_checkpoint()

    asyncio.run(in_a_loop())
    with LongRunningMode(settings(tmp_path)) as blocking:
        for replay in (cancelled, cancelled_later):
            blocking.replay_with(replay)
            with pytest.raises(StepNotReplayed, match="step 1, 'step 1'"):
                blocking.recover_from_checkpoint()


class Counter:
    """A host that takes up its steps."""

    def __init__(self) -> None:
        self.done: list[int] = []

    def capture(self) -> list[int]:
        return self.done

    def restore(self, state: list[int]) -> None:
        self.done = list(state)

    def replay(self, step: CommittedStep) -> None:
        self.done.append(step.result)

    def components(self) -> Iterable[Component]:
        return ()

    def gate(self, mode: str) -> None:
        pass


def test_a_host_with_a_method_for_it_is_restored_in_one_call(tmp_path: Path) -> None:
    """Its loop uses the integration's mode, switched on or off."""

    async def life(limit: int, *, on: bool) -> list[int]:
        host = Counter()
        integration = LongRunningIntegration(settings(tmp_path, enable_long_running_mode=on), host)
        async with integration as mode:
            assert mode is integration.mode
            assert mode.running == on
            await integration.attempt_recovery()
            while len(host.done) < limit:
                async with mode.step("one") as step:
                    step.result = len(host.done)
                    host.done.append(step.result)
        assert not mode.running
        return host.done

    assert asyncio.run(life(2, on=False)) == [0, 1]
    assert not (tmp_path / "default").exists()
    lived(tmp_path, [0, 1])
    assert asyncio.run(life(4, on=True)) == [0, 1, 2, 3]
    assert asyncio.run(life(5, on=True)) == [0, 1, 2, 3, 4]
