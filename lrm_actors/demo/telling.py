"""The demo's live lines: what was done, and what the log says the system did about it, one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventstore import Record
from lrm_actors.demo.injected import Injected
from lrm_actors.demo.ledger import STEP_COMMITTED
from lrm_actors.demo.plan import Kind
from lrm_actors.inspect import sentence

DONE = {
    Kind.KILL_AGENT: "✗ killed the agent (SIGKILL, pid {pid}) at step {step}",
    Kind.KILL_WORKER: "✗ killed the browser (SIGKILL, pid {pid}) at step {step}",
    Kind.FREEZE_WORKER: "✗ froze the browser (SIGSTOP, pid {pid}) at step {step}",
    Kind.SITE_HANGS: "✗ the site hangs from now on, at step {step}",
    Kind.SITE_FAILS: "✗ the site answers with status 500 from now on, at step {step}",
}
MARKS = {
    "supervisor.process_exit_observed": "!",
    "monitor.heartbeat_missed": "!",
    "monitor.component_exited": "!",
    "supervisor.child_given_up": "!",
    "breaker.opened": "!",
    "supervisor.child_restarted": "↻",
    "breaker.closed": "↻",
    "modes.changed": "~",
    "journal.step_repeated": "~",
}
"""Records that are told, and the mark of their line: ``!`` seen, ``↻`` recovered, ``~`` changed."""


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
    """The line of a record, in the words of ``lrm log``; None when it is not worth one."""
    if record.type == STEP_COMMITTED and "changes" in record.event.result:
        result = record.event.result
        changes = len(result["changes"]) if result["round"] > 1 else 0
        return f"✓ round {result['round']} finished: {result['pages']} pages, {changes} changes  [{record.position}]"
    mark = MARKS.get(record.type)
    return None if mark is None else f"{mark} {sentence(record)}  [{record.position}]"
