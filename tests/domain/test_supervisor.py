"""What the supervisor decides about its children: restarts, backoff, giving up, coming and going."""

from __future__ import annotations

import pytest

from lrm_actors.domain import supervisor
from lrm_actors.domain.behavior import CancelTimer, StartTimer
from lrm_actors.domain.supervisor import (
    AddChild,
    CachesCleared,
    CachesClearingStarted,
    CachesDone,
    ChildAdded,
    ChildFailed,
    ChildGivenUp,
    ChildRemoved,
    ChildRestarted,
    ClearCaches,
    ClearChildCaches,
    Configure,
    Configured,
    RemoveChild,
    ReportFailure,
    RestartChild,
    RestartComponent,
    RestartDone,
    RestartDue,
    RestartFailed,
    RestartInDoubt,
    RestartPolicy,
    RestartScheduled,
    RestartStarted,
    StopChild,
    StopSupervising,
)
from tests.domain.kit import Run
from tests.domain.supervising import BROWSER, MONITOR, restart, supervising, types


class TestRestarts:
    """One child fails and comes back."""

    def test_the_whole_course(self) -> None:
        """A failure is recorded, the restart waits for its backoff, is begun on the record, and done."""
        run = supervising()
        failed, scheduled = run.tell(ReportFailure(MONITOR, "KeyError", "'x'", "SampleDue"))
        assert ChildFailed(MONITOR, "KeyError", "'x'", "SampleDue", 1000.0, "boot") == failed
        assert isinstance(scheduled, RestartScheduled)
        (timer,) = run.effects(StartTimer)
        assert RestartDue(MONITOR) == timer.command
        assert scheduled.delay_s == timer.delay_s == pytest.approx(0.09)
        assert (RestartStarted(MONITOR, 1),) == run.tell(RestartDue(MONITOR))
        assert [RestartChild(MONITOR, 1)] == list(run.last.effects)
        run.seconds = 5.0
        assert (ChildRestarted(MONITOR, 1, 0.2, 1005.0),) == run.tell(RestartDone(MONITOR, 0.2))
        assert "running" == run.state.children[MONITOR].status

    def test_delays_double_up_to_the_cap(self) -> None:
        """Failures in a row wait longer each time, and never longer than the cap."""
        run = supervising(RestartPolicy(backoff_initial_s=1.0, backoff_max_s=4.0, jitter=0.0, intensity=100))
        delays = []
        for _ in range(5):
            _, scheduled = run.tell(ReportFailure(MONITOR, "KeyError"))
            assert isinstance(scheduled, RestartScheduled)
            delays.append(scheduled.delay_s)
            restart(run, MONITOR)
        assert [1.0, 2.0, 4.0, 4.0, 4.0] == delays

    def test_backoff_begins_anew_after_a_quiet_time(self) -> None:
        """Once a restarted child ran long enough without failure its backoff starts over."""
        run = supervising()
        run.tell(ReportFailure(MONITOR, "KeyError"))
        restart(run, MONITOR)
        run.seconds = 60.0
        run.tell(ReportFailure(MONITOR, "KeyError"))
        assert 1 == run.state.children[MONITOR].attempt

    def test_time_in_a_slow_restart_is_not_quiet_time(self) -> None:
        """A restart that takes a minute proves nothing: the quiet time counts from its end."""
        run = supervising()
        run.tell(RestartComponent("browser", "crash"))
        run.tell(RestartDue(BROWSER))
        run.seconds = 70.0
        run.tell(RestartDone(BROWSER, 70.0))
        run.seconds = 75.0
        run.tell(RestartComponent("browser", "crash"))
        assert 2 == run.state.children[BROWSER].attempt

    def test_given_up_past_the_intensity(self) -> None:
        """One restart more than the policy allows within its period, and the child stays down."""
        run = supervising(RestartPolicy(intensity=3, period_s=60.0))
        for _ in range(3):
            run.tell(ReportFailure(MONITOR, "KeyError"))
            restart(run, MONITOR)
        _, given_up = run.tell(ReportFailure(MONITOR, "ValueError"))
        assert ChildGivenUp(MONITOR, 3, 60.0, "ValueError") == given_up
        assert [StopChild(MONITOR, "gave up after 3 restarts within 60 s: ValueError")] == list(run.last.effects)
        assert run.ask(ReportFailure(MONITOR, "ValueError")) is False
        assert () == run.tell(RestartDue(MONITOR))

    def test_restarts_spread_over_time_go_on_for_ever(self) -> None:
        """A child that fails now and then is never given up: old restarts leave the period."""
        run = supervising(RestartPolicy(intensity=2, period_s=60.0))
        for _ in range(20):
            run.seconds += 40.0
            assert [ChildFailed, RestartScheduled] == types(run.tell(ReportFailure(MONITOR, "KeyError")))
            restart(run, MONITOR)

    def test_a_failed_restart_is_tried_again(self) -> None:
        """A restart that fails is a failure of the child, with the next backoff."""
        run = supervising()
        run.tell(RestartComponent("browser", "crash"))
        run.tell(RestartDue(BROWSER))
        failed, scheduled = run.tell(RestartFailed(BROWSER, "OSError", "no display"))
        assert isinstance(failed, ChildFailed)
        assert isinstance(scheduled, RestartScheduled)
        assert ("restart", 2) == (failed.handling, scheduled.attempt)

    @pytest.mark.parametrize("until", ["backoff", "restarting"])
    def test_one_outage_is_restarted_once(self, until: str) -> None:
        """While a component is on its way back, being told again that it is down changes nothing."""
        run = supervising()
        assert run.ask(RestartComponent("browser", "crash")) is True
        if until == "restarting":
            run.tell(RestartDue(BROWSER))
        assert () == run.tell(RestartComponent("browser", "heartbeat missed"))
        assert run.last.reply is False

    def test_a_failure_that_overtakes_the_end_of_the_restart(self) -> None:
        """A child that ran again and failed at once is restarted again, though its end was heard of later."""
        run = supervising()
        run.tell(ReportFailure(MONITOR, "KeyError"))
        run.tell(RestartDue(MONITOR))
        assert [ChildFailed] == types(run.tell(ReportFailure(MONITOR, "ValueError")))
        assert () == run.tell(ReportFailure(MONITOR, "ValueError"))
        assert [ChildRestarted, RestartScheduled] == types(run.tell(RestartDone(MONITOR, 0.1)))
        assert [RestartStarted] == types(run.tell(RestartDue(MONITOR)))

    def test_late_and_repeated_ends_change_nothing(self) -> None:
        """The end of a restart that nobody waits for is no event."""
        run = supervising()
        assert () == run.tell(RestartDone(MONITOR, 0.1))
        assert () == run.tell(RestartFailed(MONITOR, "OSError", ""))
        assert () == run.tell(RestartDone("actor:nobody", 0.1))

    def test_unknown_children(self) -> None:
        """A component nobody registered is refused quietly; an actor nobody announced is restarted all the same."""
        run = supervising()
        assert run.ask(RestartComponent("printer", "jam")) is False
        assert run.ask(ReportFailure("component:printer", "jam")) is False
        assert [ChildFailed, RestartScheduled] == types(run.tell(ReportFailure("actor:breaker/llm", "KeyError")))
        assert "actor" == run.state.children["actor:breaker/llm"].kind

    def test_nothing_is_begun_once_the_process_is_going_down(self) -> None:
        """After the stop no restart begins: a component brought back then would outlive the process."""
        run = supervising()
        run.tell(RestartComponent("browser", "crash"))
        run.tell(StopSupervising(clean=True))
        assert [CancelTimer(f"restart/{BROWSER}")] == list(run.last.effects)
        assert () == run.tell(RestartDue(BROWSER))
        assert run.ask(RestartComponent("browser", "crash")) is False
        run.recover()
        assert [] == list(run.last.effects)


class TestChildren:
    """Children come and go while the process runs."""

    def test_added_once(self) -> None:
        """A child is added once, and from then on restarted."""
        run = supervising()
        assert (ChildAdded("component:llm", 1000.0, "boot"),) == run.tell(AddChild("component:llm"))
        assert run.ask(AddChild("component:llm")) is False
        assert run.ask(RestartComponent("llm", "crash")) is True

    def test_removed(self) -> None:
        """A child that was removed is not restarted, and its timer is forgotten."""
        run = supervising()
        run.tell(RestartComponent("browser", "crash"))
        assert (ChildRemoved(BROWSER),) == run.tell(RemoveChild(BROWSER))
        assert [CancelTimer(f"restart/{BROWSER}")] == list(run.last.effects)
        assert () == run.tell(RestartDue(BROWSER))
        assert run.ask(RemoveChild(BROWSER)) is False

    def test_removing_does_not_wash_off_failures(self) -> None:
        """A child removed and added again goes on with its backoff and its intensity."""
        run = supervising(RestartPolicy(intensity=1))
        run.tell(RestartComponent("browser", "crash"))
        restart(run, BROWSER)
        run.tell(RemoveChild(BROWSER))
        run.tell(AddChild(BROWSER))
        assert [ChildFailed, ChildGivenUp] == types(run.tell(RestartComponent("browser", "crash")))

    @pytest.mark.parametrize("end", [RestartDone(BROWSER, 0.1), RestartFailed(BROWSER, "OSError", "")])
    def test_removed_in_the_middle_of_a_restart(self, end: RestartDone | RestartFailed) -> None:
        """A restart under way ends before anything else happens to the child, and then it is gone."""
        run = supervising()
        run.tell(RestartComponent("browser", "crash"))
        run.tell(RestartDue(BROWSER))
        run.tell(RemoveChild(BROWSER))
        assert run.ask(RestartComponent("browser", "crash")) is False
        assert 1 == len(run.tell(end))
        assert "absent" == run.state.children[BROWSER].status

    def test_added_again_in_the_middle_of_its_restart(self) -> None:
        """Added again while the restart is under way, it waits for that one instead of beginning a second."""
        run = supervising()
        run.tell(RestartComponent("browser", "crash"))
        run.tell(RestartDue(BROWSER))
        run.tell(RemoveChild(BROWSER))
        run.tell(AddChild(BROWSER))
        assert "restarting" == run.state.children[BROWSER].status
        assert [ChildRestarted] == types(run.tell(RestartDone(BROWSER, 0.1)))

    def test_brought_back_after_it_was_given_up(self) -> None:
        """A child that was given up runs again when it is added again."""
        run = supervising(RestartPolicy(intensity=1, period_s=10.0))
        for _ in range(2):
            run.tell(RestartComponent("browser", "crash"))
            restart(run, BROWSER)
        assert "given_up" == run.state.children[BROWSER].status
        assert run.ask(AddChild(BROWSER)) is True
        run.seconds = 20.0
        assert run.ask(RestartComponent("browser", "crash")) is True


class TestCaches:
    """A component gives memory back."""

    def test_cleared(self) -> None:
        """Clearing caches is begun on the record, and its end is recorded."""
        run = supervising()
        assert (CachesClearingStarted(BROWSER, "memory"),) == run.tell(ClearCaches("browser", "memory"))
        assert [ClearChildCaches(BROWSER)] == list(run.last.effects)
        assert (CachesCleared(BROWSER),) == run.tell(CachesDone(BROWSER))

    def test_restarted_when_it_cannot(self) -> None:
        """A component without caches to clear, or that fails to, is restarted instead."""
        run = supervising()
        run.tell(ClearCaches("browser", "memory"))
        events = run.tell(CachesDone(BROWSER, "NotImplementedError", "no way"))
        assert [ChildFailed, RestartScheduled] == types(events)


class TestRecovery:
    """The supervisor itself is restarted."""

    def test_timers_are_started_again(self) -> None:
        """A restart that was due later is due still, no sooner than a new process could void it."""
        run = supervising(RestartPolicy(backoff_initial_s=20.0, jitter=0.0))
        run.tell(RestartComponent("browser", "crash"))
        run.seconds = 5.0
        run.recover()
        assert [StartTimer(f"restart/{BROWSER}", 15.0, RestartDue(BROWSER))] == list(run.last.effects)
        run.seconds = 100.0
        run.recover()
        assert [supervisor.RECOVERY_GRACE_S] == [timer.delay_s for timer in run.effects(StartTimer)]

    def test_restarts_in_doubt_are_done_again(self) -> None:
        """A restart that was begun and whose end is not known is carried out again, without a second intent."""
        run = supervising()
        run.tell(RestartComponent("browser", "crash"))
        run.tell(RestartDue(BROWSER))
        run.recover()
        assert [RestartInDoubt(BROWSER)] == [timer.command for timer in run.effects(StartTimer)]
        assert () == run.tell(RestartInDoubt(BROWSER))
        assert [RestartChild(BROWSER, 1)] == list(run.last.effects)
        run.tell(RestartDone(BROWSER, 0.1))
        assert () == run.tell(RestartInDoubt(BROWSER))
        assert [] == list(run.last.effects)

    def test_a_child_that_was_leaving_is_gone(self) -> None:
        """A child removed in the middle of a restart is not restarted to find out how that went."""
        run = supervising()
        run.tell(RestartComponent("browser", "crash"))
        run.tell(RestartDue(BROWSER))
        run.tell(RemoveChild(BROWSER))
        run.recover()
        assert (ChildRemoved(BROWSER),) == run.tell(RestartInDoubt(BROWSER))
        assert "absent" == run.state.children[BROWSER].status


class TestPolicy:
    """The policy is on the record."""

    def test_the_first_life_takes_it_from_the_spec(self) -> None:
        """A new log begins with the policy, so that the log alone tells every state."""
        policy = RestartPolicy(intensity=9)
        run = Run.of(supervisor.spec(policy))
        assert [Configured(policy)] == run.log
        assert () == run.recover()
        assert policy == run.state.policy

    def test_changed_by_command(self) -> None:
        """Later it changes by a command, and the same policy twice is one event."""
        run = supervising()
        policy = RestartPolicy(intensity=1)
        assert (Configured(policy),) == run.tell(Configure(policy))
        assert () == run.tell(Configure(policy))
