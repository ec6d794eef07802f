"""What each event says, in one plain sentence; events nobody here knows are told by their fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from eventstore.events import LOCKED, UnknownEvent
from eventstore.records import Record
from lrm_actors.domain.signals import BY_NAME, size_text
from lrm_actors.domain.trends.trend import CPU_SATURATION, UNUSUAL_TRAFFIC
from lrm_actors.inspect.plain import plain

LEVELS = frozenset((CPU_SATURATION, UNUSUAL_TRAFFIC))
"""Trends whose rate is a level, and no growth."""
SAID = ("cpu", "memory")
"""Signals that are told of every sample."""
MAX_TEXT = 120
"""Characters of a text that a sentence repeats."""

_Teller = Callable[[Any], str]
_tellers: dict[str, _Teller] = {}


def sentence(record: Record) -> str:
    """What a record says: one line, and nothing in it that commands a terminal."""
    if not record.events:
        return "nothing any more: this form of the event was dropped"
    return plain("; ".join(_tell(record, event) for event in record.events))


def fields(record: Record) -> dict[str, Any]:
    """A record's payload exactly as it is stored."""
    payload = json.loads(record.data)
    return payload if isinstance(payload, dict) else {"": payload}


def child_name(child: str) -> str:
    """``component:browser`` as ``the component browser``."""
    kind, colon, name = child.partition(":")
    return f"the {kind} {name}" if colon else child


def short(text: str, length: int = MAX_TEXT) -> str:
    """A text on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _tell(record: Record, event: Any) -> str:
    teller = _tellers.get(record.type)
    if isinstance(event, UnknownEvent) and event.reason == LOCKED:
        return LOCKED
    if isinstance(event, UnknownEvent) or teller is None:
        return _by_fields(fields(record))
    try:
        return teller(event)
    except (AttributeError, TypeError, ValueError):  # a form of the event that is not the one we know
        return _by_fields(fields(record))


def _by_fields(payload: dict[str, Any]) -> str:
    told = (f"{name} {short(json.dumps(value, ensure_ascii=False), 40)}" for name, value in payload.items())
    return short(", ".join(told)) or "no fields"


def _tells(name: str) -> Callable[[_Teller], _Teller]:
    def declare(teller: _Teller) -> _Teller:
        _tellers[name] = teller
        return teller

    return declare


def _plain(name: str, text: str) -> None:
    """A sentence whose holes are filled from the event's fields; texts are cut where they are long."""
    _tellers[name] = lambda event: text.format_map(_Shortened(event))


class _Shortened(dict[str, Any]):
    """The fields of an event, by name."""

    def __init__(self, event: Any) -> None:
        super().__init__()
        self._event = event

    def __missing__(self, name: str) -> Any:
        value = getattr(self._event, name)
        if name == "child":
            return child_name(value)
        return short(value) if isinstance(value, str) else value


def _with(text: str, reason: str) -> str:
    return f"{text}: {short(reason)}" if reason else text


# --- supervisor ---------------------------------------------------------------------------------------------------

_plain("supervisor.process_exit_observed", "the process before this one ended: {description}")
_plain("supervisor.child_added", "{child} is looked after from now on")
_plain("supervisor.child_removed", "{child} is looked after no more")
_plain("supervisor.restart_started", "the restart of {child} began, attempt {attempt}")
_plain("supervisor.child_restarted", "{child} was restarted in {duration_s:.2f} s, attempt {attempt}")
_plain("supervisor.child_given_up", "{child} was given up after {restarts} restarts within {period_s:g} s: {error}")
_plain("supervisor.child_ended", "{child} ended by itself, as it decided")
_plain("supervisor.child_resumed", "{child} goes on with the state it had, without {handling}: {error}")
_plain("supervisor.child_stopped", "{child} is stopped: {reason}")
_plain("supervisor.hold_started", "{child} is told to stop with others")
_plain("supervisor.host_warned", "the host was told that everything is going to be stopped: {reason}")
_plain("supervisor.escalated", "all children are stopped, and the supervisor failed to whoever is above it: {reason}")
_plain("supervisor.shut_down", "all children are stopped, and the supervisor is done, because {child} is")
_plain("supervisor.children_held", "all children are stopped, as the supervisor above wanted")
_plain("supervisor.caches_clearing_started", "{child} was asked to give memory back: {reason}")
_plain("supervisor.caches_cleared", "{child} gave memory back")


@_tells("supervisor.configured")
def _(event: Any) -> str:
    policy = event.policy
    return (
        f"children may be restarted {policy.intensity} times within {policy.period_s:g} s,"
        f" after {policy.backoff_initial_s:g} to {policy.backoff_max_s:g} s"
    )


@_tells("supervisor.declared")
def _(event: Any) -> str:
    declared = event.supervision
    children = f"{len(declared.children)} child{'' if len(declared.children) == 1 else 'ren'} declared"
    return f"{children}, restarted {declared.strategy}; too many restarts {declared.excess}"


@_tells("supervisor.supervising_began")
def _(event: Any) -> str:
    return f"looks after {_several(event.children)} from now on"


@_tells("supervisor.stopping_started")
def _(event: Any) -> str:
    why = f"because of {child_name(event.child)}" if event.child else "for the supervisor above"
    return _with(f"{_several(event.members)} are stopped, last to first, {why} ({event.purpose})", event.reason)


@_tells("supervisor.child_held")
def _(event: Any) -> str:
    return f"{child_name(event.child)} {'is stopped' if event.in_time else 'did not stop in time'}, its messages wait"


@_tells("supervisor.children_starting")
def _(event: Any) -> str:
    return f"{_several(event.members)} are started, first to last"


@_tells("supervisor.restart_scheduled")
def _(event: Any) -> str:
    with_others = f", with {_several(event.members)}" if event.members else ""
    return f"{child_name(event.child)} will be restarted in {event.delay_s:.2f} s, attempt {event.attempt}{with_others}"


def _several(children: Sequence[str]) -> str:
    """Names of children, cut where there are many."""
    return short(", ".join(child.partition(":")[2] or child for child in children)) or "nobody"


@_tells("supervisor.process_started")
def _(event: Any) -> str:
    why = ", because the one before did not end in order" if event.restarted else ""
    return f"process {event.start} of this log started (pid {event.pid}){why}"


@_tells("supervisor.process_stopped")
def _(event: Any) -> str:
    return _with(
        "the process stopped in order" if event.clean else "the process stopped, not all in order", event.reason
    )


@_tells("supervisor.child_failed")
def _(event: Any) -> str:
    while_doing = f" while handling {event.handling}" if event.handling else ""
    return _with(f"{child_name(event.child)} failed{while_doing}: {short(event.error)}", event.message)


# --- monitor ------------------------------------------------------------------------------------------------------

_plain(
    "monitor.heartbeat_missed", "no heartbeat of the component {component} for {age_s:.1f} s, {timeout_s:g} s allowed"
)
_plain("monitor.component_exited", "the process of the component {component} is gone: {description}")
_plain("monitor.component_resumed", "the component {component} is well again by itself")
_plain("monitor.component_failure_noted", "the failure of the component {component} counts towards failing")
_plain("monitor.component_restart_noted", "the component {component} runs again")
_plain("monitor.mode_noted", "resources are looked at as in mode {mode}")
_plain("monitor.trends_begun", "what the last process did says nothing of where this one's memory is heading")
_plain("monitor.trend_cleared", "{kind} of {metric}, {stage}, is over after {lasted_s:.0f} s")
_plain("monitor.sample_overdue", "no sample of the resources came for {waited_s:.0f} s")


@_tells("monitor.checkpoints_noted")
def _(event: Any) -> str:
    return f"checkpoints are a warning: {event.reason}" if event.reason else "checkpoints are no warning any more"


@_tells("monitor.trend_suspected")
@_tells("monitor.trend_confirmed")
def _(event: Any) -> str:
    trend = event.trend
    sign = "" if trend.kind in LEVELS else "+"
    return f"{trend.kind} {trend.stage}: {trend.metric} {trend.rate:{sign}.2f} {trend.unit}, {short(trend.evidence)}"


@_tells("monitor.configured")
def _(event: Any) -> str:
    config = event.config
    return (
        f"resources are looked at every {config.interval_s:g} s;"
        f" cpu warns at {config.cpu_warning:g} %, is critical at {config.cpu_critical:g} %;"
        f" memory at {config.memory_warning:g} % and {config.memory_critical:g} %"
    )


@_tells("monitor.sampled")
def _(event: Any) -> str:
    return "resources: " + sample(event.metrics, event.levels)


@_tells("monitor.pressure_seen")
def _(event: Any) -> str:
    value = event.metrics.memory_percent
    return f"between two samples: memory {'unknown' if value is None else f'{value:.1f} %'}"


@_tells("monitor.health_changed")
def _(event: Any) -> str:
    if event.previous == event.status:
        return _with(f"health is {event.status} still", event.cause)
    return _with(f"health went from {event.previous} to {event.status}", event.cause)


@_tells("monitor.down_forgotten")
def _(event: Any) -> str:
    return f"what was seen down before this process is looked at afresh: {', '.join(event.components)}"


def sample(metrics: Any, levels: Iterable[str] = ()) -> str:
    """A sample: ``cpu 41.0 %, memory 83.2 %``, and whatever else of it is not healthy, ``disk 98.2 % full``.

    Args:
        metrics: the sample.
        levels: names of the signals that are not healthy after it.
    """
    told = []
    for name in SAID:
        value = getattr(metrics, f"{name}_percent")
        told.append(f"{name} {'unknown' if value is None else f'{value:.1f} %'}")
    for signal in (BY_NAME[name] for name in levels if name in BY_NAME and name not in SAID):
        value = None if signal.counter else signal.read(metrics)  # of a counter, one sample says nothing
        if value is not None:
            told.append(signal.say(value, metrics))
    return ", ".join(told)


# --- analyzer -----------------------------------------------------------------------------------------------------

_plain("analyzer.recovery_chosen", "for {component} the recovery {strategy} was chosen: {reason}")
_plain("analyzer.recovery_withheld", "for {component} {strategy} would have been chosen, but recovery is off: {reason}")


_plain("analyzer.pattern_found", "{component} has a pattern, {pattern}: {evidence} (severity {severity} of 5)")


@_tells("analyzer.recovery_judged")
def _(event: Any) -> str:
    outcome = {"superseded": "was superseded"}.get(event.outcome, event.outcome.replace("_", " "))
    return f"for {event.component} the recovery {event.strategy} {outcome}: {short(event.evidence)}"


_plain("analyzer.went_on", "a human looked after it, and it goes on: {reason}")


@_tells("analyzer.recovery_carried_out")
def _(event: Any) -> str:
    done = "is done" if event.ok else "cannot be done"
    return _with(f"{event.strategy} for {event.component or 'the agent'} {done}", event.message)


@_tells("analyzer.configured")
def _(event: Any) -> str:
    return "failures are acted on" if event.auto_recovery else "failures are recorded and not acted on"


@_tells("analyzer.failure_recorded")
def _(event: Any) -> str:
    return _with(f"{event.component or 'the agent'} failed: {event.category}", event.message)


@_tells("analyzer.recovery_finished")
def _(event: Any) -> str:
    return f"{event.component} {'came back' if event.ok else 'did not come back'}"


# --- checkpointer -------------------------------------------------------------------------------------------------

_plain("checkpointer.damage_found", "checkpoint {checkpoint_id} is damaged: {reason}")
_plain("checkpointer.mode_noted", "checkpoints are taken as in mode {mode}")
_plain("checkpointer.failed", "checkpoint {checkpoint_id} failed: {error}: {message}")


@_tells("checkpointer.configured")
def _(event: Any) -> str:
    config = event.config
    return f"a checkpoint is taken every {config.interval_s:g} s, the newest {config.max_checkpoints} are kept"


@_tells("checkpointer.requested")
def _(event: Any) -> str:
    return _with(f"{_a(event.kind)} checkpoint was asked for ({event.reason})", event.error)


@_tells("checkpointer.taken")
def _(event: Any) -> str:
    info = event.checkpoint
    stored = f" in {info.stored_bytes}" if info.stored_bytes else ""
    what = f"{_a(info.kind)} checkpoint {info.checkpoint_id} was stored"
    return f"{what}, {info.size_bytes} bytes{stored} as of #{info.position}"


@_tells("checkpointer.pruned")
def _(event: Any) -> str:
    count = len(event.checkpoint_ids)
    return _with(f"{count} checkpoint{'' if count == 1 else 's'} deleted", event.reason)


@_tells("checkpointer.change_missed")
def _(event: Any) -> str:
    return f"the way {event.way!r} of finding what changed was wrong at {', '.join(event.paths)}"


@_tells("checkpointer.trouble_noted")
def _(event: Any) -> str:
    return f"checkpoints are in trouble: {event.reason}" if event.reason else "checkpoints are in order again"


@_tells("checkpointer.pinned")
def _(event: Any) -> str:
    what = "stays whatever the rules say" if event.pinned else "is left to the rules again"
    return _with(f"checkpoint {event.checkpoint_id} {what}", event.reason)


@_tells("checkpointer.rebased")
def _(event: Any) -> str:
    count = len(event.rows)
    return f"{count} checkpoint{'' if count == 1 else 's'} stored anew, without what nobody keeps any more"


@_tells("checkpointer.restored")
def _(event: Any) -> str:
    count = len(event.passed_over)
    passed = f", {count} better one{'' if count == 1 else 's'} could not be used" if count else ""
    return f"the agent goes on from checkpoint {event.checkpoint_id}{passed}"


def _a(kind: str) -> str:
    return f"an {kind}" if kind[:1] in "aeiou" else f"a {kind}"


# --- breakers -----------------------------------------------------------------------------------------------------

_plain("breaker.opened", "the breaker of {service} opened: {reason}")
_plain("breaker.half_opened", "the breaker of {service} lets a probe through")
_plain("breaker.probe_failed", "a probe of {service} failed: {failure}")
_plain("breaker.probe_succeeded", "a probe of {service} succeeded")
_plain("breaker.closed", "the breaker of {service} closed: {reason}")
_plain("breaker.forced", "the breaker of {service} is held {status}: {reason}")


@_tells("breaker.configured")
def _(event: Any) -> str:
    config = event.config
    when = f"after {config.failure_threshold} failures in a row"
    if config.policy != "consecutive":
        window = f"{config.window_calls} calls" if config.policy == "count" else f"{config.window_s:g} s"
        when = f"when {config.failure_rate:.0%} of {window} fail"
    return f"opens {when}, for {config.recovery_timeout_s:g} s at first"


@_tells("breaker.failures_observed")
def _(event: Any) -> str:
    told = short("; ".join(event.failures))
    if event.share:
        return f"{event.share} of {event.service}, the last of them: {told}"
    return f"{len(event.failures)} calls of {event.service} failed in a row: {told}"


# --- modes --------------------------------------------------------------------------------------------------------

_plain("modes.restart_asked", "the process is to be replaced before memory runs out: {reason}")


@_tells("modes.memory_reclaimed")
def _(event: Any) -> str:
    if event.error:
        return _with(f"{event.name} could not give memory back", event.error)
    missing = f", {size_text(event.needed_bytes)} are missing still" if event.needed_bytes else ", which is enough"
    return f"{event.name} gave {size_text(event.freed_bytes)} of memory back{missing}"


@_tells("modes.configured")
def _(event: Any) -> str:
    return "the mode follows the health" if event.enabled else "the mode stays normal"


@_tells("modes.health_considered")
def _(event: Any) -> str:
    return _with(f"the mode is chosen for health {event.status}", event.cause)


@_tells("modes.load_reduced")
def _(event: Any) -> str:
    return _with("the load is to be reduced", event.reason) if event.reason else "the load is reduced no more"


@_tells("modes.pinned")
def _(event: Any) -> str:
    return _with("the mode is let go" if event.mode is None else f"the mode is held at {event.mode}", event.reason)


@_tells("modes.changed")
def _(event: Any) -> str:
    return _with(f"the mode went from {event.previous} to {event.mode}", event.cause)


# --- journal ------------------------------------------------------------------------------------------------------

_plain("journal.opened", "process {start} took the journal up")
_plain("journal.step_begun", "step {step} began: {name}, attempt {attempt}")
_plain("journal.step_committed", "step {step} is done: {name}")
_plain("journal.step_abandoned", "step {step} failed: {name}: {error}")
_plain("journal.step_in_doubt", "step {step} was begun by an earlier process and may have happened: {name}")
_plain("journal.step_repeated", "step {step} begins again, and may happen twice: {name}, attempt {attempt}")
_plain("journal.effect_intended", "effect {step}/{name}#{occurrence} is about to be carried out, attempt {attempt}")
_plain("journal.effect_failed", "effect {step}/{name}#{occurrence} failed: {error}")
_plain("journal.effect_in_doubt", "effect {step}/{name}#{occurrence} may have happened or not: {why}; policy: {policy}")


@_tells("journal.task_begun")
def _(event: Any) -> str:
    return f"step {event.step} is the task {event.task}{f' with key {event.key}' if event.key else ''}"


@_tells("journal.sleep_begun")
def _(event: Any) -> str:
    where = f"in step {event.step}" if event.inside else f"before step {event.step}"
    return f"the agent sleeps {event.until.delay_s:g} s {where}: {event.key}"


@_tells("journal.effect_done")
def _(event: Any) -> str:
    done = f"effect {event.step}/{short(event.name)}#{event.occurrence} is done"
    return f"{done}, but its result is not kept: {short(event.lost)}" if event.lost else done


_OUTCOMES = {
    "done": "it happened",
    "not_happened": "it did not happen",
    "skipped": "it is taken for done",
    "repeated": "it is done again",
    "left": "its step ended without anybody knowing",
}


@_tells("journal.effect_settled")
def _(event: Any) -> str:
    outcome = _OUTCOMES.get(event.outcome, event.outcome)
    return f"effect {event.step}/{short(event.name)}#{event.occurrence} is in doubt no more: {outcome} ({event.how})"


@_tells("journal.effects_forgotten")
def _(event: Any) -> str:
    doubt = f" and {event.in_doubt} in doubt" if event.in_doubt else ""
    return _with(f"step {event.step} ({short(event.name)}) forgot {event.finished} finished effects{doubt}", event.why)


# --- the outer watchdog -------------------------------------------------------------------------------------------

_plain("outer.start_begun", "the process is about to be started, start {start}")
_plain("outer.process_started", "process {pid} runs, start {start}")
_plain("outer.start_failed", "start {start} failed: {error}: {message}")
_plain("outer.heartbeats_began", "the process sends heartbeats, the first one after {after_s:.1f} s")
_plain("outer.heartbeats_ended", "the process said that no heartbeats are to be expected")
_plain("outer.heartbeat_missed", "no heartbeat of the process for {age_s:.1f} s, {timeout_s:g} s allowed")
_plain("outer.given_up", "the process is not started again: {reason}")
_plain("outer.watch_ended", "the watchdog ends with exit code {exit_code}: {reason}")
_plain("outer.recorded_late", "the {count} events before this one were decided while there was no log: {reason}")


@_tells("outer.watch_began")
def _(event: Any) -> str:
    why = "" if event.in_order else ", because the one before did not end in order"
    return f"watchdog {event.watch} of this log began (pid {event.pid}){why}"


@_tells("outer.configured")
def _(event: Any) -> str:
    policy = event.policy
    return (
        f"kept alive, restarted {policy.restart}, {policy.max_restarts} times within {policy.within_s:g} s at most:"
        f" {' '.join(event.command)}"
    )


@_tells("outer.processes_found")
def _(event: Any) -> str:
    pids = ", ".join(str(pid) for pid in event.pids)
    return f"a watchdog that died had left {pids} running, which are ended"


@_tells("outer.memory_exceeded")
def _(event: Any) -> str:
    held, limit = size_text(event.memory_bytes), size_text(event.limit_bytes)
    return f"the process holds {held} of memory with all below it, {limit} allowed"


@_tells("outer.signal_received")
def _(event: Any) -> str:
    return f"{event.name} came, {'which asks for the end' if event.stops else 'and is passed on'}"


@_tells("outer.ending_begun")
def _(event: Any) -> str:
    return f"the process is asked to end by signal {event.number} ({event.why}), and has {event.due.delay_s:g} s for it"


@_tells("outer.kill_begun")
def _(event: Any) -> str:
    why = {"grace": "it did not end in time", "again": "that was asked for twice"}.get(event.why, event.why)
    return f"the process is killed with all below it: {why}"


@_tells("outer.process_exited")
def _(event: Any) -> str:
    reason = {"exit": "", "replace": ", to be replaced", "orphan": ", and nobody watched"}
    why = reason.get(event.why, f", ended because of {event.why}")
    return f"the process ended after {event.lasted_s:.1f} s{why}: {event.description}"


@_tells("outer.cleared_up")
def _(event: Any) -> str:
    left = f", {len(event.left)} of them are there still" if event.left else ""
    return f"of what it had left running, {event.ended} were ended{left}"


@_tells("outer.restart_scheduled")
def _(event: Any) -> str:
    attempt = f", attempt {event.attempt}" if event.attempt else ""
    return _with(f"the process will be started again in {event.due.delay_s:.2f} s{attempt}", event.because)


# --- the log itself -----------------------------------------------------------------------------------------------

_plain("log.trimmed", "{removed} old events were removed because of the log's {because}; it begins at #{first} now")

# --- deliveries ---------------------------------------------------------------------------------------------------

_plain("deliveries.skipped", "{consumer} read on without {type} #{position} after {attempts} attempts: {reason}")

# --- dead letters ---------------------------------------------------------------------------------------------------

_plain("dead_letters.dropped", "{count} more messages to {to} were lost: {reason}")
_plain("dead_letters.resend_requested", "letter {letter} is to be sent again")
_plain("dead_letters.resent", "letter {letter} was sent again and handled")
_plain("dead_letters.resend_failed", "letter {letter} cannot be sent again: {problem}")


@_tells("dead_letters.added")
def _(event: Any) -> str:
    tried = f" after {event.attempts} attempts" if event.attempts else ""
    why = f"{event.error}: {event.message}" if event.message else event.error
    return _with(f"{event.command} to {event.to} became letter {event.letter}{tried}: {short(event.reason)}", why)


# --- watchdog -------------------------------------------------------------------------------------------------------

_plain("watchdog.handler_slow", "{actor} has had {handling} in hand for {elapsed_s:.1f} s")
_plain("watchdog.exhausted", "{actor} hangs on {handling} beside {zombies} others: the process is to be replaced")


@_tells("watchdog.actor_taken_over")
def _(event: Any) -> str:
    where = event.stack.strip().rpartition("\n")[2].strip()
    return _with(f"{event.actor} hung on {event.handling} for {event.elapsed_s:.1f} s and was taken over", where)
