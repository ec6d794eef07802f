"""A whole mode, in both of its forms: started, stepped, stopped and started again."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.errors import EventRefused, LogLocked, LogNotWritable, NotALog
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, then
from lrm_actors.domain.journal import OpenStep
from lrm_actors.domain.modes import ModesState
from lrm_actors.errors import NotCapturable, NotRunning, SettingsError, StepOrder
from lrm_actors.mode import CommittedStep, LongRunningMode, Recovery
from lrm_actors.report import missing_keys
from tests.mode_kit import records, settings, soon

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.usefixtures("sampled")


class Agent:
    """A host whose state is the list of what its steps did."""

    def __init__(self, mode: LongRunningMode) -> None:
        self.done: list[int] = []
        mode.capture_with(lambda: {"done": list(self.done)})
        mode.restore_with(self.restore)

    def restore(self, state: Any) -> None:
        self.done = list(state["done"])

    def take_up(self, recovery: Recovery | None) -> None:
        for step in recovery.steps if recovery is not None else ():
            self.done.append(step.result)


async def work(mode: LongRunningMode, agent: Agent, steps: int) -> None:
    """Do some steps, each a number."""
    for _ in range(steps):
        async with mode.step("count") as step:
            agent.done.append(step.number)
            step.result = step.number


def test_a_start_makes_a_private_log_and_a_stop_lets_go_of_it(tmp_path: Path) -> None:
    """Directory 0700, file 0600; another owner may come right after the stop."""

    async def main() -> None:
        mode = LongRunningMode(settings(tmp_path / "agents"))
        assert mode.exit_code is None
        async with mode:
            assert mode.running
            log = mode.settings.log_path
            assert stat.S_IMODE(log.stat().st_mode) == 0o600
            assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700
        assert not mode.running
        assert mode.exit_code == 0
        async with LongRunningMode(settings(tmp_path / "agents")):
            pass

    asyncio.run(main())


def test_starting_and_stopping_twice_is_the_same_as_once(tmp_path: Path) -> None:
    """Both are idempotent, and a stopped mode can be started again."""

    async def main() -> None:
        mode = LongRunningMode(settings(tmp_path))
        await mode.stop_monitoring()
        await mode.start_monitoring()
        await mode.start_monitoring()
        await mode.stop_monitoring()
        await mode.stop_monitoring()
        await mode.start_monitoring()
        starts = [record.event.start for record in records(mode, "supervisor.process_started")]
        await mode.stop_monitoring()
        assert starts == [1, 2]

    asyncio.run(main())


def test_a_resumed_agent_goes_on_where_it_was(tmp_path: Path) -> None:
    """The state of the checkpoint and the steps after it are the whole history, without gap and without repetition."""

    async def main() -> None:
        mode = LongRunningMode(settings(tmp_path))
        agent = Agent(mode)
        async with mode:
            assert await mode.recover_from_checkpoint() is False
            await work(mode, agent, 3)
            taken = await mode.take_checkpoint("for the test")
            assert await mode.checkpointer.list_checkpoints() == [taken]
            await work(mode, agent, 2)
            mode.capture_with(object)  # no last checkpoint at the stop

        again = LongRunningMode(settings(tmp_path))
        agent = Agent(again)
        async with again:
            assert await again.recover_from_checkpoint() is True
            recovery = again.last_recovery
            assert recovery is not None
            assert recovery.checkpoint_id == taken
            assert agent.done == [1, 2, 3]
            agent.take_up(recovery)
            assert agent.done == [1, 2, 3, 4, 5]
            await work(again, agent, 1)
            assert agent.done[-1] == 6

    asyncio.run(main())


def test_without_a_checkpoint_the_steps_run_from_the_beginning(tmp_path: Path) -> None:
    """The answer is no, and what was done is told all the same."""

    async def main() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:
            async with mode.step("fetch") as step:
                step.result = {"pages": 2}
        async with LongRunningMode(settings(tmp_path)) as mode:
            assert await mode.recover_from_checkpoint() is False
            (committed,) = records(mode, "journal.step_committed")
            steps = (CommittedStep(1, "fetch", {"pages": 2}, committed.position),)
            assert mode.last_recovery == Recovery(None, None, "there is no checkpoint", steps, None, {})

    asyncio.run(main())


def test_an_orderly_stop_takes_a_last_checkpoint(tmp_path: Path) -> None:
    """What was done since the last one need not be taken up step by step."""

    async def main() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:
            await work(mode, Agent(mode), 2)
        again = LongRunningMode(settings(tmp_path))
        agent = Agent(again)
        async with again:
            assert await again.recover_from_checkpoint() is True
            assert agent.done == [1, 2]
            assert again.last_recovery is not None
            assert again.last_recovery.steps == ()

    asyncio.run(main())


def test_a_host_without_an_event_loop_says_the_same_words(tmp_path: Path) -> None:
    """The blocking twin needs no loop anywhere."""
    mode = LongRunningMode(settings(tmp_path))
    done: list[int] = []
    mode.capture_with(lambda: list(done))
    with mode as blocking:
        assert blocking.recover_from_checkpoint() is False
        with blocking.step("count") as step:
            done.append(step.number)
        assert blocking.handle_failure(ConnectionError("gone"), {"component": "site"}) == "retry_with_backoff"
        taken = blocking.take_checkpoint()
        assert blocking.checkpointer.list_checkpoints() == [taken]
        assert missing_keys(blocking.get_health_report()) == []
        assert blocking.get_circuit_breaker("llm").call_blocking(lambda: 3) == 3
    assert mode.exit_code == 0

    again = LongRunningMode(settings(tmp_path))
    restored: list[Any] = []
    again.restore_with(restored.append)
    with again as blocking:
        assert blocking.recover_from_checkpoint() is True
    assert restored == [[1]]


def test_every_key_of_the_health_report_is_there(tmp_path: Path) -> None:
    """Before the start, while it runs, and after the stop; and reading it changes nothing."""

    async def main() -> None:
        mode = LongRunningMode(settings(tmp_path))
        before = await mode.get_health_report()
        async with mode:
            mode.register_component("browser", restart=lambda: None)
            mode.get_circuit_breaker("llm")
            await soon(mode, "monitor.sampled")
            first = await mode.get_health_report()
            second = await mode.get_health_report()
        after = await mode.get_health_report()
        assert [missing_keys(report) for report in (before, first, second, after)] == [[], [], [], []]
        assert first["resource_metrics"] == second["resource_metrics"]
        assert first["enabled"] is True
        assert first["health_status"] == "healthy"
        assert set(first["circuit_breakers"]) == {"llm"}
        assert after["steps"] == second["steps"]
        assert after["health_cause"] == "the mode was stopped"

    asyncio.run(main())


def test_a_breaker_stays_open_across_a_restart(tmp_path: Path) -> None:
    """Breakers found in the log are there from the start, before anybody asks for them."""

    async def main() -> None:
        config = {"circuit_breaker_failure_threshold": 2}
        async with LongRunningMode(settings(tmp_path, **config)) as mode:
            guard = mode.get_circuit_breaker("llm")
            for _ in range(2):
                with pytest.raises(TimeoutError), guard:
                    raise TimeoutError("slow")
            await soon(mode, "breaker.opened")
        async with LongRunningMode(settings(tmp_path, **config)) as mode:
            assert mode.circuit_breakers["llm"].state == "open"
            assert mode.get_circuit_breaker("llm") is mode.circuit_breakers["llm"]

    asyncio.run(main())


def test_a_process_that_was_killed_inside_a_step_leaves_it_in_doubt(tmp_path: Path) -> None:
    """Everything acknowledged is there, the exit is on record, and the repeated step says that it is repeated."""
    dying = """
import os, signal, sys
from lrm_actors import LongRunningMode, LongRunningSettings
with LongRunningMode(LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=sys.argv[1])) as mode:
    with mode.step("one"):
        pass
    mode.step("two").__enter__()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    died = subprocess.run([sys.executable, "-c", dying, str(tmp_path)], cwd=ROOT, check=False)
    assert died.returncode == -9

    with LongRunningMode(settings(tmp_path), predecessor_exit=-9) as mode:
        assert mode.recover_from_checkpoint() is False
        recovery = mode.last_recovery
        assert recovery is not None
        assert [step.name for step in recovery.steps] == ["one"]
        assert recovery.in_doubt == OpenStep(2, "two", 1, 1)
        with mode.step("two") as step:
            assert (step.number, step.attempt, step.repeated) == (2, 2, True)
        (observed,) = records(mode, "supervisor.process_exit_observed")
        assert observed.event.exit_status == -9
        told = mode.get_health_report()["steps"]
        assert (2, None, 1, None) == tuple(told[key] for key in ("committed", "in_doubt", "repeated", "now"))


def test_a_predecessors_exit_belongs_to_one_start(tmp_path: Path) -> None:
    """A mode that is stopped and started again in one process has no dead predecessor."""
    mode = LongRunningMode(settings(tmp_path), predecessor_exit=-9)
    for _ in range(2):
        with mode:
            pass
    assert len(records(mode, "supervisor.process_exit_observed")) == 1


def test_nothing_can_be_asked_of_a_mode_that_does_not_run(tmp_path: Path) -> None:
    """Each word that needs the log says so; a failure is classified all the same, for the host must go on."""

    async def main() -> None:
        mode = LongRunningMode(settings(tmp_path))
        mode.capture_with(dict)
        with pytest.raises(NotRunning):
            await mode.take_checkpoint()
        with pytest.raises(NotRunning):
            await mode.recover_from_checkpoint()
        with pytest.raises(NotRunning):
            await mode.step("x").__aenter__()
        assert await mode.handle_failure(ConnectionError("gone"), {}) == "retry_with_backoff"
        assert mode.operation_mode == "normal"
        assert mode.should_run("screenshots", "sheddable")
        assert not tmp_path.joinpath("default").exists()

    asyncio.run(main())


def test_a_cancelled_start_does_not_keep_the_log(tmp_path: Path) -> None:
    """Whoever is cancelled while it starts leaves no log locked and no actor running."""

    async def main() -> None:
        mode = LongRunningMode(settings(tmp_path))
        starting = asyncio.create_task(mode.start_monitoring())
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await mode.stop_monitoring()
        async with LongRunningMode(settings(tmp_path)) as another:
            assert another.running

    asyncio.run(main())


def test_a_checkpoint_cannot_be_taken_inside_a_step_but_in_an_emergency(tmp_path: Path) -> None:
    """Waiting for the end of the step that waits for it would never end."""

    async def main() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:
            agent = Agent(mode)
            async with mode.step("count"):
                with pytest.raises(StepOrder):
                    await mode.take_checkpoint()
                assert await mode.take_checkpoint("the disk smokes", kind="emergency")
            await work(mode, agent, 1)
            assert await mode.take_checkpoint()

    asyncio.run(main())


def test_a_state_that_cannot_be_stored_is_refused_with_its_place(tmp_path: Path) -> None:
    """The error names what is wrong; the agent goes on, and no failure of a component is made of it."""

    async def main() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:
            mode.capture_with(lambda: {"browser": object()})
            with pytest.raises(NotCapturable, match="browser"):
                await mode.take_checkpoint()
            mode.capture_with(dict)
            assert await mode.take_checkpoint()

    asyncio.run(main())


def test_a_host_that_does_not_say_how_it_is_captured_gets_an_error_only_when_it_asks(tmp_path: Path) -> None:
    """Steps alone are a way to live; nobody counts a failure for it."""

    async def main() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:
            with pytest.raises(NotCapturable, match="did not say"):
                await mode.take_checkpoint()
        assert records(mode, "analyzer.failure_recorded") == []

    asyncio.run(main())


def test_nothing_is_captured_before_the_host_has_taken_up_where_it_was(tmp_path: Path) -> None:
    """A new process's empty state never stands on record as the newest one."""

    async def main() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:
            await work(mode, Agent(mode), 2)
        again = LongRunningMode(settings(tmp_path))
        agent = Agent(again)
        async with again:
            with pytest.raises(NotCapturable, match="has not taken up"):
                await again.take_checkpoint()
            assert await again.recover_from_checkpoint() is True
            await again.take_checkpoint()
            assert agent.done == [1, 2]

    asyncio.run(main())


def test_after_a_recovery_nothing_is_captured_before_the_steps_are_taken_up(tmp_path: Path) -> None:
    """Between the answer and the host's own taking up of the steps its state is behind the log."""

    async def main() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:
            agent = Agent(mode)
            await work(mode, agent, 1)
            await mode.take_checkpoint()
            await work(mode, agent, 1)
            mode.capture_with(object)
        again = LongRunningMode(settings(tmp_path))
        agent = Agent(again)
        async with again:
            assert await again.recover_from_checkpoint() is True
            with pytest.raises(NotCapturable, match="its state may lack"):
                await again.take_checkpoint()
            agent.take_up(again.last_recovery)
            await work(again, agent, 1)
            assert await again.take_checkpoint()

    asyncio.run(main())


def test_a_log_that_somebody_else_owns_is_refused(tmp_path: Path) -> None:
    """A typed error with a way out; the owner is not disturbed, and reading needs no ownership."""

    async def main() -> None:
        async with LongRunningMode(settings(tmp_path)) as owner:
            other = LongRunningMode(settings(tmp_path))
            with pytest.raises(LogLocked) as refused:
                await other.start_monitoring()
            assert refused.value.code
            assert refused.value.hint
            assert records(other, "supervisor.process_started")
            await work(owner, Agent(owner), 1)
            assert other.exit_code is None

    asyncio.run(main())


def test_a_file_that_is_no_log_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """Nobody's data is overwritten."""
    log = settings(tmp_path).log_path
    log.parent.mkdir(parents=True)
    log.write_bytes(b"dear diary" * 100)

    with pytest.raises(NotALog), LongRunningMode(settings(tmp_path)):
        pass
    assert log.read_bytes() == b"dear diary" * 100


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A typed error, whoever runs the tests: a file stands where the directory should be."""
    tmp_path.joinpath("taken").write_text("a file")

    with pytest.raises(LogNotWritable) as refused, LongRunningMode(settings(tmp_path / "taken")):
        pass
    assert refused.value.hint


def test_a_host_whose_loop_hangs_is_not_waited_for_at_the_stop(tmp_path: Path) -> None:
    """A capture that never comes back ends with the time to stop; the rest is in order."""

    async def main() -> None:
        mode = LongRunningMode(settings(tmp_path))

        async def never() -> None:
            await asyncio.Event().wait()

        await mode.start_monitoring()
        mode.capture_with(never)
        await mode.stop_monitoring(deadline_s=1.0)
        assert mode.exit_code == 0
        assert [record.event.clean for record in records(mode, "supervisor.process_stopped")] == [True]

    asyncio.run(main())


def test_the_loop_runs_on_while_the_mode_starts_and_stops(tmp_path: Path) -> None:
    """Both wait on threads: the host's own callbacks come in between."""

    async def main() -> None:
        mode = LongRunningMode(settings(tmp_path))
        on_loop = threading.get_ident()
        ran: list[int] = []

        def tick() -> None:
            ran.append(threading.get_ident())

        for word in (mode.start_monitoring, mode.get_health_report, mode.stop_monitoring):
            ran.clear()
            asyncio.get_running_loop().call_soon(tick)
            await word()
            assert ran == [on_loop]

    asyncio.run(main())


def test_what_cannot_be_stored_is_the_hosts_mistake_and_restarts_nobody(tmp_path: Path) -> None:
    """The error names the field; the step is abandoned, and no actor is made to fail on it, however often."""
    with LongRunningMode(settings(tmp_path)) as mode:
        for result in (object(), {1, 2}, float("nan"), {"pages": (1, 2)}, b"x", 2**70):
            with pytest.raises(EventRefused, match="result"), mode.step("fetch") as step:
                step.result = result
        with pytest.raises(EventRefused, match="name"):
            mode.step("a\ud800b").__enter__()
        with pytest.raises(EventRefused, match="reason"):
            mode.take_checkpoint("a\ud800b")
        for name in ("", "a\0b", "x" * 300, "a\ud800b"):
            with pytest.raises(SettingsError):
                mode.register_component(name, restart=lambda: None)
            with pytest.raises(SettingsError):
                mode.get_circuit_breaker(name)
        mode.handle_failure(ValueError("a\ud800b"), {"component": "a\ud800b", "step": 2**70})
        with pytest.raises(ValueError, match="broken"), mode.step("fetch"):
            raise ValueError("broken \ud800")
        with mode.step("fetch") as step:
            assert step.number == 1
        assert records(mode, "supervisor.child_failed") == []


@attrs.frozen
class Hang(Command):
    """Never come back."""


def hang(state: ModesState, command: Command, ctx: Context) -> Decision:
    """A handler that blocks for as long as the test runs."""
    threading.Event().wait(60)
    return then()


def test_an_actor_that_hangs_is_left_behind_and_the_exit_code_says_so(tmp_path: Path) -> None:
    """The stop ends all the same, the log is let go, and a parent can tell from the exit code."""
    mode = LongRunningMode(settings(tmp_path))
    mode.blocking.start_monitoring()
    running = mode._engine.running
    assert running is not None
    running.system.spawn(Spec("stuck", ModesState(), hang, lambda state, event: state))
    running.system.tell("stuck", Hang())

    mode.blocking.stop_monitoring(deadline_s=1.0)

    assert mode.exit_code == 70
    with LongRunningMode(settings(tmp_path)) as again:
        assert again.running


def test_a_process_ends_without_a_stop_and_its_log_is_whole(tmp_path: Path) -> None:
    """Nothing of ours keeps the interpreter; the next start says that there was no orderly stop."""
    forgetful = """
import sys
from lrm_actors import LongRunningMode, LongRunningSettings
mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=sys.argv[1]))
mode.blocking.start_monitoring()
with mode.blocking.step("one"):
    pass
"""
    subprocess.run([sys.executable, "-c", forgetful, str(tmp_path)], cwd=ROOT, check=True, timeout=60)

    with LongRunningMode(settings(tmp_path)) as mode:
        (observed,) = records(mode, "supervisor.process_exit_observed")
        assert observed.event.description == "no orderly stop"
        assert mode.get_health_report()["steps"]["committed"] == 1


def test_a_second_stop_does_not_wait_for_a_first_that_hangs(tmp_path: Path) -> None:
    """Whoever holds up the life of the mode, the process can end; the exit code says that it was not in order."""
    mode = LongRunningMode(settings(tmp_path))
    mode.blocking.start_monitoring()
    with mode._engine.life.lock:
        mode.blocking.stop_monitoring(deadline_s=0.05)
        assert mode.exit_code == 70
    mode.blocking.stop_monitoring()
    assert mode.exit_code == 0
