"""What events say: the outer watchdog's."""

from __future__ import annotations

from typing import Any

from lrm_actors.domain.signals import size_text
from lrm_actors.inspect.telling.words import says, tells, with_reason

says("outer.start_begun", "the process is about to be started, start {start}")
says("outer.process_started", "process {pid} runs, start {start}")
says("outer.start_failed", "start {start} failed: {error}: {message}")
says("outer.heartbeats_began", "the process sends heartbeats, the first one after {after_s:.1f} s")
says("outer.heartbeats_ended", "the process said that no heartbeats are to be expected")
says("outer.heartbeat_missed", "no heartbeat of the process for {age_s:.1f} s, {timeout_s:g} s allowed")
says("outer.given_up", "the process is not started again: {reason}")
says("outer.watch_ended", "the watchdog ends with exit code {exit_code}: {reason}")
says("outer.recorded_late", "the {count} events before this one were decided while there was no log: {reason}")


@tells("outer.watch_began")
def _(event: Any) -> str:
    why = "" if event.in_order else ", because the one before did not end in order"
    return f"watchdog {event.watch} of this log began (pid {event.pid}){why}"


@tells("outer.configured")
def _(event: Any) -> str:
    policy = event.policy
    return (
        f"kept alive, restarted {policy.restart}, {policy.max_restarts} times within {policy.within_s:g} s at most:"
        f" {' '.join(event.command)}"
    )


@tells("outer.processes_found")
def _(event: Any) -> str:
    pids = ", ".join(str(pid) for pid in event.pids)
    return f"a watchdog that died had left {pids} running, which are ended"


@tells("outer.memory_exceeded")
def _(event: Any) -> str:
    held, limit = size_text(event.memory_bytes), size_text(event.limit_bytes)
    return f"the process holds {held} of memory with all below it, {limit} allowed"


@tells("outer.signal_received")
def _(event: Any) -> str:
    return f"{event.name} came, {'which asks for the end' if event.stops else 'and is passed on'}"


@tells("outer.ending_begun")
def _(event: Any) -> str:
    return f"the process is asked to end by signal {event.number} ({event.why}), and has {event.due.delay_s:g} s for it"


@tells("outer.kill_begun")
def _(event: Any) -> str:
    why = {"grace": "it did not end in time", "again": "that was asked for twice"}.get(event.why, event.why)
    return f"the process is killed with all below it: {why}"


@tells("outer.process_exited")
def _(event: Any) -> str:
    reason = {"exit": "", "replace": ", to be replaced", "orphan": ", and nobody watched"}
    why = reason.get(event.why, f", ended because of {event.why}")
    return f"the process ended after {event.lasted_s:.1f} s{why}: {event.description}"


@tells("outer.cleared_up")
def _(event: Any) -> str:
    left = f", {len(event.left)} of them are there still" if event.left else ""
    return f"of what it had left running, {event.ended} were ended{left}"


@tells("outer.restart_scheduled")
def _(event: Any) -> str:
    attempt = f", attempt {event.attempt}" if event.attempt else ""
    return with_reason(f"the process will be started again in {event.due.delay_s:.2f} s{attempt}", event.because)
