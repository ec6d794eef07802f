"""A supervisor's decisions: which of its parts each command is for."""

from __future__ import annotations

from lrm_actors.domain import process
from lrm_actors.domain.behavior import CancelTimer, Command, Context, Decision
from lrm_actors.domain.children import (
    ABSENT,
    BACKOFF,
    COMPONENT,
    GIVEN_UP,
    HELD,
    HOLDING,
    LEAVING,
    RESTARTING,
    RUNNING,
    STOPPED,
)
from lrm_actors.domain.process import ProcessStarted, ProcessStopped, StartSupervising, StopSupervising
from lrm_actors.domain.supervision import commands as c
from lrm_actors.domain.supervision import effects
from lrm_actors.domain.supervision import events as e
from lrm_actors.domain.supervision.course import Course, timer_key
from lrm_actors.domain.supervision.declaring import check_child
from lrm_actors.domain.supervision.failing import after_restart, failure, handle, report_end, report_failure, stop
from lrm_actors.domain.supervision.recovering import timers
from lrm_actors.domain.supervision.state import TO_ESCALATE, TO_HOLD, TO_RESTART, WARNING, SupervisorState
from lrm_actors.domain.supervision.together import begin_restart, go_on, settle_doubt, start_next, take_down
from lrm_actors.errors import ChildSpecError, CommandRefused

NAME = "supervisor"
"""Name of the root; every other supervisor is called ``supervisor/<something>``."""


def decide(state: SupervisorState, command: Command, ctx: Context, *, name: str = NAME) -> Decision:
    """Decide on one command."""
    course = Course(state, ctx, name)
    _decide(course, command)
    go_on(course)
    if state.outage is not None and not state.outage.child and course.state.outage is None and not course.state.down:
        course.have(effects.NotifyParent(name, effects.UP))  # what its parent began is done
    return course.decision()


def _decide(course: Course, command: Command) -> None:
    match command:
        case c.ReportFailure():
            report_failure(course, command)
        case c.ReportEnd():
            report_end(course, command)
        case c.RestartDue() | c.RestartInDoubt() | c.RestartDone() | c.RestartFailed() | c.HoldDone():
            _step(course, command)
        case c.AddChild() | c.RemoveChild() | c.TerminateChild() | c.StartChild():
            _come_and_go(course, command)
        case c.RestartComponent() | c.ClearCaches() | c.CachesDone():
            _component(course, command)
        case c.Configure(policy) if policy != course.state.policy or not course.state.configured:
            course.happen(e.Configured(policy))
        case StartSupervising():
            _start(course, command)
        case StopSupervising(clean, reason) if not course.state.stopped:
            pending = [name for name, child in course.state.children.items() if child.pending]
            course.happen(ProcessStopped(clean, reason))
            course.have(*(CancelTimer(timer_key(name)) for name in pending))
        case _:
            _of_the_tree(course, command)


def _step(course: Course, command: Command) -> None:
    """Something that was begun with a child has come to its end."""
    state = course.state
    match command:
        case c.RestartDue(child) if not state.stopped and state.status(child) == BACKOFF:
            if state.outage is not None and state.outage.child == child:
                start_next(course)
            else:
                begin_restart(course, child)
        case c.RestartInDoubt(child):
            settle_doubt(course, child)
        case c.RestartDone(child, duration_s) if state.status(child) in {RESTARTING, LEAVING}:
            before = state.children[child]
            course.happen(e.ChildRestarted(child, before.attempt, duration_s, course.now_s))
            if before.failed_again and course.state.status(child) == RUNNING:
                after_restart(course, child)
        case c.RestartFailed(child, error, message) if state.status(child) in {RESTARTING, LEAVING}:
            handle(course, failure(course, child, error, message, "restart"))
        case c.HoldDone(child, in_time) if state.status(child) == HOLDING:
            course.happen(e.ChildHeld(child, in_time))


def _come_and_go(course: Course, command: Command) -> None:
    state = course.state
    course.reply = True
    match command:
        case c.AddChild(child, spec) if _may_come(state, child):
            if spec is not None:
                _check(course, child, command)
            course.happen(e.ChildAdded(child, course.now_s, course.ctx.now.boot_id, spec))
        case c.RemoveChild(child) if state.status(child) not in {None, ABSENT, LEAVING, HOLDING}:
            course.happen(e.ChildRemoved(child))
            course.have(CancelTimer(timer_key(child)))
        case c.TerminateChild(child) if state.status(child) in {RUNNING, BACKOFF, HELD}:
            waits = state.status(child) == BACKOFF
            stop(course, child, "terminated", state.spec_of(child).deadline_s)
            if waits:
                course.have(CancelTimer(timer_key(child)))
        case c.StartChild(child) if state.status(child) in {STOPPED, GIVEN_UP} and _at_rest(state):
            begin_restart(course, child)
        case _:
            course.reply = False


def _at_rest(state: SupervisorState) -> bool:
    return state.outage is None and not state.down


def _may_come(state: SupervisorState, child: str) -> bool:
    going_down = state.outage is not None and state.outage.purpose != TO_RESTART
    return not (state.down or going_down) and state.status(child) in {None, ABSENT, GIVEN_UP, LEAVING, STOPPED}


def _check(course: Course, child: str, command: c.AddChild) -> None:
    spec = command.spec
    if spec is None:
        return
    if spec.id != child:
        msg = f"the child spec of {spec.id!r} is not one of {child!r}"
        raise CommandRefused(msg, actor=course.name)
    try:
        check_child(course.name, spec, course.state.supervision)
    except ChildSpecError as error:
        raise CommandRefused(str(error), actor=course.name, hint=error.hint) from error


def _component(course: Course, command: Command) -> None:
    match command:
        case c.RestartComponent(component, reason) if _runs(course, child := f"{COMPONENT}:{component}"):
            handle(course, failure(course, child, reason, "", ""))
        case c.ClearCaches(component, reason) if _runs(course, child := f"{COMPONENT}:{component}"):
            course.happen(e.CachesClearingStarted(child, reason))
            course.have(effects.ClearChildCaches(child))
            course.reply = True
        case c.CachesDone(child, "") if _runs(course, child):
            course.happen(e.CachesCleared(child))
        case c.CachesDone(child, error, message) if _runs(course, child):
            handle(course, failure(course, child, error, message, "clear_caches"))
        case c.RestartComponent() | c.ClearCaches():
            course.reply = False


def _of_the_tree(course: Course, command: Command) -> None:
    """What a supervisor and its parent say to each other."""
    state, down = course.state, course.state.down
    match command:
        case c.StartAll() if down:
            held = tuple(name for name in state.order() if state.status(name) == HELD)
            course.happen(e.ChildrenStarting(held))
            if not held:
                course.have(effects.NotifyParent(course.name, effects.UP))
        case c.StartAll():
            course.have(effects.NotifyParent(course.name, effects.UP))
        case c.HoldAll() if down:
            course.have(effects.NotifyParent(course.name, effects.HELD))
        case c.HoldAll() if state.outage is None or state.outage.purpose != TO_HOLD:
            take_down(course, "", state.up(), TO_HOLD, "the parent stops it with others")
        case c.TellParentAgain() if down == TO_ESCALATE:
            course.have(effects.NotifyParent(course.name, effects.FAILED, state.down_because))
        case c.TellParentAgain() if down:
            what = effects.HELD if down == TO_HOLD else effects.ENDED
            course.have(effects.NotifyParent(course.name, what, state.down_because))
        case c.HostWarned() if state.outage is not None and state.outage.phase == WARNING:
            course.happen(e.HostWasWarned(state.outage.reason))
        case c.WarnHostAgain() if state.outage is not None and state.outage.phase == WARNING:
            course.have(effects.WarnHost(state.outage.reason))


def _start(course: Course, command: StartSupervising) -> None:
    before, now = course.state, course.ctx.now
    pending = [name for name, child in before.children.items() if child.pending]
    if course.name != NAME:
        course.happen(e.SupervisingBegan(command.children, now.monotonic_s, now.boot_id))
    else:
        observed = process.predecessor(before.starts, before.stopped, command.predecessor_exit)
        start, restarted = before.starts + 1, observed is not None
        if observed is not None:
            course.happen(observed)
        started = ProcessStarted(
            start,
            command.pid,
            restarted,
            command.children,
            now.monotonic_s,
            now.boot_id,
            command.outer_log,
            command.outer_position,
        )
        course.happen(started)
        course.reply = {"start": start, "restarted": restarted}
    course.have(*(CancelTimer(timer_key(name)) for name in pending))
    course.have(*timers(course.state, course.ctx))


def _runs(course: Course, name: str) -> bool:
    return not course.state.stopped and course.state.status(name) == RUNNING
