"""Starts and ends of the process, as the supervisor sees them, and what a new process inherits."""

from __future__ import annotations

import pytest

from lrm_actors.domain import supervisor
from lrm_actors.domain.behavior import CancelTimer, StartTimer
from lrm_actors.domain.exits import describe_exit
from lrm_actors.domain.supervisor import (
    ChildFailed,
    ChildGivenUp,
    ProcessExitObserved,
    ProcessStarted,
    ProcessStopped,
    ReportFailure,
    RestartComponent,
    RestartDone,
    RestartDue,
    RestartPolicy,
    RestartScheduled,
    RestartStarted,
    StartSupervising,
    StopSupervising,
)
from tests.domain.kit import Run
from tests.domain.supervising import BROWSER, MONITOR, restart, supervising, types


class TestProcess:
    """Starts and ends of the process."""

    def test_first_start(self) -> None:
        """The first process of a log was not restarted, and has no predecessor to observe."""
        run = Run.of(supervisor.spec())
        (started,) = run.tell(StartSupervising((MONITOR,), pid=7))
        assert ProcessStarted(1, 7, False, (MONITOR,), 1000.0, "boot") == started
        assert {"start": 1, "restarted": False} == run.last.reply
        assert "running" == run.state.children[MONITOR].status

    @pytest.mark.parametrize(
        ("status", "description"),
        [(-9, "exit by signal 9 (SIGKILL)"), (1, "exit status 1"), (0, "no orderly stop"), (None, "no orderly stop")],
    )
    def test_after_a_crash(self, status: int | None, description: str) -> None:
        """A process whose predecessor did not stop in order begins its story with how that one ended."""
        run = supervising()
        events = run.tell(StartSupervising((MONITOR,), pid=2, predecessor_exit=status))
        assert [ProcessExitObserved, ProcessStarted] == types(events)
        assert ProcessExitObserved(status, description) == events[0]
        assert {"start": 2, "restarted": True} == run.last.reply

    @pytest.mark.parametrize("status", [0, None])
    def test_after_an_orderly_stop(self, status: int | None) -> None:
        """A process that follows an orderly stop with exit status 0 was not restarted."""
        run = supervising()
        assert (ProcessStopped(True, "stop"),) == run.tell(StopSupervising(clean=True))
        (started,) = run.tell(StartSupervising((MONITOR,), pid=2, predecessor_exit=status))
        assert isinstance(started, ProcessStarted)
        assert (2, False) == (started.start, started.restarted)

    def test_killed_after_it_said_goodbye(self) -> None:
        """The parent's word counts for more than the log's: a signal after an orderly stop is observed."""
        run = supervising()
        run.tell(StopSupervising(clean=True))
        assert [ProcessExitObserved, ProcessStarted] == types(run.tell(StartSupervising((), 2, predecessor_exit=-15)))

    def test_killed_before_it_could_log_anything(self) -> None:
        """A predecessor that left no trace in the log is observed all the same when the parent saw its end."""
        run = Run.of(supervisor.spec())
        assert [ProcessExitObserved, ProcessStarted] == types(run.tell(StartSupervising((), 1, predecessor_exit=-9)))

    def test_a_stop_that_was_not_clean(self) -> None:
        """A stop that left an actor behind is not an orderly end."""
        run = supervising()
        run.tell(StopSupervising(clean=False, reason="hung"))
        (observed, _) = run.tell(StartSupervising((), 2, predecessor_exit=70))
        assert ProcessExitObserved(70, "exit status 70") == observed

    def test_stopping_twice_is_one_stop(self) -> None:
        """A second stop adds nothing."""
        run = supervising()
        run.tell(StopSupervising(clean=True))
        assert () == run.tell(StopSupervising(clean=False))

    def test_pending_restarts_die_with_their_process(self) -> None:
        """In a new process every child runs anew: no timer and no restart of the dead one is left."""
        run = supervising()
        run.tell(ReportFailure(MONITOR, "KeyError"))
        run.tell(RestartComponent("browser", "crash"))
        run.tell(RestartDue(BROWSER))
        run.tell(StartSupervising((MONITOR, BROWSER), 2, predecessor_exit=-9))
        assert {"running"} == {child.status for child in run.state.children.values()}
        assert {f"restart/{MONITOR}", f"restart/{BROWSER}"} == {effect.key for effect in run.effects(CancelTimer)}
        assert [] == run.effects(StartTimer)
        assert () == run.tell(RestartDue(MONITOR))
        assert () == run.tell(RestartDone(BROWSER, 1.0))

    def test_backoff_survives_its_process(self) -> None:
        """A child that kept failing before the process died goes on where its backoff was."""
        run = supervising()
        for _ in range(3):
            run.tell(RestartComponent("browser", "crash"))
            restart(run, BROWSER)
        run.tell(StartSupervising((BROWSER,), 2, predecessor_exit=-9))
        _, scheduled = run.tell(RestartComponent("browser", "crash"))
        assert isinstance(scheduled, RestartScheduled)
        assert 4 == scheduled.attempt

    def test_intensity_survives_its_process(self) -> None:
        """Dying does not give a child new tries: those within the period count across processes."""
        run = supervising(RestartPolicy(intensity=2))
        for pid in (2, 3):
            run.tell(RestartComponent("browser", "crash"))
            run.tell(StartSupervising((BROWSER,), pid, predecessor_exit=-9))
        assert [ChildFailed, ChildGivenUp] == types(run.tell(RestartComponent("browser", "crash")))

    def test_a_reboot_forgets(self) -> None:
        """Monotonic times of another boot cannot be compared, so a reboot is a fresh start."""
        run = supervising(RestartPolicy(intensity=1))
        run.tell(RestartComponent("browser", "crash"))
        run.boot_id = "next boot"
        run.tell(StartSupervising((BROWSER,), 2))
        _, scheduled = run.tell(RestartComponent("browser", "crash"))
        assert isinstance(scheduled, RestartScheduled)
        assert 1 == scheduled.attempt

    def test_failures_in_start_up_may_come_first(self) -> None:
        """An actor that failed in start-up before the process said that it is up is restarted all the same."""
        run = supervising()
        run.tell(StopSupervising(clean=True))
        run.tell(ReportFailure(MONITOR, "OSError", handling="start"))
        run.tell(StartSupervising((MONITOR, BROWSER), 2))
        assert ["backoff", "running"] == [run.state.children[name].status for name in (MONITOR, BROWSER)]
        assert [RestartDue(MONITOR)] == [timer.command for timer in run.effects(StartTimer)]
        assert [RestartStarted] == types(run.tell(RestartDue(MONITOR)))

    def test_what_is_not_listed_is_not_restarted(self) -> None:
        """A component of an earlier process that this one does not have is no child of it."""
        run = supervising()
        run.tell(RestartComponent("browser", "crash"))
        run.tell(StartSupervising((MONITOR,), 2))
        assert run.ask(RestartComponent("browser", "crash")) is False


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (None, "exit status unknown"),
        (0, "exit status 0"),
        (137, "exit status 137"),
        (-9, "exit by signal 9 (SIGKILL)"),
        (-99, "exit by signal 99"),
    ],
)
def test_exits_in_words(status: int | None, words: str) -> None:
    """A negative status names its signal, any other its number."""
    assert words == describe_exit(status)
