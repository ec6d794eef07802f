"""What a supervisor takes up again after its own restart: what is due, and what was begun and may not have ended."""

from __future__ import annotations

from lrm_actors.domain.behavior import Command, Context, Decision, StartTimer, then
from lrm_actors.domain.children import (
    BACKOFF,
    GIVEN_UP,
    HOLDING,
    LEAVING,
    RESTARTING,
    STOPPED,
    ChildState,
    RestartPolicy,
)
from lrm_actors.domain.supervision import events as e
from lrm_actors.domain.supervision.commands import RestartDue, RestartInDoubt, TellParentAgain, WarnHostAgain
from lrm_actors.domain.supervision.course import timer_key
from lrm_actors.domain.supervision.declaring import AS_BEFORE, Supervision
from lrm_actors.domain.supervision.state import WARNING, SupervisorState

RECOVERY_GRACE_S = 1.0
"""Least delay of what recovery takes up again. ``StartSupervising`` of a new process comes within it and voids what the
dead process had pending; and a restart that is under way may come to its end."""
IN_DOUBT = frozenset((RESTARTING, LEAVING, GIVEN_UP, HOLDING, STOPPED))
"""Statuses of a child with which something was begun: it may not have been stopped either."""


def recover(
    state: SupervisorState,
    ctx: Context,
    *,
    policy: RestartPolicy | None = None,
    supervision: Supervision = AS_BEFORE,
) -> Decision:
    """Take up what the log knows of: what is due, and what has no end yet. Record what the code declares now."""
    events: list[object] = []
    if policy is not None and not state.configured:
        events.append(e.Configured(policy))
    if supervision != state.supervision:
        events.append(e.Declared(supervision))
    effects = [] if state.stopped else [*timers(state, ctx), *_about_itself(state)]
    return then(*events, effects=effects)


def timers(state: SupervisorState, ctx: Context) -> list[StartTimer]:
    """What has to be started for the children."""
    found = [_timer(name, child, ctx) for name, child in state.children.items()]
    return [timer for timer in found if timer is not None]


def _timer(name: str, child: ChildState, ctx: Context) -> StartTimer | None:
    if child.status == BACKOFF and child.due is not None:
        return StartTimer(timer_key(name), max(RECOVERY_GRACE_S, child.due.remaining_s(ctx.now)), RestartDue(name))
    if child.status in IN_DOUBT:
        return StartTimer(timer_key(name), RECOVERY_GRACE_S, RestartInDoubt(name))
    return None


def _about_itself(state: SupervisorState) -> list[StartTimer]:
    commands: list[Command] = []
    if state.outage is not None and state.outage.phase == WARNING:
        commands.append(WarnHostAgain())
    if state.down:
        commands.append(TellParentAgain())
    return [StartTimer("itself", RECOVERY_GRACE_S, command) for command in commands]
