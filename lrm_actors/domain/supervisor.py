"""The supervisor's decisions: what is restarted, when, and when it is given up.

Children are actors of the system (``actor:monitor``) and components of the host (``component:browser``); both are
restarted one for one. Children are looked after alike; only the effects differ.
"""

from __future__ import annotations

from functools import partial

import attrs

from eventstore.events import event
from lrm_actors.domain import backoff, children, process
from lrm_actors.domain.behavior import NOTHING, CancelTimer, Command, Context, Decision, Effect, Spec, StartTimer, then
from lrm_actors.domain.children import ABSENT, ACTOR, BACKOFF, COMPONENT, GIVEN_UP, LEAVING, RESTARTING, RUNNING
from lrm_actors.domain.deadlines import Deadline, deadline

NAME = "supervisor"
RECOVERY_GRACE_S = 1.0
"""Least delay of what recovery takes up again. ``StartSupervising`` of a new process comes within it and voids what the
dead process had pending; and a restart that is under way may come to its end."""


ChildState = children.ChildState
RestartPolicy = children.RestartPolicy
ProcessExitObserved = process.ProcessExitObserved
ProcessStarted = process.ProcessStarted
ProcessStopped = process.ProcessStopped
StartSupervising = process.StartSupervising
StopSupervising = process.StopSupervising


@attrs.frozen
class SupervisorState:
    """All children, and the process they live in."""

    policy: RestartPolicy = attrs.field(factory=RestartPolicy)
    configured: bool = False
    """Whether the policy came by an event; the first life takes it from the spec."""
    children: dict[str, ChildState] = attrs.field(factory=dict)
    starts: int = 0
    """How often this log's process was started."""
    stopped: str = ""
    """``clean`` or ``unclean`` once the process went down in order; empty while it runs, and after a crash."""


# Commands


@attrs.frozen
class Configure(Command):
    """Take another policy. It holds from the next failure on."""

    policy: RestartPolicy


@attrs.frozen
class AddChild(Command):
    """One more child, which runs now; also brings back one that was given up. The reply says whether it was news."""

    child: str


@attrs.frozen
class RemoveChild(Command):
    """Look after this child no more. The reply says whether it was one."""

    child: str


@attrs.frozen
class ReportFailure(Command):
    """A child failed. For actors it comes from the guardian, with what was in hand. The reply says if it was news."""

    child: str
    error: str
    """Class name of the error, or the observation (``exit by signal 9``)."""
    message: str = ""
    handling: str = ""
    """Type of the command in hand, or ``start``."""
    again: bool = False
    """The same failure once more, because the child is still down: no news while its restart is under way."""


@attrs.frozen
class RestartComponent(Command):
    """Restart a component as the analyzer decided; goes through the same backoff and intensity.

    The reply is False, and nothing happens, when it is being restarted already, was given up, or is not known.
    """

    component: str
    reason: str


@attrs.frozen
class ClearCaches(Command):
    """Have a component give memory back; it is restarted when it cannot. The reply is as for ``RestartComponent``."""

    component: str
    reason: str


@attrs.frozen
class CachesDone(Command):
    """What became of it; an empty error: the caches are cleared."""

    child: str
    error: str = ""
    message: str = ""


@attrs.frozen
class RestartDue(Command):
    """The backoff of a child is over."""

    child: str


@attrs.frozen
class RestartInDoubt(Command):
    """After a recovery: a restart or a giving up was begun, and its end is not known."""

    child: str


@attrs.frozen
class RestartDone(Command):
    """The child was restarted."""

    child: str
    duration_s: float


@attrs.frozen
class RestartFailed(Command):
    """The child could not be restarted."""

    child: str
    error: str
    message: str


# Events


@event("supervisor.configured", 1)
class Configured:
    """The policy from here on."""

    policy: RestartPolicy


@event("supervisor.child_added", 1)
class ChildAdded:
    """A child came while the process ran."""

    child: str
    at_s: float = 0.0
    boot_id: str = ""


@event("supervisor.child_removed", 1)
class ChildRemoved:
    """A child left while the process ran."""

    child: str


@event("supervisor.child_failed", 1)
class ChildFailed:
    """A child failed, or could not be restarted (``handling`` is then ``restart``)."""

    child: str
    error: str
    message: str
    handling: str
    at_s: float
    """Monotonic time of the report."""
    boot_id: str


@event("supervisor.restart_scheduled", 1)
class RestartScheduled:
    """The child will be restarted after a backoff."""

    child: str
    attempt: int
    delay_s: float
    due: Deadline


@event("supervisor.restart_started", 1)
class RestartStarted:
    """The intent: a restart without a ``child_restarted`` after it is in doubt."""

    child: str
    attempt: int


@event("supervisor.child_restarted", 1)
class ChildRestarted:
    """The child runs again."""

    child: str
    attempt: int
    duration_s: float
    at_s: float = 0.0
    """Monotonic time of its end."""


@event("supervisor.child_given_up", 1)
class ChildGivenUp:
    """The child failed more often than the policy allows, and stays down."""

    child: str
    restarts: int
    """Restarts within the period."""
    period_s: float
    error: str


@event("supervisor.caches_clearing_started", 1)
class CachesClearingStarted:
    """The intent to have a component give memory back. One without an end was lost with its process, caches and all."""

    child: str
    reason: str


@event("supervisor.caches_cleared", 1)
class CachesCleared:
    """The component gave memory back."""

    child: str


# Effects


@attrs.frozen
class RestartChild(Effect):
    """Carry out the restart: of an actor in place, of a component by the host's function."""

    child: str
    attempt: int


@attrs.frozen
class StopChild(Effect):
    """Give a child up: close an actor's mailbox; tell the host of a component."""

    child: str
    reason: str


@attrs.frozen
class ClearChildCaches(Effect):
    """Have a component give memory back by the host's function; comes back as ``CachesDone``."""

    child: str


def decide(state: SupervisorState, command: Command, ctx: Context) -> Decision:
    """Decide on one command."""
    match command:
        case StartSupervising():
            return _start(state, command, ctx)
        case AddChild(child) if _status(state, child) in {None, ABSENT, GIVEN_UP, LEAVING}:
            return then(ChildAdded(child, ctx.now.monotonic_s, ctx.now.boot_id), reply=True)
        case RemoveChild(child) if _status(state, child) not in {None, ABSENT, LEAVING}:
            return then(ChildRemoved(child), effects=(CancelTimer(_key(child)),), reply=True)
        case ReportFailure(child, again=True) if _status(state, child) == RESTARTING:
            return then(reply=False)
        case ReportFailure(child, error, message, handling):
            return _report(state, _failure(child, error, message, handling, ctx), ctx)
        case RestartComponent(component, reason) if _runs(state, child := f"{COMPONENT}:{component}"):
            return _restart(state, _failure(child, reason, "", "", ctx), ctx)
        case ClearCaches(component, reason) if _runs(state, child := f"{COMPONENT}:{component}"):
            return then(CachesClearingStarted(child, reason), effects=(ClearChildCaches(child),), reply=True)
        case CachesDone(child, "") if _runs(state, child):
            return then(CachesCleared(child))
        case CachesDone(child, error, message) if _runs(state, child):
            return _restart(state, _failure(child, error, message, "clear_caches", ctx), ctx)
        case RestartDue(child) if not state.stopped and _status(state, child) == BACKOFF:
            attempt = state.children[child].attempt
            return then(RestartStarted(child, attempt), effects=(RestartChild(child, attempt),))
        case RestartInDoubt(child):
            return _settle_doubt(state, child)
        case RestartDone(child, duration_s) if _status(state, child) in {RESTARTING, LEAVING}:
            return _restarted(state, child, duration_s, ctx)
        case RestartFailed(child, error, message) if _status(state, child) in {RESTARTING, LEAVING}:
            return _restart(state, _failure(child, error, message, "restart", ctx), ctx)
        case StopSupervising(clean, reason) if not state.stopped:
            pending = [name for name, child in state.children.items() if child.pending]
            return then(ProcessStopped(clean, reason), effects=[CancelTimer(_key(name)) for name in pending])
        case Configure(policy) if policy != state.policy or not state.configured:
            return then(Configured(policy))
        case AddChild() | RemoveChild() | RestartComponent() | ClearCaches():
            return then(reply=False)
    return NOTHING


def evolve(state: SupervisorState, event: object) -> SupervisorState:
    """Fold one event."""
    match event:
        case Configured(policy):
            return attrs.evolve(state, policy=policy, configured=True)
        case ProcessStarted():
            return _fold_start(state, event)
        case ProcessStopped(clean):
            return attrs.evolve(state, stopped="clean" if clean else "unclean")
        case ChildAdded(name, at_s, boot_id):
            return _with(state, name, children.add(state.children.get(name), name, at_s, boot_id))
        case ChildRemoved(name) if name in state.children:
            return _with(state, name, children.leave(state.children[name]))
        case ChildFailed(name, error, _, handling, at_s, boot_id):
            before = state.children.get(name) or children.new_child(name, at_s, boot_id)
            return _with(state, name, children.fail(before, at_s, boot_id, error, handling))
        case RestartScheduled(name, attempt, _, due):
            return _with(state, name, children.schedule(state.children[name], attempt, due, state.policy.intensity))
        case RestartStarted(name):
            return _with(state, name, children.begin(state.children[name]))
        case ChildRestarted(name, _, _, at_s):
            return _with(state, name, children.finish(state.children[name], at_s))
        case ChildGivenUp(name):
            return _with(state, name, children.give_up(state.children[name]))
    return state


def recover(state: SupervisorState, ctx: Context, *, policy: RestartPolicy | None = None) -> Decision:
    """Take up the restarts that the log knows of: those that are due, and those whose end is not known."""
    timers = [] if state.stopped else [_timer(name, child, ctx) for name, child in state.children.items()]
    effects = [timer for timer in timers if timer is not None]
    if policy is not None and not state.configured:
        return then(Configured(policy), effects=effects)
    return then(effects=effects)


def spec(policy: RestartPolicy | None = None) -> Spec[SupervisorState]:
    """The supervisor.

    Args:
        policy: taken when the log is new; from then on ``Configure`` changes it, on the record.
    """
    initial = SupervisorState()
    return Spec(NAME, initial, decide, evolve, partial(recover, policy=policy or RestartPolicy()))


def _start(state: SupervisorState, command: StartSupervising, ctx: Context) -> Decision:
    observed = process.predecessor(state.starts, state.stopped, command.predecessor_exit)
    start = state.starts + 1
    now = ctx.now
    restarted = observed is not None
    started = ProcessStarted(start, command.pid, restarted, command.children, now.monotonic_s, now.boot_id)
    after = evolve(state, started)
    effects: list[Effect] = [CancelTimer(_key(name)) for name, child in state.children.items() if child.pending]
    effects += [timer for name, child in after.children.items() if (timer := _timer(name, child, ctx)) is not None]
    events = (started,) if observed is None else (observed, started)
    return then(*events, effects=effects, reply={"start": start, "restarted": restarted})


def _report(state: SupervisorState, failed: ChildFailed, ctx: Context) -> Decision:
    child = state.children.get(failed.child)
    match child.status if child is not None else ABSENT:
        case "running":
            return _restart(state, failed, ctx)
        case "absent" if failed.child.startswith(f"{ACTOR}:"):
            # An actor that nobody announced is down all the same, and nobody else would restart it.
            return _restart(state, failed, ctx)
        case "restarting" if child is not None and not child.failed_again:
            # It ran again and failed before the end of its restart was heard of; that end brings on the next restart.
            return then(failed, reply=True)
    return then(reply=False)


def _restart(state: SupervisorState, failed: ChildFailed, ctx: Context) -> Decision:
    """Record the failure, and what follows from it."""
    after = evolve(state, failed)
    child = after.children.get(failed.child)
    if child is None or child.status == ABSENT:
        return then(failed, reply=False)
    consequence, effect = _consequence(after, failed.child, ctx)
    return then(failed, consequence, effects=(effect,), reply=True)


def _restarted(state: SupervisorState, name: str, duration_s: float, ctx: Context) -> Decision:
    child = state.children[name]
    done = ChildRestarted(name, child.attempt, duration_s, ctx.now.monotonic_s)
    if not child.failed_again or child.status == LEAVING:
        return then(done)
    consequence, effect = _consequence(evolve(state, done), name, ctx)
    return then(done, consequence, effects=(effect,))


def _consequence(state: SupervisorState, name: str, ctx: Context) -> tuple[object, Effect]:
    """Another restart after a backoff; or none, when there were too many."""
    child, policy = state.children[name], state.policy
    restarts = children.restarts_lately(child, policy, ctx.now)
    if restarts >= policy.intensity:
        given_up = ChildGivenUp(name, restarts, policy.period_s, child.last_error)
        reason = f"gave up after {restarts} restarts within {policy.period_s:g} s: {child.last_error}"
        return given_up, StopChild(name, reason)
    attempt = children.next_attempt(child, policy, ctx.now.monotonic_s)
    delay_s = backoff.delay_s(attempt, policy.backoff_initial_s, policy.backoff_max_s, policy.jitter, ctx.random)
    scheduled = RestartScheduled(name, attempt, delay_s, deadline(ctx.now, delay_s))
    return scheduled, StartTimer(_key(name), delay_s, RestartDue(name))


def _settle_doubt(state: SupervisorState, name: str) -> Decision:
    match _status(state, name):
        case "restarting" if not state.stopped:
            return then(effects=(RestartChild(name, state.children[name].attempt),))
        case "leaving":
            return then(ChildRemoved(name))
        case "given_up" if not state.stopped:
            return then(effects=(StopChild(name, f"gave up: {state.children[name].last_error}"),))
    return NOTHING


def _timer(name: str, child: ChildState, ctx: Context) -> StartTimer | None:
    """What recovery has to start for a child."""
    if child.status == BACKOFF and child.due is not None:
        return StartTimer(_key(name), max(RECOVERY_GRACE_S, child.due.remaining_s(ctx.now)), RestartDue(name))
    if child.status in {RESTARTING, LEAVING, GIVEN_UP}:  # it may not have been stopped either
        return StartTimer(_key(name), RECOVERY_GRACE_S, RestartInDoubt(name))
    return None


def _fold_start(state: SupervisorState, started: ProcessStarted) -> SupervisorState:
    at_s, boot_id = started.at_s, started.boot_id
    now = {name: children.new_child(name, at_s, boot_id) for name in started.children}
    for name, child in state.children.items():
        kept = children.carry_over(child, state.policy, at_s, boot_id, listed=name in now)
        if kept is not None:
            now[name] = kept
    return attrs.evolve(state, children=now, starts=started.start, stopped="")


def _failure(child: str, error: str, message: str, handling: str, ctx: Context) -> ChildFailed:
    return ChildFailed(child, error, message, handling, ctx.now.monotonic_s, ctx.now.boot_id)


def _status(state: SupervisorState, name: str) -> str | None:
    child = state.children.get(name)
    return None if child is None else child.status


def _runs(state: SupervisorState, name: str) -> bool:
    return not state.stopped and _status(state, name) == RUNNING


def _with(state: SupervisorState, name: str, child: ChildState | None) -> SupervisorState:
    others = {key: value for key, value in state.children.items() if key != name}
    return attrs.evolve(state, children=others if child is None else {**others, name: child})


def _key(name: str) -> str:
    return f"restart/{name}"
