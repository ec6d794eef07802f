"""The demo's live lines: what was done, and what the log says the system did about it, one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventstore import Record
from lrm_actors.demo.injected import Injected
from lrm_actors.demo.plan import Kind

DONE = {
    Kind.KILL_AGENT: "✗ killed the agent (SIGKILL, pid {pid}) at step {step}",
    Kind.KILL_WORKER: "✗ killed the browser (SIGKILL, pid {pid}) at step {step}",
    Kind.FREEZE_WORKER: "✗ froze the browser (SIGSTOP, pid {pid}) at step {step}",
    Kind.SITE_HANGS: "✗ the site hangs from now on, at step {step}",
    Kind.SITE_FAILS: "✗ the site answers with status 500 from now on, at step {step}",
}


def of_fault(fault: Injected) -> str:
    """The line of a fault that was done."""
    return DONE[fault.kind].format(pid=fault.pid, step=fault.step)


def of_start(start: int, message: Mapping[str, Any]) -> str:
    """The line of an agent that is up."""
    if start == 1:
        return "▶ the agent watches"
    doubt = "no step" if message["in_doubt"] is None else f"step {message['in_doubt']}"
    source = (
        f"from a checkpoint and {message['from_log']} from the log" if message["from_checkpoint"] else "from the log"
    )
    return f"↻ agent up again: {message['kept']} steps kept, {source}; {doubt} in doubt"


def of_record(record: Record) -> str | None:
    """The line of a record; None when it is not worth one."""
    event: Any = record.event if len(record.events) == 1 else None
    match record.type:
        case "supervisor.process_exit_observed":
            text = f"! it learns of its predecessor: {event.description}"
        case "monitor.heartbeat_missed":
            text = f"! no heartbeat of {event.component} for {event.age_s:.1f} s"
        case "monitor.component_exited":
            text = f"! {event.component} is gone: {event.description}"
        case "supervisor.child_restarted":
            text = f"↻ {event.child.partition(':')[2]} restarted in {event.duration_s:.1f} s"
        case "supervisor.child_given_up":
            text = f"! {event.child} given up after {event.restarts} restarts"
        case "breaker.opened":
            text = f"! breaker {event.service} opened: {event.reason}"
        case "breaker.closed":
            text = f"↻ breaker {event.service} closed: {event.reason}"
        case "modes.changed":
            text = f"~ mode {event.previous} -> {event.mode}: {event.cause}"
        case "journal.step_repeated":
            text = f"~ step {event.step} is repeated ({event.name})"
        case "journal.step_committed" if "changes" in event.result:
            changes = len(event.result["changes"]) if event.result["round"] > 1 else 0
            text = f"✓ round {event.result['round']} finished: {event.result['pages']} pages, {changes} changes"
        case _:
            return None
    return f"{text}  [{record.position}]"
