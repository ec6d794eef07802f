"""Steps of async and of threaded hosts: begun, then committed or abandoned, whatever happens to the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from eventstore.records import Instant
from lrm_actors.domain import journal
from lrm_actors.domain.behavior import Command
from lrm_actors.errors import StepOrder, StorageUnavailable, WrongWith
from lrm_actors.hosting.boundary import BoundaryStatistics, StepBoundary
from lrm_actors.hosting.offload import start_thread
from lrm_actors.hosting.step_scopes import AsyncStepScope, BlockingStepScope
from lrm_actors.hosting.stepping import Step, Stepping, _current, current_step
from lrm_actors.hosting.unlogged import UnloggedSystem
from tests.runtime.support import eventually

IDLE = BoundaryStatistics(open_steps=0, held=False, waiting=0)


class JournalDouble(UnloggedSystem):
    """A journal in memory that remembers what it was asked, and can be made to fail or to wait."""

    def __init__(self) -> None:
        super().__init__([journal.spec()], now=lambda: Instant(0.0, 0.0, "boot"))
        self.asked: list[Command] = []
        self.failing: type[Command] | None = None
        self.gate: Callable[[Command], Any] | None = None
        self.ask_blocking("journal", journal.OpenJournal())
        self.asked.clear()

    def ask_blocking(self, to: str, command: Command, *, timeout_s: float = 5.0, keep_reply: bool = True) -> Any:
        self.asked.append(command)
        if self.failing is not None and isinstance(command, self.failing):
            raise StorageUnavailable("no space left")
        return super().ask_blocking(to, command)

    async def ask(self, to: str, command: Command, *, timeout_s: float = 5.0, keep_reply: bool = True) -> Any:
        reply = self.ask_blocking(to, command)
        if self.gate is not None:
            await self.gate(command)
        return reply


class Steps:
    """The parts of a mode that steps need."""

    def __init__(self) -> None:
        self.journal = JournalDouble()
        self.boundary = StepBoundary()
        self.stepping = Stepping(self.boundary)

    def step(self, name: str = "fetch") -> AsyncStepScope:
        return AsyncStepScope(self.journal, self.stepping, name)

    def blocking_step(self, name: str = "fetch") -> BlockingStepScope:
        return BlockingStepScope(self.journal, self.stepping, name)


def test_a_step_is_begun_before_its_body_and_committed_with_its_result_after_it() -> None:
    """The journal knows of a step before anything is done, and of its result before the next one."""
    steps = Steps()

    async def main() -> None:
        async with steps.step() as step:
            assert Step(1, "fetch", 1, repeated=False) == step
            assert [journal.BeginStep("fetch")] == steps.journal.asked
            assert step is current_step()
            step.result = {"pages": 2}
        assert current_step() is None

    asyncio.run(main())
    assert [journal.BeginStep("fetch"), journal.CommitStep(1, {"pages": 2})] == steps.journal.asked
    assert IDLE == steps.boundary.statistics()


def test_the_blocking_form_says_the_same_to_the_journal() -> None:
    """Both forms are one story."""
    steps = Steps()

    with steps.blocking_step() as step:
        step.result = 5
        assert step is current_step()

    assert [journal.BeginStep("fetch"), journal.CommitStep(1, 5)] == steps.journal.asked
    assert IDLE == steps.boundary.statistics()


def test_an_exception_abandons_the_step_and_goes_on() -> None:
    """A failed step is not committed, and the host hears of its own error."""
    steps = Steps()

    async def main() -> None:
        async with steps.step():
            raise KeyError("x")

    with pytest.raises(KeyError):
        asyncio.run(main())
    with pytest.raises(KeyError), steps.blocking_step():
        raise KeyError("y")

    assert [
        journal.BeginStep("fetch"),
        journal.AbandonStep(1, "KeyError: 'x'"),
        journal.BeginStep("fetch"),
        journal.AbandonStep(1, "KeyError: 'y'"),
    ] == steps.journal.asked
    assert IDLE == steps.boundary.statistics()


def test_a_second_step_beside_an_open_one_is_refused_and_leaves_the_first_alone() -> None:
    """Steps are the agent's one line of history."""
    steps = Steps()

    async def main() -> None:
        async with steps.step("first"):
            with pytest.raises(StepOrder):
                await steps.step("second").__aenter__()

    asyncio.run(main())
    assert steps.journal.state("journal").committed == 1
    assert IDLE == steps.boundary.statistics()


def test_a_step_inside_of_another_is_refused_at_once_also_where_a_checkpoint_waits() -> None:
    """It waited for the checkpoint, and that for the step around it, for minutes. Who is outside waits."""
    steps = Steps()

    def capture() -> bool:
        with steps.boundary.hold(wait_s=300.0, only_looks=True) as held:
            return held.inside_step

    async def main() -> Future[bool]:
        async with steps.step("first"):
            capturing = captured_soon(steps, capture)
            with pytest.raises(StepOrder, match=r"step 1 \(first\) is still open, 'second' cannot begin"):
                await steps.step("second").__aenter__()
            following = asyncio.create_task(begun_elsewhere())
            await asyncio.sleep(0)
            assert 1 == steps.boundary.statistics().waiting
        await following
        return capturing

    async def begun_elsewhere() -> None:
        _current.set(None)
        async with steps.step("third"):
            pass

    assert asyncio.run(main()).result(30) is False
    with steps.blocking_step("fourth"):
        capturing = captured_soon(steps, capture)
        with pytest.raises(StepOrder, match="is still open, 'fifth' cannot begin"), steps.blocking_step("fifth"):
            pass
    assert capturing.result(30) is False
    assert steps.journal.state("journal").committed == 3
    assert IDLE == steps.boundary.statistics()


def captured_soon(steps: Steps, capture: Callable[[], bool]) -> Future[bool]:
    """A capture that waits for the open step, on another thread."""
    capturing = start_thread(capture)
    eventually(lambda: steps.boundary.statistics().held)
    return capturing


def test_a_step_whose_end_could_not_be_stored_is_abandoned_by_the_next() -> None:
    """After a full disk the agent goes on by itself; the step that was not stored is begun again."""
    steps = Steps()
    steps.journal.failing = journal.CommitStep

    with pytest.raises(StorageUnavailable), steps.blocking_step():
        pass
    assert IDLE == steps.boundary.statistics()
    steps.journal.failing = None

    with steps.blocking_step() as step:
        assert Step(1, "fetch", 2, repeated=False) == step
    assert steps.journal.state("journal").committed == 1
    assert steps.journal.state("journal").abandoned == 1


def test_a_step_that_could_not_begin_leaves_nothing_behind() -> None:
    """A refused begin does not keep captures out."""
    steps = Steps()
    steps.journal.failing = journal.BeginStep

    with pytest.raises(StorageUnavailable):
        asyncio.run(steps.step().__aenter__())

    assert IDLE == steps.boundary.statistics()


def test_a_caller_cancelled_while_the_step_begins_leaves_no_step_open() -> None:
    """The begin may be stored already, so it is abandoned before the cancellation goes through."""
    steps = Steps()

    async def main() -> None:
        asked, may_answer = asyncio.Event(), asyncio.Event()

        async def gate(_: Command) -> None:
            asked.set()
            await may_answer.wait()

        steps.journal.gate = gate
        task = asyncio.create_task(steps.step().__aenter__())
        await asked.wait()
        task.cancel()
        await asyncio.sleep(0)
        may_answer.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert steps.journal.state("journal").open is None
    assert steps.journal.state("journal").abandoned == 1
    assert IDLE == steps.boundary.statistics()


@pytest.mark.parametrize("way", ["cancel", "timeout"])
def test_a_caller_cancelled_while_its_step_is_committed_can_tell_that_it_is_done(way: str) -> None:
    """The commit was sent and goes through, though the caller is told of a cancellation or a timeout."""
    steps = Steps()
    kept: list[Step] = []

    async def main() -> None:
        asked, may_answer = asyncio.Event(), asyncio.Event()

        async def gate(command: Command) -> None:
            if isinstance(command, journal.CommitStep):
                asked.set()
                await may_answer.wait()

        async def one(deadline: asyncio.Timeout) -> None:
            async with deadline, steps.step() as step:
                kept.append(step)
                assert not step.committed

        steps.journal.gate = gate
        deadline = asyncio.timeout(None)
        task = asyncio.create_task(one(deadline))
        await asked.wait()
        if way == "cancel":
            task.cancel()
        else:
            deadline.reschedule(asyncio.get_running_loop().time())
        for _ in range(5):
            await asyncio.sleep(0)
        assert deadline.expired() == (way == "timeout")
        may_answer.set()
        with pytest.raises(asyncio.CancelledError if way == "cancel" else TimeoutError):
            await task

    asyncio.run(main())
    assert [True] == [step.committed for step in kept]
    assert 1 == steps.journal.state("journal").committed
    assert IDLE == steps.boundary.statistics()


def test_a_step_that_is_not_committed_says_so() -> None:
    """Open, abandoned, or not stored; and it cannot be set."""
    steps = Steps()
    with pytest.raises(KeyError), steps.blocking_step() as abandoned:
        raise KeyError("x")
    steps.journal.failing = journal.CommitStep
    with pytest.raises(StorageUnavailable), steps.blocking_step() as not_stored:
        pass
    steps.journal.failing = None
    with steps.blocking_step() as done:
        assert not done.committed
    assert [False, False, True] == [step.committed for step in (abandoned, not_stored, done)]
    with pytest.raises(AttributeError):
        done.committed = False  # type: ignore[misc]


def test_an_interrupt_after_the_commit_of_a_blocking_step_leaves_it_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control-C between the commit and its answer: the journal knows."""
    steps = Steps()
    ask = steps.journal.ask_blocking

    def interrupted(to: str, command: Command, **options: Any) -> Any:
        reply = ask(to, command, **options)
        if isinstance(command, journal.CommitStep):
            raise KeyboardInterrupt
        return reply

    monkeypatch.setattr(steps.journal, "ask_blocking", interrupted)
    with pytest.raises(KeyboardInterrupt), steps.blocking_step() as step:
        pass
    assert step.committed


def test_a_caller_cancelled_inside_a_step_abandons_it() -> None:
    """A cancelled step is not committed."""
    steps = Steps()

    async def main() -> None:
        async with steps.step():
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert [journal.BeginStep("fetch"), journal.AbandonStep(1, "CancelledError: ")] == steps.journal.asked


def test_a_caller_cancelled_while_it_waits_for_a_capture_leaves_nothing_behind() -> None:
    """Neither before it was let in, nor at that same moment."""
    steps = Steps()

    async def main() -> None:
        with steps.boundary.hold(wait_s=0):
            early = asyncio.create_task(steps.step().__aenter__())
            late = asyncio.create_task(steps.step().__aenter__())
            await asyncio.sleep(0)
            early.cancel()
            await asyncio.gather(early, return_exceptions=True)
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)

    asyncio.run(main())
    assert IDLE == steps.boundary.statistics()
    assert [] == steps.journal.asked


def test_a_commit_waits_for_an_emergency_capture_inside_its_step() -> None:
    """What is captured inside a step lies before its commit in the log."""
    steps = Steps()

    async def main() -> None:
        async with steps.step():
            hold = steps.boundary.hold(wait_s=0, even_inside=True)
            hold.__enter__()
            release = asyncio.get_running_loop().call_later(0.01, hold.__exit__, None, None, None)
        assert release.when() <= asyncio.get_running_loop().time()

    asyncio.run(main())
    assert steps.journal.state("journal").committed == 1


def test_a_blocking_step_waits_for_a_capture_to_end() -> None:
    """A synchronous host is held at the boundary too."""
    steps = Steps()
    hold = steps.boundary.hold(wait_s=0)
    hold.__enter__()

    def run() -> int:
        with steps.blocking_step() as step:
            return step.number

    done = start_thread(run)
    assert [] == steps.journal.asked
    hold.__exit__(None, None, None)
    assert done.result(30) == 1


def test_a_scope_is_left_once() -> None:
    """A misuse is told, and changes nothing."""
    steps = Steps()
    scope = steps.blocking_step()
    scope.__enter__()
    scope.__exit__(None, None, None)

    with pytest.raises(ValueError, match="is not open"):
        scope.__exit__(None, None, None)


def test_the_form_of_the_other_host_is_refused_and_says_what_to_write() -> None:
    """Nothing is begun, and the next step begins as ever."""
    steps = Steps()
    mistaken: Any = steps.step()
    with pytest.raises(WrongWith, match="step 'fetch' cannot be entered by 'with'") as told, mistaken:
        pytest.fail("it was entered")
    assert isinstance(told.value, TypeError)
    assert "async with mode.step" in told.value.hint
    assert "blocking.step" in told.value.hint

    async def main() -> None:
        blocking: Any = steps.blocking_step()
        with pytest.raises(WrongWith, match="by 'async with'") as told:
            async with blocking:
                pytest.fail("it was entered")
        assert "with blocking.step" in told.value.hint
        assert [] == steps.journal.asked
        async with steps.step() as step:
            assert 1 == step.number

    asyncio.run(main())
