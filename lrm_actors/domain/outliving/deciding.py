"""What the outer watchdog decides: when the process is started, asked to end, killed, started again, or given up."""

from __future__ import annotations

from signal import Signals

from lrm_actors.domain.backoff import delay_s
from lrm_actors.domain.behavior import CancelTimer, Command, Context, Decision, Effect, StartTimer, then
from lrm_actors.domain.deadlines import deadline
from lrm_actors.domain.exits import describe_exit
from lrm_actors.domain.outliving import commands as c
from lrm_actors.domain.outliving import effects
from lrm_actors.domain.outliving import events as e
from lrm_actors.domain.outliving import state as s
from lrm_actors.domain.outliving.folding import evolve
from lrm_actors.domain.outliving.policy import ALWAYS, NEVER
from lrm_actors.domain.outliving.state import OuterState

SIGINT, SIGTERM = 2, 15
STOPPING = frozenset((SIGINT, SIGTERM))
"""Signals that ask for the end."""
EXIT_REPLACE = 75
"""Exit status of a process that wants to be replaced (EX_TEMPFAIL)."""
EXIT_GIVEN_UP = 69
"""What the watchdog ends with when the process was started often enough (EX_UNAVAILABLE)."""
CANNOT_START = frozenset((126, 127))
"""Exit statuses of what could never be started: it cannot be executed, there is no such thing. As shells have it."""
JITTER = 0.1
"""Share of a wait that is left to chance."""
CLEAR_GRACE_S = 5.0
"""Seconds that processes have to end which outlived the one that had started them."""
KILL_AGAIN_S = 5.0
"""Seconds after which a kill that had no effect is repeated: a process may be held in the kernel."""
GRACE, RESTART, FIRST_BEAT = "grace", "restart", "first_beat"
"""Keys of timers."""


def decide(state: OuterState, command: Command, ctx: Context) -> Decision:
    """Decide on one command."""
    course = _Course(state, ctx)
    match command:
        case c.BeginWatch():
            _begin(course, command)
        case c.NoteStarted() | c.NoteStartFailed():
            _started(course, command)
        case c.NoteSignal(number):
            _signal(course, number)
        case c.GraceOver(start) if start == state.start and state.process is not None:
            _kill(course, "grace")
        case c.NoteExit(start) if start == state.start and state.status in {s.UP, s.ENDING}:
            _exited(course, command)
        case c.NoteCleared(ended, left) if state.status == s.CLEARING:
            if ended or left:
                course.happen(e.ClearedUp(ended, left))
            _go_on(course)
        case c.RestartNow() if state.status == s.BACKING_OFF:
            _start(course)
        case c.NoteLate(count, reason):
            course.happen(e.RecordedLate(count, reason))
        case _ if state.status == s.UP:
            _seen(course, command)
    return course.decision()


def recover(state: OuterState, ctx: Context) -> Decision:
    """Start the timers again that the state tells of."""
    timers: list[Effect] = []
    process, due, policy = state.process, state.due, state.policy
    if state.status == s.BACKING_OFF and due is not None:
        timers.append(StartTimer(RESTART, due.remaining_s(ctx.now), c.RestartNow()))
    if state.status == s.ENDING and due is not None:
        left_s = KILL_AGAIN_S if state.killed else due.remaining_s(ctx.now)
        timers.append(StartTimer(GRACE, left_s, c.GraceOver(state.start)))
    if state.status == s.UP and process is not None and policy.first_beat_within_s and not state.proven:
        left_s = max(0.0, process.at_s + policy.first_beat_within_s - ctx.now.monotonic_s)
        timers.append(StartTimer(FIRST_BEAT, left_s, c.StartTimedOut(state.start)))
    return then(effects=timers)


class _Course:
    """A decision in the making: each event is folded at once, so that the next step sees it."""

    def __init__(self, state: OuterState, ctx: Context) -> None:
        self.state = state
        self.ctx = ctx
        self._events: list[object] = []
        self._effects: list[Effect] = []

    def happen(self, event: object) -> None:
        self._events.append(event)
        self.state = evolve(self.state, event)

    def have(self, *wanted: Effect) -> None:
        self._effects.extend(wanted)

    def decision(self) -> Decision:
        return then(*self._events, effects=self._effects)


def _begin(course: _Course, command: c.BeginWatch) -> None:
    before, now = course.state, course.ctx.now
    course.have(*(CancelTimer(key) for key in (GRACE, RESTART, FIRST_BEAT)))
    course.happen(e.WatchBegan(before.watch + 1, command.pid, before.in_order, now.monotonic_s, now.boot_id))
    if (command.policy, command.command) != (before.policy, before.command) or before.watch == 0:
        course.happen(e.Configured(command.policy, command.command))
    if command.found:
        course.happen(e.ProcessesFound(command.found))
        course.have(effects.ClearUp(command.policy.stop_timeout_s))
        return
    if before.process is not None:
        _unseen_end(course)
    due = course.state.due
    if before.status == s.BACKING_OFF and due is not None:
        course.have(StartTimer(RESTART, due.remaining_s(now), c.RestartNow()))
    else:
        _start(course)


def _unseen_end(course: _Course) -> None:
    """The process of an earlier watchdog is gone, and nobody saw how."""
    process, now = course.state.process, course.ctx.now
    lasted_s = 0.0
    if process is not None and process.boot_id == now.boot_id:
        lasted_s = max(0.0, now.monotonic_s - process.at_s)
    course.happen(e.ProcessExited(course.state.start, None, describe_exit(None), s.ORPHAN, lasted_s))


def _start(course: _Course) -> None:
    state = course.state
    last = state.last
    course.happen(e.StartBegun(state.start + 1, state.attempt))
    course.have(effects.StartProcess(state.start + 1, last.exit_status if last is not None else None))


def _started(course: _Course, command: c.NoteStarted | c.NoteStartFailed) -> None:
    state, now = course.state, course.ctx.now
    if command.start != state.start or state.status != s.STARTING:
        return
    if isinstance(command, c.NoteStartFailed):
        course.happen(e.StartFailed(command.start, command.error, command.message, command.exit_code))
        if state.starts_in_watch == 1:
            _give_up(course, f"the command cannot be started: {command.message}", command.exit_code, 0)
        else:
            _go_on(course)
        return
    course.happen(e.ProcessStarted(command.start, command.pid, command.created, now.monotonic_s, now.boot_id))
    if state.policy.first_beat_within_s:
        course.have(StartTimer(FIRST_BEAT, state.policy.first_beat_within_s, c.StartTimedOut(command.start)))
    if state.stop:
        _end(course, s.STOP, state.stop)


def _seen(course: _Course, command: Command) -> None:
    """Something was seen of the process that runs."""
    state = course.state
    process = state.process
    assert process is not None
    match command:
        case c.NoteFirstHeartbeat(after_s) if not process.beats:
            course.happen(e.HeartbeatsBegan(state.start, after_s))
            course.have(CancelTimer(FIRST_BEAT))
        case c.NoteQuiet() if process.beats:
            course.happen(e.HeartbeatsEnded(state.start))
        case c.NoteHeartbeatMissed(age_s) if process.beats:
            course.happen(e.HeartbeatMissed(state.start, age_s, state.policy.heartbeat_timeout_s))
            _end(course, s.HANG, SIGTERM)
        case c.StartTimedOut(start) if start == state.start and not state.proven:
            waited_s = state.policy.first_beat_within_s
            course.happen(e.HeartbeatMissed(state.start, waited_s, waited_s))
            _end(course, s.HANG, SIGTERM)
        case c.NoteMemory(memory_bytes) if state.policy.memory_limit_bytes:
            course.happen(e.MemoryExceeded(state.start, memory_bytes, state.policy.memory_limit_bytes))
            _end(course, s.MEMORY, SIGTERM)


def _end(course: _Course, why: str, number: int) -> None:
    """Ask the process to end, and have it killed when it does not."""
    state = course.state
    due = deadline(course.ctx.now, state.policy.stop_timeout_s)
    course.happen(e.EndingBegun(state.start, why, number, due))
    course.have(
        effects.SendSignal(number),
        StartTimer(GRACE, state.policy.stop_timeout_s, c.GraceOver(state.start)),
        CancelTimer(FIRST_BEAT),
    )


def _kill(course: _Course, why: str) -> None:
    state = course.state
    if not state.killed:
        course.happen(e.KillBegun(state.start, why))
    course.have(effects.KillProcess(), StartTimer(GRACE, KILL_AGAIN_S, c.GraceOver(state.start)))


def _signal(course: _Course, number: int) -> None:
    state = course.state
    stops = number in STOPPING
    if state.status in {s.GIVEN_UP, s.OVER}:
        return
    again = stops and state.stop
    course.happen(e.SignalReceived(number, _name(number), stops))
    if not stops:
        if state.process is not None:
            course.have(effects.SendSignal(number))
    elif state.status == s.UP:
        _end(course, s.STOP, number)
    elif state.status == s.ENDING and again:
        _kill(course, "again")
    elif state.status == s.BACKING_OFF:
        course.have(CancelTimer(RESTART))
        _finish(course, 128 + number, f"asked to end by {_name(number)} while no process ran")
    elif state.status == s.CLEARING and again:
        course.have(effects.ClearUp(0.0))


def _exited(course: _Course, command: c.NoteExit) -> None:
    state, now = course.state, course.ctx.now
    process, status = state.process, command.exit_status
    why = state.ending or (s.REPLACE if status == EXIT_REPLACE else s.EXIT)
    lasted_s = max(0.0, now.monotonic_s - process.at_s) if process is not None else 0.0
    words = command.last_words
    course.happen(e.ProcessExited(state.start, status, describe_exit(status), why, lasted_s, words))
    last = course.state.last
    another = last is not None and not state.stop and _next_is(course, last) == RESTART
    keep = state.policy.keep_orphans and another
    course.have(CancelTimer(GRACE), CancelTimer(FIRST_BEAT), effects.ClearUp(_clear_grace_s(state), keep=keep))


def _clear_grace_s(state: OuterState) -> float:
    """A wrapper that ended at once may have left the very program that has something to save."""
    return state.policy.stop_timeout_s if state.ending else CLEAR_GRACE_S


def _go_on(course: _Course) -> None:
    """Nothing runs: start another process, now or later, or end."""
    state = course.state
    if state.ending == s.ORPHAN:
        if state.process is not None:
            _unseen_end(course)
        if not state.stop:
            _start(course)
            return
    last = course.state.last
    status = last.exit_status if last is not None else None
    if state.stop:
        code = exit_code(status) if last is not None and last.why == s.STOP else 128 + state.stop
        _finish(course, code, f"asked to end by {_name(state.stop)}")
    elif last is None:
        _finish(course, exit_code(status), "it ended")
    else:
        _after(course, last)


def _after(course: _Course, last: s.End) -> None:
    state = course.state
    match _next_is(course, last):
        case "over":
            reason = f"{last.description}, and it is not to be restarted ({state.policy.restart})"
            _finish(course, exit_code(last.exit_status), reason)
        case "hopeless":
            _give_up(course, f"the command cannot be started: {last.description}", last.exit_status or 0, 0)
        case "enough":
            times = _counted(course)
            reason = f"restarted {times} times within {state.policy.within_s:g} s, and no more is allowed"
            _give_up(course, f"{reason}; at last: {told(last)}", EXIT_GIVEN_UP, times)
        case _:
            _restart(course, last)


def _next_is(course: _Course, last: s.End) -> str:
    """What comes after an end: ``over``, ``hopeless``, ``enough`` or ``restart``."""
    state, policy = course.state, course.state.policy
    if policy.restart == NEVER or (policy.restart != ALWAYS and _is_clean(last)):
        return "over"
    if last.why == s.EXIT and last.exit_status in CANNOT_START and state.starts_in_watch == 1:
        return "hopeless"
    return "enough" if not _is_clean(last) and _counted(course) >= policy.max_restarts else RESTART


def _is_clean(last: s.End) -> bool:
    return last.why == s.EXIT and last.exit_status == 0


def _counted(course: _Course) -> int:
    """Restarts within the time that counts."""
    within_s, now_s = course.state.policy.within_s, course.ctx.now.monotonic_s
    return sum(now_s - at_s < within_s for at_s in course.state.restarts_at_s)


def _restart(course: _Course, last: s.End) -> None:
    state, now, policy = course.state, course.ctx.now, course.state.policy
    well = last.why == s.REPLACE or _is_clean(last) or last.lasted_s >= policy.backoff_max_s
    attempt = 0 if well else state.attempt + 1
    wait_s = delay_s(attempt, policy.backoff_initial_s, policy.backoff_max_s, JITTER, course.ctx.random)
    course.happen(e.RestartScheduled(attempt, deadline(now, wait_s), told(last), not _is_clean(last)))
    course.have(StartTimer(RESTART, wait_s, c.RestartNow()))


def _give_up(course: _Course, reason: str, code: int, restarts: int) -> None:
    course.happen(e.GivenUp(reason, restarts))
    _finish(course, code, reason)


def _finish(course: _Course, code: int, reason: str) -> None:
    course.happen(e.WatchEnded(code, reason))
    course.have(effects.EndWatch(code))


def told(end: s.End) -> str:
    """An end in a few words: ``hang, ended by exit by signal 15 (SIGTERM)``."""
    reasons = {s.HANG: "it hung", s.MEMORY: "it held too much memory", s.REPLACE: "it wants to be replaced"}
    reason = reasons.get(end.why, "")
    return f"{reason}: {end.description}" if reason else end.description


def exit_code(status: int | None) -> int:
    """What a shell makes of an exit status: 128 and the signal's number; 1 where nobody saw it."""
    if status is None:
        return 1
    return 128 - status if status < 0 else status


def _name(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"
