"""What each event changes in what a supervisor knows."""

from __future__ import annotations

import attrs

from lrm_actors.domain import children, process
from lrm_actors.domain.children import BACKOFF, HELD, HOLDING, LEAVING, RESTARTING, RUNNING, ChildState
from lrm_actors.domain.supervision import events as e
from lrm_actors.domain.supervision.declaring import ESCALATE
from lrm_actors.domain.supervision.state import (
    STARTING,
    STOPPING,
    TO_ESCALATE,
    TO_HOLD,
    TO_RESTART,
    TO_SHUT_DOWN,
    WAITING,
    WARNING,
    Outage,
    SupervisorState,
)

CONCERNED = {
    WARNING: frozenset((RUNNING, HOLDING, HELD, BACKOFF, RESTARTING, LEAVING)),
    STOPPING: frozenset((RUNNING, HOLDING, HELD, BACKOFF, RESTARTING, LEAVING)),
    WAITING: frozenset((HELD, BACKOFF)),
    STARTING: frozenset((HELD, RESTARTING, LEAVING)),
}
"""Statuses of members that a phase still has something to do with."""


def evolve(state: SupervisorState, event: object) -> SupervisorState:
    """Fold one event."""
    return _settled(_fold(state, event))


def _fold(state: SupervisorState, event: object) -> SupervisorState:
    match event:
        case e.Configured(policy):
            return attrs.evolve(state, policy=policy, configured=True)
        case e.Declared():
            return _declared(state, event)
        case process.ProcessStarted(start, _, _, names, at_s, boot_id):
            return attrs.evolve(_started(state, names, at_s, boot_id), starts=start, stopped="")
        case e.SupervisingBegan(names, at_s, boot_id):
            return _started(state, names, at_s, boot_id)
        case process.ProcessStopped(clean):
            return attrs.evolve(state, stopped="clean" if clean else "unclean")
        case e.StoppingStarted() | e.HostWasWarned() | e.Escalated() | e.ShutDown() | e.ChildrenHeld():
            return _fold_down(state, event)
        case e.ChildrenStarting(members):
            outage = Outage("", members, TO_RESTART, STARTING)
            return attrs.evolve(state, outage=outage, down="", down_because="", restarts_at_s=())
    return _fold_child(state, event)


def _fold_child(state: SupervisorState, event: object) -> SupervisorState:
    match event:
        case e.ChildAdded(name, at_s, boot_id, spec):
            specs = {key: value for key, value in state.specs.items() if key != name}
            known = attrs.evolve(state, specs={**specs, name: spec} if spec is not None else state.specs)
            return _with(known, name, children.add(state.children.get(name), name, at_s, boot_id))
        case e.ChildRemoved(name) if name in state.children:
            return _with(state, name, children.leave(state.children[name]))
        case e.ChildFailed(error=error, handling=handling):
            return _failed(state, event, error, handling)
        case e.ChildEnded():
            return _failed(state, event, ENDED, "")
        case e.ChildStopped(name) if name in state.children:
            return _with(state, name, children.stop(state.children[name]))
        case e.HoldStarted(name):
            return _with(state, name, children.hold(state.children[name]))
        case e.ChildHeld(name) if name in state.children:
            return _with(state, name, children.held(state.children[name]))
        case e.RestartScheduled():
            return _scheduled(state, event)
        case e.RestartStarted(name):
            return _with(_starting(state, name), name, children.begin(state.children[name]))
        case e.ChildRestarted(name, _, _, at_s):
            return _restarted(state, name, at_s)
        case e.ChildGivenUp(name):
            return _with(state, name, children.give_up(state.children[name]))
    return state


ENDED = "ended by itself"
"""What stands for an error when there was none."""


def _declared(state: SupervisorState, event: e.Declared) -> SupervisorState:
    before = {spec.id for spec in state.supervision.children}
    came = {name: spec for name, spec in state.specs.items() if name not in before}
    specs = {**came, **{spec.id: spec for spec in event.supervision.children}}
    return attrs.evolve(state, supervision=event.supervision, specs=specs)


def _started(state: SupervisorState, names: tuple[str, ...], at_s: float, boot_id: str) -> SupervisorState:
    """Every child runs anew in this process, and what the one before was about to do with them is void."""
    now = {name: children.new_child(name, at_s, boot_id) for name in names}
    for name, child in state.children.items():
        policy = state.policy_of(name)
        kept = children.carry_over(child, policy, at_s, boot_id, listed=name in now)
        if kept is not None:
            now[name] = kept
    declared = {spec.id for spec in state.supervision.children}
    specs = {name: spec for name, spec in state.specs.items() if name in now or name in declared}
    return attrs.evolve(state, children=now, specs=specs, outage=None, down="", down_because="")


def _fold_down(state: SupervisorState, event: object) -> SupervisorState:
    match event:
        case e.StoppingStarted(name, members, purpose, reason, attempt, warned_first):
            phase = WARNING if warned_first else STOPPING
            after = attrs.evolve(state, outage=Outage(name, members, purpose, phase, reason, attempt))
            for member in members:
                status = state.children[member].status
                if status == BACKOFF or (member == name and status in {RUNNING, RESTARTING}):
                    after = _with(after, member, children.held(state.children[member]))
            return after
        case e.HostWasWarned() if state.outage is not None:
            return attrs.evolve(state, outage=attrs.evolve(state.outage, phase=STOPPING))
        case e.Escalated(_, reason):
            return attrs.evolve(state, outage=None, down=TO_ESCALATE, down_because=reason)
        case e.ShutDown(name):
            return attrs.evolve(state, outage=None, down=TO_SHUT_DOWN, down_because=f"{name} ended")
        case e.ChildrenHeld():
            return attrs.evolve(state, outage=None, down=TO_HOLD, down_because="stopped by the parent")
    return state


def _failed(state: SupervisorState, event: e.ChildFailed | e.ChildEnded, error: str, handling: str) -> SupervisorState:
    name, at_s, boot_id = event.child, event.at_s, event.boot_id
    before = state.children.get(name) or children.new_child(name, at_s, boot_id)
    after = children.fail(before, at_s, boot_id, error, handling, handled=event.handled)
    outage = state.outage
    going_down = outage is not None and outage.phase in {WARNING, STOPPING} and name in outage.members
    if after is not None and going_down and (after.status == RUNNING or handling == "restart"):
        after = children.held(after)  # it need not be stopped any more
    return _with(state, name, after)


def _scheduled(state: SupervisorState, event: e.RestartScheduled) -> SupervisorState:
    name, due, policy = event.child, event.due, state.policy_of(event.child)
    child = children.schedule(state.children[name], event.attempt, due, policy.intensity)
    if event.members and state.outage is not None:
        state = attrs.evolve(state, outage=attrs.evolve(state.outage, phase=WAITING, child=name))
    if child.kind == children.ACTOR and state.supervision.excess == ESCALATE:
        before = state.restarts_at_s if state.restarts_boot == due.boot_id else ()
        times = (*before, due.monotonic_s - due.delay_s)[-max(1, state.policy.intensity) :]
        state = attrs.evolve(state, restarts_at_s=times, restarts_boot=due.boot_id)
    return _with(state, name, child)


def _starting(state: SupervisorState, name: str) -> SupervisorState:
    """Whichever is the first to be started ends the waiting."""
    outage = state.outage
    if outage is None or outage.phase != WAITING or name not in outage.members:
        return state
    after = attrs.evolve(state, outage=attrs.evolve(outage, phase=STARTING))
    first = state.children.get(outage.child)
    if first is not None and first.status == BACKOFF and outage.child != name:
        return _with(after, outage.child, children.held(first))
    return after


def _restarted(state: SupervisorState, name: str, at_s: float) -> SupervisorState:
    before, outage = state.children[name], state.outage
    after = children.finish(before, at_s)
    going_down = outage is not None and outage.phase in {WARNING, STOPPING} and name in outage.members
    if after is not None and before.failed_again and going_down:
        after = children.held(after)
    return _with(state, name, after)


def _settled(state: SupervisorState) -> SupervisorState:
    """Once a restart of several has nothing left to do with any of them, it is over."""
    outage = state.outage
    if outage is None or outage.purpose != TO_RESTART:
        return state
    left = (state.status(name) in CONCERNED[outage.phase] for name in outage.members)
    return state if any(left) else attrs.evolve(state, outage=None)


def _with(state: SupervisorState, name: str, child: ChildState | None) -> SupervisorState:
    if child is not None:
        return attrs.evolve(state, children={**state.children, name: child})
    others = {key: value for key, value in state.children.items() if key != name}
    return attrs.evolve(state, children=others)
