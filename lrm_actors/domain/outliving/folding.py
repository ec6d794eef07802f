"""What each event changes in what the outer watchdog knows."""

from __future__ import annotations

import attrs

from lrm_actors.domain.outliving import events as e
from lrm_actors.domain.outliving import state as s
from lrm_actors.domain.outliving.state import End, OuterState, Process

RESTARTS_KEPT = 1_000
"""Times of restarts that are remembered at most."""


def evolve(state: OuterState, event: object) -> OuterState:
    """Fold one event."""
    match event:
        case e.WatchBegan(watch, pid, in_order, _, boot_id):
            return _began(state, watch, pid, boot_id, fresh=in_order)
        case e.Configured(policy, command):
            return attrs.evolve(state, policy=policy, command=command)
        case e.ProcessesFound():
            return attrs.evolve(state, status=s.CLEARING, ending=s.ORPHAN, due=None)
        case e.StartBegun(start, attempt):
            return attrs.evolve(
                state,
                status=s.STARTING,
                start=start,
                attempt=attempt,
                starts_in_watch=state.starts_in_watch + 1,
                process=None,
                ending="",
                killed=False,
                due=None,
            )
        case e.ProcessStarted(_, pid, created, at_s, boot_id):
            return attrs.evolve(state, status=s.UP, process=Process(pid, created, at_s, boot_id))
        case e.StartFailed(start, error, message):
            failed = End(start, s.START, None, f"{error}: {message}", 0.0)
            return attrs.evolve(state, status=s.CLEARING, ends=_with(state.ends, failed))
        case e.RestartScheduled(attempt, due, _, counted):
            times = state.restarts_at_s
            if counted:
                times = (*times, due.monotonic_s - due.delay_s)[-RESTARTS_KEPT:]
            return attrs.evolve(
                state, status=s.BACKING_OFF, attempt=attempt, due=due, restarts_at_s=times, restarts=state.restarts + 1
            )
        case e.GivenUp(reason):
            return attrs.evolve(state, status=s.GIVEN_UP, reason=reason)
        case e.WatchEnded(exit_code, reason):
            gave_up = state.status == s.GIVEN_UP
            why = state.reason if gave_up else reason
            return attrs.evolve(state, status=s.OVER, process=None, due=None, exit_code=exit_code, reason=why)
    return _of_the_process(state, event)


def _of_the_process(state: OuterState, event: object) -> OuterState:
    match event:
        case e.HeartbeatsBegan() if state.process is not None:
            return attrs.evolve(state, process=attrs.evolve(state.process, beats=True, has_beaten=True))
        case e.HeartbeatsEnded() if state.process is not None:
            return attrs.evolve(state, process=attrs.evolve(state.process, beats=False))
        case e.SignalReceived(number, _, stops) if stops:
            return attrs.evolve(state, stop=number)
        case e.EndingBegun(_, why, _, due):
            return attrs.evolve(state, status=s.ENDING, ending=why, due=due)
        case e.KillBegun():
            return attrs.evolve(state, killed=True)
        case e.ProcessExited(start, exit_status, description, why, lasted_s, last_words):
            end = End(start, why, exit_status, description, lasted_s, last_words)
            return attrs.evolve(state, status=s.CLEARING, process=None, due=None, ends=_with(state.ends, end))
    return state


def _began(state: OuterState, watch: int, pid: int, boot_id: str, *, fresh: bool) -> OuterState:
    """Another watchdog. Restarts count on only where the one before did not come to its end."""
    counted = state.restarts_at_s if not fresh and boot_id == state.boot_id else ()
    return attrs.evolve(
        state,
        watch=watch,
        watch_pid=pid,
        boot_id=boot_id,
        starts_in_watch=0,
        attempt=0 if fresh else state.attempt,
        stop=0,
        ending="",
        killed=False,
        restarts_at_s=counted,
        ends=() if fresh else state.ends,
        exit_code=None,
        reason="",
        status=s.IDLE if fresh else state.status,
    )


def _with(ends: tuple[End, ...], end: End) -> tuple[End, ...]:
    """The last ends; of those before the last, what they said last stands in their events only."""
    before = (attrs.evolve(one, last_words="") for one in ends)
    return (*before, end)[-s.ENDS_KEPT :]
