"""Several children that go down and up together: stopped last to first, one at a time, and started first to last.

Every step is an event, and ``go_on`` takes the next one when the one before has ended, so the log shows the order.
"""

from __future__ import annotations

from lrm_actors.domain import backoff, children
from lrm_actors.domain.behavior import CancelTimer, StartTimer
from lrm_actors.domain.children import BACKOFF, HELD, HOLDING, LEAVING, RESTARTING, RUNNING
from lrm_actors.domain.deadlines import deadline
from lrm_actors.domain.supervision import effects
from lrm_actors.domain.supervision import events as e
from lrm_actors.domain.supervision.commands import RestartDue
from lrm_actors.domain.supervision.course import Course, timer_key
from lrm_actors.domain.supervision.declaring import ONE_FOR_ONE, REST_FOR_ONE, TEMPORARY
from lrm_actors.domain.supervision.state import (
    STARTING,
    TO_ESCALATE,
    TO_HOLD,
    TO_RESTART,
    UP,
    WAITING,
    Outage,
    SupervisorState,
)

DOWN = frozenset((BACKOFF, RESTARTING, HOLDING, HELD))
"""Statuses of children that are to run again, and do not now."""
NOT_RESTARTED = "its siblings are restarted, and a temporary child never is"


def affected(state: SupervisorState, name: str) -> tuple[str, ...]:
    """Who is restarted when this child fails, in start order, by the supervisor's strategy.

    For ``rest_for_one`` a sibling before it that is down already counts as failing too: nobody comes up ahead of it.
    """
    strategy = state.supervision.strategy
    if strategy == ONE_FOR_ONE:
        return (name,)
    order = tuple(one for one in state.order() if one == name or state.status(one) in UP)
    if strategy != REST_FOR_ONE:
        return order
    first = next(index for index, one in enumerate(order) if one == name or state.status(one) in DOWN)
    return order[first:]


def take_down(
    course: Course, child: str, members: tuple[str, ...], purpose: str, reason: str, *, attempt: int = 0
) -> None:
    """Begin to stop children, whatever was begun with them before."""
    before = course.state
    warned_first = purpose == TO_ESCALATE and "/" not in course.name
    timers = [CancelTimer(timer_key(one)) for one in members if before.status(one) == BACKOFF]
    course.happen(e.StoppingStarted(child, members, purpose, reason, attempt, warned_first))
    course.have(*timers)
    if warned_first:
        course.have(effects.WarnHost(reason))


def schedule(course: Course, name: str, attempt: int, members: tuple[str, ...] = ()) -> None:
    """Have a child, and those that are down with it, restarted after a backoff."""
    policy, ctx = course.state.policy_of(name), course.ctx
    delay_s = backoff.delay_s(attempt, policy.backoff_initial_s, policy.backoff_max_s, policy.jitter, ctx.random)
    course.happen(e.RestartScheduled(name, attempt, delay_s, deadline(ctx.now, delay_s), members))
    course.have(StartTimer(timer_key(name), delay_s, RestartDue(name)))


def begin_restart(course: Course, name: str) -> None:
    """Restart a child now."""
    attempt = course.state.children[name].attempt
    course.happen(e.RestartStarted(name, attempt))
    course.have(effects.RestartChild(name, attempt))


def go_on(course: Course) -> None:
    """Take the next step with those that go down or up together, if it is time for one."""
    outage = course.state.outage
    if outage is None or course.state.stopped:
        return
    match outage.phase:
        case "stopping":
            _stop_next(course, outage)
        case "waiting" if course.state.status(outage.child) != BACKOFF:  # it was removed meanwhile
            start_next(course)
        case "starting":
            start_next(course)


def start_next(course: Course) -> None:
    """Start the first member that is down, unless another one is still being started."""
    outage = course.state.outage
    if outage is None or outage.phase not in {WAITING, STARTING}:
        return
    statuses = [(name, course.state.status(name)) for name in outage.members]
    if any(status in {RESTARTING, LEAVING} for _, status in statuses):
        return
    for name, status in statuses:
        if status == HELD or (name == outage.child and status == BACKOFF and outage.phase == WAITING):
            begin_restart(course, name)
            return


def _stop_next(course: Course, outage: Outage) -> None:
    """Stop the last member that is up, unless another one is still being stopped, or started."""
    if any(course.state.status(name) in {HOLDING, RESTARTING, LEAVING} for name in outage.members):
        return
    for name in reversed(outage.members):
        if course.state.status(name) == RUNNING:
            course.happen(e.HoldStarted(name))
            course.have(effects.HoldChild(name, course.state.spec_of(name).deadline_s))
            return
    _all_down(course, outage)


def _all_down(course: Course, outage: Outage) -> None:
    if outage.purpose == TO_RESTART:
        _plan_start(course, outage)
    elif outage.purpose == TO_ESCALATE:
        course.happen(e.Escalated(outage.child, outage.reason))
        course.have(effects.NotifyParent(course.name, effects.FAILED, outage.reason))
    elif outage.purpose == TO_HOLD:
        course.happen(e.ChildrenHeld())
        course.have(effects.NotifyParent(course.name, effects.HELD))
    else:
        course.happen(e.ShutDown(outage.child))
        course.have(effects.NotifyParent(course.name, effects.ENDED, outage.reason))


def _plan_start(course: Course, outage: Outage) -> None:
    for name in reversed(outage.members):
        if course.state.status(name) == HELD and course.state.spec_of(name).restart == TEMPORARY:
            course.happen(e.ChildStopped(name, NOT_RESTARTED))
            course.have(effects.StopChild(name, NOT_RESTARTED))
    held = tuple(name for name in outage.members if course.state.status(name) == HELD)
    # The one that began it may have been removed since; the others wait for the same backoff all the same.
    first = outage.child if outage.child in held else next(iter(held), None)
    if first is not None:
        own = 1 if first == outage.child else course.state.children[first].attempt
        schedule(course, first, max(1, own, outage.attempt), held)


def settle_doubt(course: Course, child: str) -> None:
    """After a recovery: carry out again what was begun with a child and whose end is not known."""
    status = course.state.status(child)
    if status == LEAVING:
        course.happen(e.ChildRemoved(child))
    elif course.state.stopped or status is None:
        return
    elif status == RESTARTING:
        course.have(effects.RestartChild(child, course.state.children[child].attempt))
    elif status == HOLDING:
        course.have(effects.HoldChild(child, course.state.spec_of(child).deadline_s))
    elif status == children.GIVEN_UP:
        course.have(effects.StopChild(child, f"gave up: {course.state.children[child].last_error}"))
    elif status == children.STOPPED:
        course.have(effects.StopChild(child, "stopped"))
