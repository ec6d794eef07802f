"""What events say: the supervisor's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lrm_actors.inspect.telling.words import child_name, says, short, tells, with_reason

says("supervisor.process_exit_observed", "the process before this one ended: {description}")
says("supervisor.child_added", "{child} is looked after from now on")
says("supervisor.child_removed", "{child} is looked after no more")
says("supervisor.restart_started", "the restart of {child} began, attempt {attempt}")
says("supervisor.child_restarted", "{child} was restarted in {duration_s:.2f} s, attempt {attempt}")
says("supervisor.child_given_up", "{child} was given up after {restarts} restarts within {period_s:g} s: {error}")
says("supervisor.child_ended", "{child} ended by itself, as it decided")
says("supervisor.child_resumed", "{child} goes on with the state it had, without {handling}: {error}")
says("supervisor.child_stopped", "{child} is stopped: {reason}")
says("supervisor.hold_started", "{child} is told to stop with others")
says("supervisor.host_warned", "the host was told that everything is going to be stopped: {reason}")
says("supervisor.escalated", "all children are stopped, and the supervisor failed to whoever is above it: {reason}")
says("supervisor.shut_down", "all children are stopped, and the supervisor is done, because {child} is")
says("supervisor.children_held", "all children are stopped, as the supervisor above wanted")
says("supervisor.caches_clearing_started", "{child} was asked to give memory back: {reason}")
says("supervisor.caches_cleared", "{child} gave memory back")


@tells("supervisor.configured")
def _(event: Any) -> str:
    policy = event.policy
    return (
        f"children may be restarted {policy.intensity} times within {policy.period_s:g} s,"
        f" after {policy.backoff_initial_s:g} to {policy.backoff_max_s:g} s"
    )


@tells("supervisor.declared")
def _(event: Any) -> str:
    declared = event.supervision
    children = f"{len(declared.children)} child{'' if len(declared.children) == 1 else 'ren'} declared"
    return f"{children}, restarted {declared.strategy}; too many restarts {declared.excess}"


@tells("supervisor.supervising_began")
def _(event: Any) -> str:
    return f"looks after {_several(event.children)} from now on"


@tells("supervisor.stopping_started")
def _(event: Any) -> str:
    why = f"because of {child_name(event.child)}" if event.child else "for the supervisor above"
    return with_reason(f"{_several(event.members)} are stopped, last to first, {why} ({event.purpose})", event.reason)


@tells("supervisor.child_held")
def _(event: Any) -> str:
    return f"{child_name(event.child)} {'is stopped' if event.in_time else 'did not stop in time'}, its messages wait"


@tells("supervisor.children_starting")
def _(event: Any) -> str:
    return f"{_several(event.members)} are started, first to last"


@tells("supervisor.restart_scheduled")
def _(event: Any) -> str:
    with_others = f", with {_several(event.members)}" if event.members else ""
    return f"{child_name(event.child)} will be restarted in {event.delay_s:.2f} s, attempt {event.attempt}{with_others}"


def _several(children: Sequence[str]) -> str:
    """Names of children, cut where there are many."""
    return short(", ".join(child.partition(":")[2] or child for child in children)) or "nobody"


@tells("supervisor.process_started")
def _(event: Any) -> str:
    why = ", because the one before did not end in order" if event.restarted else ""
    return f"process {event.start} of this log started (pid {event.pid}){why}"


@tells("supervisor.process_stopped")
def _(event: Any) -> str:
    return with_reason(
        "the process stopped in order" if event.clean else "the process stopped, not all in order", event.reason
    )


@tells("supervisor.child_failed")
def _(event: Any) -> str:
    while_doing = f" while handling {event.handling}" if event.handling else ""
    return with_reason(f"{child_name(event.child)} failed{while_doing}: {short(event.error)}", event.message)
