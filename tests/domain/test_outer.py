"""What the outer watchdog decides: starts, ends, waits, and when it is enough."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from lrm_actors.domain import outer
from lrm_actors.domain.behavior import StartTimer
from lrm_actors.domain.outliving import events as e
from tests.domain.kit import Run

COMMAND = ("python", "agent.py")
POLICY = outer.Policy(backoff_initial_s=1.0, backoff_max_s=8.0, max_restarts=3, within_s=100.0, stop_timeout_s=5.0)


def begun(policy: outer.Policy = POLICY, **found: Any) -> Run[outer.OuterState]:
    """A watchdog that has just begun."""
    run = Run.of(outer.spec())
    run.tell(outer.BeginWatch(1, policy, COMMAND, **found))
    return run


def up(policy: outer.Policy = POLICY) -> Run[outer.OuterState]:
    """One whose process runs."""
    run = begun(policy)
    run.tell(outer.NoteStarted(1, 100, 1.0))
    return run


def types(events: tuple[object, ...]) -> list[type]:
    """Their classes."""
    return [type(one) for one in events]


def ended(run: Run[outer.OuterState], status: int | None, words: str = "") -> tuple[object, ...]:
    """The process ends and leaves nothing; what is decided then."""
    run.tell(outer.NoteExit(run.state.start, status, words))
    assert outer.CLEARING == run.state.status
    return run.tell(outer.NoteCleared(0))


def started_again(run: Run[outer.OuterState]) -> None:
    """The wait is over, and the next process runs."""
    assert run.state.due is not None
    run.seconds += run.state.due.delay_s
    run.tell(outer.RestartNow())
    run.tell(outer.NoteStarted(run.state.start, 100 + run.state.start, float(run.state.start)))


class TestStart:
    """The process comes to be."""

    def test_the_intent_stands_before_the_process(self) -> None:
        """The log says that it is about to be started, and only then it is."""
        run = begun()
        assert [e.WatchBegan, e.Configured, e.StartBegun] == types(tuple(run.log))
        assert [outer.StartProcess(1, None)] == run.effects(outer.StartProcess)
        assert (e.ProcessStarted(1, 100, 1.0, 1000.0, "boot"),) == run.tell(outer.NoteStarted(1, 100, 1.0))
        assert outer.UP == run.state.status

    @pytest.mark.parametrize("code", [126, 127])
    def test_what_cannot_be_started_at_all_is_given_up_at_once(self, code: int) -> None:
        """No wait makes a command exist; the exit code is the one that a shell has for it."""
        run = begun()
        failed, gave_up, over = run.tell(outer.NoteStartFailed(1, "FileNotFoundError", "agent: No such file", code))
        assert [e.StartFailed, e.GivenUp, e.WatchEnded] == [type(failed), type(gave_up), type(over)]
        assert [outer.EndWatch(code)] == list(run.last.effects)

    @pytest.mark.parametrize("code", [126, 127])
    def test_so_is_a_shell_that_says_so(self, code: int) -> None:
        """``sh -c nonsense`` exits with the same codes."""
        run = up()
        assert [e.GivenUp, e.WatchEnded] == types(ended(run, code))
        assert [outer.EndWatch(code)] == list(run.last.effects)

    def test_one_that_could_be_started_before_is_tried_again(self) -> None:
        """Its file may be on its way: a new release is being put in place."""
        run = up()
        ended(run, 1)
        run.tell(outer.RestartNow())
        (_, scheduled) = run.tell(outer.NoteStartFailed(2, "FileNotFoundError", "agent.py: No such file", 127))
        assert isinstance(scheduled, e.RestartScheduled)


class TestEnds:
    """What follows from an end."""

    @pytest.mark.parametrize(
        ("restart", "status", "again"),
        [
            ("on-failure", 0, False),
            ("on-failure", 1, True),
            ("on-failure", -9, True),
            ("on-failure", 75, True),
            ("on-failure", None, True),
            ("always", 0, True),
            ("always", 1, True),
            ("never", 1, False),
            ("never", 75, False),
            ("never", 0, False),
        ],
    )
    def test_the_policy_says_what(self, restart: str, status: int | None, again: bool) -> None:
        """And without a restart the exit code is the process's own."""
        run = up(attrs.evolve(POLICY, restart=restart))
        (last,) = ended(run, status)
        assert isinstance(last, e.RestartScheduled if again else e.WatchEnded)
        if not again:
            assert [outer.EndWatch(status or 0)] == list(run.last.effects)

    def test_the_code_for_a_signal_is_that_of_a_shell(self) -> None:
        """128 and its number."""
        run = up(attrs.evolve(POLICY, restart="never"))
        ended(run, -9)
        assert [outer.EndWatch(137)] == list(run.last.effects)

    def test_waits_double_up_to_the_cap(self) -> None:
        """Chance takes off a tenth at most."""
        run = up(attrs.evolve(POLICY, max_restarts=10))
        waits = []
        for _ in range(6):
            (scheduled,) = ended(run, 1)
            assert isinstance(scheduled, e.RestartScheduled)
            waits.append(scheduled.due.delay_s)
            (timer,) = run.effects(StartTimer)
            assert (outer.RestartNow(), scheduled.due.delay_s) == (timer.command, timer.delay_s)
            started_again(run)
        assert pytest.approx([0.95, 1.9, 3.8, 7.6, 7.6, 7.6]) == waits

    def test_a_process_that_ran_long_enough_begins_anew(self) -> None:
        """Its failure is no consequence of the start."""
        run = up()
        ended(run, 1)
        started_again(run)
        run.seconds += 8.0
        (scheduled,) = ended(run, 1)
        assert isinstance(scheduled, e.RestartScheduled)
        assert 0 == scheduled.attempt

    def test_exit_75_asks_for_the_next_one_and_is_no_failure(self) -> None:
        """The wait is the shortest, however often; it counts among the restarts all the same."""
        run = up()
        for _ in range(3):
            (scheduled,) = ended(run, 75)
            assert isinstance(scheduled, e.RestartScheduled)
            assert 0 == scheduled.attempt
            started_again(run)
        assert [e.GivenUp, e.WatchEnded] == types(ended(run, 75))

    def test_the_next_one_is_told_how_it_ended(self) -> None:
        """By the effect that starts it."""
        run = up()
        ended(run, -9)
        run.tell(outer.RestartNow())
        assert [outer.StartProcess(2, -9)] == list(run.last.effects)

    def test_it_waits_for_what_the_process_left(self) -> None:
        """Which may hold what the next one needs: nothing is started before all of it is gone."""
        run = up()
        run.tell(outer.NoteExit(1, 1))
        assert [outer.ClearUp(5.0)] == run.effects(outer.ClearUp)
        cleared, scheduled = run.tell(outer.NoteCleared(3, (9,)))
        assert e.ClearedUp(3, (9,)) == cleared
        assert isinstance(scheduled, e.RestartScheduled)

    def test_what_outlives_it_is_kept_only_for_another_one(self) -> None:
        """Where none follows, nothing is left."""
        keeping = attrs.evolve(POLICY, keep_orphans=True, max_restarts=1)
        run = up(keeping)
        run.tell(outer.NoteExit(1, 1))
        assert [outer.ClearUp(5.0, keep=True)] == run.effects(outer.ClearUp)
        run.tell(outer.NoteCleared(0, (9,)))
        started_again(run)
        run.tell(outer.NoteExit(2, 1))
        assert [outer.ClearUp(5.0)] == run.effects(outer.ClearUp)
        run = up(keeping)
        run.tell(outer.NoteSignal(15))
        run.tell(outer.NoteExit(1, 1))
        assert [outer.ClearUp(5.0)] == run.effects(outer.ClearUp)

    def test_a_program_that_is_always_started_again_may_end_as_often_as_it_likes(self) -> None:
        """With 0: that is no failure."""
        run = up(attrs.evolve(POLICY, restart="always"))
        for _ in range(10):
            (scheduled,) = ended(run, 0)
            assert isinstance(scheduled, e.RestartScheduled)
            started_again(run)


class TestEnough:
    """When it is given up."""

    def test_too_many_restarts_within_the_time(self) -> None:
        """The report has each end, and the last words of the last."""
        run = up()
        for _ in range(3):
            ended(run, 1, "no")
            started_again(run)
        gave_up, over = ended(run, 2, "KeyError: 'x'")
        assert isinstance(gave_up, e.GivenUp)
        assert isinstance(over, e.WatchEnded)
        assert [outer.EndWatch(outer.EXIT_GIVEN_UP)] == list(run.last.effects)
        assert [1, 1, 1, 2] == [one.exit_status for one in run.state.ends]
        assert run.state.last is not None
        assert "KeyError: 'x'" == run.state.last.last_words

    def test_restarts_that_are_long_past_do_not_count(self) -> None:
        """Only those within the time do."""
        run = up()
        for _ in range(20):
            run.seconds += 40.0
            (scheduled,) = ended(run, 1)
            assert isinstance(scheduled, e.RestartScheduled)
            started_again(run)

    def test_none_are_allowed(self) -> None:
        """With 0 it is given up at the first failure."""
        run = up(attrs.evolve(POLICY, max_restarts=0))
        assert [e.GivenUp, e.WatchEnded] == types(ended(run, 1))

    def test_a_watchdog_that_died_does_not_begin_to_count_anew(self) -> None:
        """Or a machine that kills both again and again would never come to rest."""
        run = up()
        for _ in range(3):
            ended(run, 1)
            started_again(run)
        run.tell(outer.BeginWatch(2, POLICY, COMMAND))
        run.tell(outer.NoteStarted(run.state.start, 7, 7.0))
        assert [e.GivenUp, e.WatchEnded] == types(ended(run, 1))

    def test_one_that_had_come_to_its_end_does(self) -> None:
        """Whoever starts it again means it."""
        run = up()
        for _ in range(3):
            ended(run, 1)
            started_again(run)
        ended(run, 1)
        run.tell(outer.BeginWatch(2, POLICY, COMMAND))
        run.tell(outer.NoteStarted(run.state.start, 7, 7.0))
        (scheduled,) = ended(run, 1)
        assert isinstance(scheduled, e.RestartScheduled)


class TestHangs:
    """A process that says nothing, or takes too much."""

    def test_heartbeats_are_missed_only_once_they_came(self) -> None:
        """A program that never sends any is not watched for them."""
        run = up()
        assert () == run.tell(outer.NoteHeartbeatMissed(99.0))
        assert (e.HeartbeatsBegan(1, 0.5),) == run.tell(outer.NoteFirstHeartbeat(0.5))
        missed, ending = run.tell(outer.NoteHeartbeatMissed(61.0))
        assert e.HeartbeatMissed(1, 61.0, 60.0) == missed
        assert isinstance(ending, e.EndingBegun)
        assert ("hang", 15, 5.0) == (ending.why, ending.number, ending.due.delay_s)
        assert [outer.SendSignal(15)] == run.effects(outer.SendSignal)

    def test_or_when_the_first_one_is_asked_for_and_does_not_come(self) -> None:
        """``--start-timeout``."""
        run = begun(attrs.evolve(POLICY, first_beat_within_s=10.0))
        run.tell(outer.NoteStarted(1, 100, 1.0))
        (timer,) = run.effects(StartTimer)
        assert (outer.StartTimedOut(1), 10.0) == (timer.command, timer.delay_s)
        assert [e.HeartbeatMissed, e.EndingBegun] == types(run.tell(outer.StartTimedOut(1)))

    def test_a_process_that_takes_its_leave_is_not_missed(self) -> None:
        """It said that no more come."""
        run = up()
        run.tell(outer.NoteFirstHeartbeat(0.5))
        assert (e.HeartbeatsEnded(1),) == run.tell(outer.NoteQuiet())
        assert () == run.tell(outer.NoteHeartbeatMissed(61.0))

    def test_what_does_not_end_in_time_is_killed_and_started_again(self) -> None:
        """Whatever it exits with then: it hung."""
        run = up()
        run.tell(outer.NoteFirstHeartbeat(0.5))
        run.tell(outer.NoteHeartbeatMissed(61.0))
        assert (e.KillBegun(1, "grace"),) == run.tell(outer.GraceOver(1))
        assert outer.KillProcess() in run.last.effects
        assert () == run.tell(outer.GraceOver(1))
        assert outer.KillProcess() in run.last.effects
        (scheduled,) = ended(run, 0)
        assert isinstance(scheduled, e.RestartScheduled)
        assert "hang" == run.state.ends[-1].why

    def test_too_much_memory(self) -> None:
        """Asked to end, so that its state can be saved, and started again."""
        run = up(attrs.evolve(POLICY, memory_limit_bytes=100))
        assert [e.MemoryExceeded, e.EndingBegun] == types(run.tell(outer.NoteMemory(101)))
        (scheduled,) = ended(run, -15)
        assert isinstance(scheduled, e.RestartScheduled)
        assert "it held too much memory: exit by signal 15 (SIGTERM)" == scheduled.because


class TestSignals:
    """What somebody asks for."""

    @pytest.mark.parametrize(("status", "code"), [(-15, 143), (0, 0), (3, 3), (-9, 137)])
    def test_the_end_is_asked_for(self, status: int, code: int) -> None:
        """The same signal goes to the process, nothing is restarted, and the exit code is its own."""
        run = up()
        assert [e.SignalReceived, e.EndingBegun] == types(run.tell(outer.NoteSignal(15)))
        assert outer.SendSignal(15) in run.last.effects
        ended(run, status)
        assert [outer.EndWatch(code)] == list(run.last.effects)

    def test_twice_means_now(self) -> None:
        """The second Ctrl-C kills."""
        run = up()
        run.tell(outer.NoteSignal(2))
        assert [e.SignalReceived, e.KillBegun] == types(run.tell(outer.NoteSignal(2)))
        assert outer.KillProcess() in run.last.effects

    def test_while_it_is_ended_for_something_else(self) -> None:
        """Then it is not started again."""
        run = up(attrs.evolve(POLICY, memory_limit_bytes=100))
        run.tell(outer.NoteMemory(101))
        assert [e.SignalReceived] == types(run.tell(outer.NoteSignal(15)))
        ended(run, -15)
        assert [outer.EndWatch(143)] == list(run.last.effects)

    def test_while_nothing_runs(self) -> None:
        """The wait is over, and with it the watch."""
        run = up()
        ended(run, 1)
        assert [e.SignalReceived, e.WatchEnded] == types(run.tell(outer.NoteSignal(2)))
        assert outer.EndWatch(130) in run.last.effects

    @pytest.mark.parametrize("number", [1, 10, 12])
    def test_others_are_passed_on(self, number: int) -> None:
        """They mean nothing to the watchdog."""
        run = up()
        assert [e.SignalReceived] == types(run.tell(outer.NoteSignal(number)))
        assert [outer.SendSignal(number)] == list(run.last.effects)
        assert outer.UP == run.state.status


class TestAfterAKill:
    """A watchdog that finds what another one left."""

    def test_a_process_that_lives_still_is_ended_first(self) -> None:
        """With as much time as it has for any end, and no failure is counted."""
        run = up()
        began, found = run.tell(outer.BeginWatch(2, POLICY, COMMAND, (100, 105)))
        assert isinstance(began, e.WatchBegan)
        assert not began.in_order
        assert e.ProcessesFound((100, 105)) == found
        assert [outer.ClearUp(5.0)] == run.effects(outer.ClearUp)
        cleared, exited, start = run.tell(outer.NoteCleared(2))
        assert [e.ClearedUp, e.ProcessExited, e.StartBegun] == [type(cleared), type(exited), type(start)]
        assert [outer.StartProcess(2, None)] == list(run.last.effects)
        assert () == run.state.restarts_at_s

    def test_one_that_is_gone_was_seen_by_nobody(self) -> None:
        """Its exit status is not known, and is said to be so."""
        run = up()
        _, exited, start = run.tell(outer.BeginWatch(2, POLICY, COMMAND))
        assert isinstance(exited, e.ProcessExited)
        assert (None, "exit status unknown", "orphan") == (exited.exit_status, exited.description, exited.why)
        assert isinstance(start, e.StartBegun)

    def test_a_wait_goes_on(self) -> None:
        """Only what is left of it."""
        run = up()
        ended(run, 1)
        run.seconds += 0.4
        run.tell(outer.BeginWatch(2, POLICY, COMMAND))
        (timer,) = run.effects(StartTimer)
        assert (outer.RestartNow(), pytest.approx(0.55)) == (timer.command, timer.delay_s)


class TestPulse:
    """Whether a heartbeat is missed."""

    def test_in_time_and_too_late(self) -> None:
        """From the timeout on."""
        pulse = outer.Pulse(10.0).beat(100.0)
        assert (None, 10.0, 110.0) == (pulse.missed_s(109.9), pulse.missed_s(110.0), pulse.due_s())
        assert outer.Pulse(10.0).missed_s(1e9) is None
        assert pulse.quiet().missed_s(1e9) is None

    def test_who_was_held_up_himself_accuses_nobody(self) -> None:
        """A watchdog that was stopped for a minute knows nothing of that minute."""
        pulse = outer.Pulse(10.0).beat(100.0)
        assert (None, 10.0) == (pulse.held_up(60.0, 165.0).missed_s(174.9), pulse.held_up(60.0, 165.0).missed_s(175.0))
        assert 10.0 == pulse.held_up(0.9, 105.0).missed_s(110.0)
        assert outer.Pulse(10.0).held_up(60.0, 165.0).missed_s(1e9) is None

    def test_but_not_for_ever(self) -> None:
        """Where the watchdog is late each time, it finds a hang in the end; a heartbeat sets it right."""
        pulse, now_s = outer.Pulse(10.0).beat(100.0), 100.0
        for _ in range(6):
            now_s += 12.0
            pulse = pulse.held_up(2.0, now_s)
        assert 12.0 == pulse.missed_s(now_s)
        assert pulse.beat(now_s).held_up(2.0, now_s + 12.0).missed_s(now_s + 12.0) is None
