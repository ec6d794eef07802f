"""What a child's failure or end leads to: a directive by the error, then a restart, alone or with others, or none."""

from __future__ import annotations

from lrm_actors.domain import children
from lrm_actors.domain.children import ABSENT, ACTOR, HELD, RESTARTING, RUNNING
from lrm_actors.domain.supervision import declaring, effects
from lrm_actors.domain.supervision import events as e
from lrm_actors.domain.supervision.commands import ReportEnd, ReportFailure
from lrm_actors.domain.supervision.course import Course
from lrm_actors.domain.supervision.declaring import ALL_SIGNIFICANT, ANY_SIGNIFICANT, GIVE_UP, PERMANENT, TEMPORARY
from lrm_actors.domain.supervision.folding import ENDED
from lrm_actors.domain.supervision.state import TO_ESCALATE, TO_RESTART, TO_SHUT_DOWN, UP
from lrm_actors.domain.supervision.together import affected, schedule, take_down

NO_STATE_TO_RESUME = frozenset(("start", "restart", "loop"))
"""What was in hand when an actor failed without a state that it could go on with."""
NEVER_RESTARTED = "a temporary child is never restarted"


def report_failure(course: Course, command: ReportFailure) -> None:
    """A child failed, says the guardian, the host or its parent."""
    name, state = command.child, course.state
    child = state.children.get(name)
    status = child.status if child is not None else ABSENT
    failed = failure(course, name, command.error, command.message, command.handling, handled=command.handled)
    # An actor that nobody announced is down all the same, and nobody else would restart it.
    if status == RUNNING or (status == ABSENT and name.startswith(f"{ACTOR}:") and not state.down):
        handle(course, failed, command.kinds, resumable=command.resumable)
    elif status == RESTARTING and child is not None and not child.failed_again and not command.again:
        # It ran again and failed before the end of its restart was heard of; that end brings on the next restart.
        course.happen(failed)
        course.reply = True
    else:
        course.reply = False


def failure(
    course: Course, child: str, error: str, message: str, handling: str, *, handled: int | None = None
) -> e.ChildFailed:
    """The event that a failure is."""
    return e.ChildFailed(child, error, message, handling, course.now_s, course.ctx.now.boot_id, handled)


def handle(course: Course, failed: e.ChildFailed, kinds: tuple[str, ...] = (), *, resumable: bool = True) -> None:
    """Record a failure, and decide what follows from it."""
    name = failed.child
    course.happen(failed)
    course.reply = True
    status = course.state.status(name)
    if status in {None, ABSENT}:
        course.reply = False
    elif status != HELD:  # else it is going down with others, and comes up with them
        directive = declaring.directive(course.state.supervision, (failed.error, *kinds))
        follow(course, name, directive, failed, resumable=resumable)


def follow(course: Course, name: str, directive: str, failed: e.ChildFailed, *, resumable: bool) -> None:
    """Do what the decider said, but never resume what has no state that it could go on with."""
    resumable = resumable and failed.handling not in NO_STATE_TO_RESUME
    if directive == declaring.RESUME and resumable:
        course.happen(e.ChildResumed(name, failed.error, failed.handling))
        if name.startswith(f"{ACTOR}:"):
            course.have(effects.ResumeChild(name))
    elif directive == declaring.STOP:
        stop(course, name, f"stopped for {failed.error}")
        after_end(course, name)
    elif directive == declaring.ESCALATE:
        escalate(course, name, f"{name} failed: {failed.error}")
    else:
        restart(course, name)


def restart(course: Course, name: str) -> None:
    """Restart a child that is down, with whom the strategy says; or do not, when there were too many restarts."""
    state, policy = course.state, course.state.policy_of(name)
    child = state.children[name]
    if state.spec_of(name).restart == TEMPORARY:
        stop(course, name, NEVER_RESTARTED)
        after_end(course, name)
        return
    each = child.kind != ACTOR or state.supervision.excess == GIVE_UP
    restarts = children.restarts_lately(child, policy, course.ctx.now) if each else _restarts_lately(course)
    allowed = policy if each else state.policy
    if restarts >= allowed.intensity and each:
        _give_up(course, name, restarts, allowed.period_s)
        return
    if restarts >= allowed.intensity:
        escalate(course, name, f"{restarts} restarts within {allowed.period_s:g} s, the last for {child.last_error}")
        return
    attempt = children.next_attempt(child, policy, course.now_s)
    members = affected(state, name)
    if len(members) == 1:
        schedule(course, name, attempt)
        return
    take_down(course, name, members, TO_RESTART, child.last_error, attempt=attempt)


def escalate(course: Course, name: str, reason: str) -> None:
    """Stop all children, and fail to the parent."""
    take_down(course, name, course.state.up(), TO_ESCALATE, reason)


def stop(course: Course, name: str, reason: str, deadline_s: float = 0.0) -> None:
    """Have a child down for good."""
    course.happen(e.ChildStopped(name, reason))
    course.have(effects.StopChild(name, reason, deadline_s))


def report_end(course: Course, command: ReportEnd) -> None:
    """An actor ended by itself."""
    name, state = command.child, course.state
    status = state.status(name)
    early = status == RESTARTING and not state.children[name].failed_again
    if status != RUNNING and not early:
        course.reply = False
        return
    course.happen(e.ChildEnded(name, course.now_s, course.ctx.now.boot_id, command.handled))
    course.reply = True
    if not early and course.state.status(name) != HELD:
        after_its_own_end(course, name)


def after_its_own_end(course: Course, name: str) -> None:
    """An actor ended by itself, which is no failure: only a permanent one comes back."""
    if course.state.spec_of(name).restart == PERMANENT:
        restart(course, name)
        return
    stop(course, name, ENDED)
    after_end(course, name)


def after_restart(course: Course, name: str) -> None:
    """A child failed or ended before the end of its restart was heard of, which has come now."""
    if course.state.children[name].last_error == ENDED:
        after_its_own_end(course, name)
    else:
        restart(course, name)


def after_end(course: Course, name: str) -> None:
    """A child is down for good, and not because somebody stopped it: that may end the supervisor."""
    state = course.state
    if not state.spec_of(name).significant or state.down:
        return
    rule = state.supervision.auto_shutdown
    significant = (one for one in state.children if state.spec_of(one).significant)
    none_left = not any(state.status(one) in UP for one in significant)
    if rule == ANY_SIGNIFICANT or (rule == ALL_SIGNIFICANT and none_left):
        take_down(course, name, state.up(), TO_SHUT_DOWN, f"{name} ended")


def _give_up(course: Course, name: str, restarts: int, period_s: float) -> None:
    error = course.state.children[name].last_error
    course.happen(e.ChildGivenUp(name, restarts, period_s, error))
    course.have(effects.StopChild(name, f"gave up after {restarts} restarts within {period_s:g} s: {error}"))


def _restarts_lately(course: Course) -> int:
    """Restarts of all actors within the period. Those of another boot cannot be told, and do not count."""
    state, now = course.state, course.ctx.now
    if state.restarts_boot != now.boot_id:
        return 0
    return sum(now.monotonic_s - at_s < state.policy.period_s for at_s in state.restarts_at_s)
