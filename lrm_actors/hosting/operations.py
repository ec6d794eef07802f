"""What a mode can be asked to do, one function each, in blocking calls.

Talks to the engine. None of these is for an event loop's thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import attrs

from eventstore.errors import EventStoreError
from lrm_actors import report
from lrm_actors.actors.analyzer import facts_of, text_of
from lrm_actors.domain import analyzer, checkpointer, journal
from lrm_actors.domain.classify import FailureFacts, classify
from lrm_actors.domain.given import plain_text
from lrm_actors.domain.trends import telling
from lrm_actors.errors import (
    AskError,
    CaptureTimedOut,
    CheckpointNotStored,
    LrmError,
    NotCapturable,
    SettingsError,
    StepOrder,
)
from lrm_actors.hosting.answer import ChosenStrategy
from lrm_actors.hosting.capturing import NoCapture, NotTakenUp
from lrm_actors.hosting.host import check_storable
from lrm_actors.hosting.stepping import current_step
from lrm_actors.inspect import sections, standing
from lrm_actors.runtime.control import FAILED, NO_STORAGE, RUNNING, STARTING, STOPPED, SUSPENDED

if TYPE_CHECKING:
    from lrm_actors.hosting.engine import Engine
    from lrm_actors.hosting.running import Running
    from lrm_actors.runtime.reports import ActorStatistics

CHECKPOINT_TIMEOUT_S = 90.0
"""How long a checkpoint asked for by hand may take: the step, the host's function, and the packing."""
NEWEST_LOOKED_AT = 4
"""As many as captures are under way at a time."""
NOT_IN_TIME = frozenset((TimeoutError.__name__, StepOrder.__name__, checkpointer.OVERDUE))
"""Errors of a capture for which there was no moment between two steps, or that took too long."""
ENDS = ("checkpointer.taken", "checkpointer.failed")

_log = logging.getLogger("lrm_actors.mode")


def handle_failure(engine: Engine, error: BaseException, context: Mapping[str, Any] | None = None) -> ChosenStrategy:
    """Put a failure on record and have its recovery chosen; acted on through the wiring. Returns the strategy.

    A host that deals with a failure is not given another one: where the log cannot be written, the failure is
    classified all the same, and logged.

    Raises:
        SettingsError: the context is no mapping.
    """
    if context is not None and not isinstance(context, Mapping):
        raise SettingsError("context", context, "a mapping, as in {'component': 'browser', 'step': 3}, or None")
    known = context or {}
    component = known.get("component")
    facts = facts_of(error, "" if component is None else text_of(component), _step(known.get("step")))
    if (category := engine.rules.category(facts)) is not None:
        facts = attrs.evolve(facts, category=category)
    try:
        reply = engine.ask_blocking(analyzer.NAME, analyzer.RecordFailure(facts))
    except (LrmError, EventStoreError) as trouble:
        _log.error(
            "a failure of %r cannot be put on record (%s): %s", facts.component, trouble, facts.message,
            extra=engine.context.extra(),
        )  # fmt: skip
        return _strategy(facts)
    return ChosenStrategy(str(reply["strategy"]), reply)


def _step(given: object) -> int | None:
    """The number of the step in which something failed: the one given, or the one we are inside of."""
    if isinstance(given, int) and 0 <= given < 2**63:
        return int(given)
    inside = current_step()
    return None if inside is None else inside.number


def _strategy(facts: FailureFacts) -> ChosenStrategy:
    category = classify(facts)
    strategy, reason = analyzer.choose(category, facts)
    return ChosenStrategy(strategy, {"category": category, "reason": reason, "delay_s": facts.retry_after_s or 0.0})


def take_checkpoint(
    engine: Engine,
    reason: str,
    *,
    kind: str = checkpointer.MANUAL,
    error: str = "",
    timeout_s: float = CHECKPOINT_TIMEOUT_S,
) -> str:
    """Have a checkpoint taken, and wait until it is in the log. Returns its id; "" when the mode is switched off.

    Raises:
        SettingsError: the reason is no text, or there is no such kind.
        StepOrder: asked for inside a step. An emergency may be.
        NotCapturable: the host's state could not be captured; ``CaptureTimedOut``: not in time.
        CheckpointNotStored: the disk had no room for it.
        TimeoutError: it was not taken in time, and may still be.
        AskError: the request could not be stored.
    """
    reason = plain_text("reason", reason)
    if kind not in (checkpointer.MANUAL, checkpointer.EMERGENCY):
        raise SettingsError("kind", kind, f"{checkpointer.MANUAL} or {checkpointer.EMERGENCY}")
    kind = plain_text("kind", kind)
    if kind != checkpointer.EMERGENCY and current_step() is not None:
        raise StepOrder("a checkpoint cannot be taken inside a step", actor=checkpointer.NAME, hint="take it after")
    running = engine.running
    if running is None and not engine.settings.enable_long_running_mode:
        return ""
    check_storable("checkpointer.requested", "reason", [reason, error])
    engine.capturing.check()
    store = engine.store()
    changed = threading.Event()
    unsubscribe = store.subscribe(lambda _, types: changed.set() if types.intersection(ENDS) else None)
    try:
        position = store.head
        checkpoint_id: str = engine.ask_blocking(
            checkpointer.NAME, checkpointer.TakeCheckpoint(kind, reason, error=error)
        )
        until_s = engine.clock.monotonic() + timeout_s
        while True:
            changed.clear()
            for record in store.read(after=position, types=ENDS, removed="skip"):
                position = record.position
                if _ended(record.event, checkpoint_id):
                    if not _is_listed(engine, checkpoint_id):
                        _wait_until_listed(engine, until_s)
                    return checkpoint_id
            if not changed.wait(max(0.0, until_s - engine.clock.monotonic())):
                msg = f"{checkpoint_id} was not taken within {timeout_s:g} s"
                raise TimeoutError(msg)
    finally:
        unsubscribe()


def _is_listed(engine: Engine, checkpoint_id: str) -> bool:
    """Whether the actor's published state has a new checkpoint: it is among the newest, or nearly so."""
    newest = engine.state(checkpointer.NAME).kept[-NEWEST_LOOKED_AT:]
    return any(one.checkpoint_id == checkpoint_id for one in newest)


def _wait_until_listed(engine: Engine, until_s: float) -> None:
    """What is in the log is not in the actor's state yet: whoever lists the checkpoints next shall find this one."""
    left_s = until_s - engine.clock.monotonic()
    with suppress(AskError):  # it is in the log all the same
        engine.ask_blocking(checkpointer.NAME, checkpointer.ListCheckpoints(), timeout_s=max(0.01, left_s))


def _ended(event: Any, checkpoint_id: str) -> bool:
    match event:
        case checkpointer.CheckpointTaken(info):
            return bool(info.checkpoint_id == checkpoint_id)
        case checkpointer.CheckpointFailed(failed, error, message) if failed == checkpoint_id:
            raise _not_taken(checkpoint_id, error, message)
    return False


def _not_taken(checkpoint_id: str, error: str, message: str) -> LrmError:
    """What kept a checkpoint from being taken, as an error of its kind."""
    about = f"{checkpoint_id} was not taken: {error}: {message}"
    if error == checkpointer.FULL:
        return CheckpointNotStored(checkpoint_id, message)
    if error in NOT_IN_TIME:
        return CaptureTimedOut(about)
    for kind in (NoCapture, NotTakenUp):
        if error == kind.__name__:
            return kind(about)
    if error == NotCapturable.__name__:
        return NotCapturable(about)
    hint = "take it again" if error == checkpointer.INTERRUPTED else "see the functions given to capture_with()"
    return NotCapturable(about, hint=hint)


def last_checkpoint(engine: Engine, timeout_s: float) -> None:
    """A checkpoint at the end of an orderly run, if the host gives its state now. Best effort.

    While a step is open, as where a signal ends the host in the middle of one, it is an emergency one: that waits for
    no step, and the step is in doubt afterwards.
    """
    if not engine.capturing.can_capture:
        return
    kind, reason = checkpointer.MANUAL, "orderly stop"
    if engine.boundary.statistics().open_steps:
        kind, reason = checkpointer.EMERGENCY, "stopped while a step was open"
    try:
        take_checkpoint(engine, reason, kind=kind, timeout_s=timeout_s)
    except (LrmError, EventStoreError, TimeoutError) as error:
        _log.warning("no last checkpoint: %s", error, extra=engine.context.extra())


# --- health -------------------------------------------------------------------------------------------------------


def health_report(engine: Engine) -> dict[str, Any]:
    """The report, from published states; asks nobody, changes nothing."""
    running = engine.running
    if running is not None:
        return _live_report(engine, running)
    agent_id = engine.settings.agent_id
    if not engine.settings.enable_long_running_mode:
        return report.switched_off(
            agent_id,
            circuit_breakers=_breakers(engine),
            components={name: {} for name in engine.registry.statistics()},
            failures=sections.failures(engine.unlogged.state(analyzer.NAME)),
            steps=_steps(engine, engine.unlogged.state(journal.NAME)),
        )
    if engine.misplaced:  # its log could not be put back, and nothing runs
        (fallen,) = standing.of_log(engine.misplaced)
        return report.build(agent_id=agent_id, health_status=fallen.status, health_cause=fallen.why)
    if engine.final_report is not None:
        return {**engine.final_report, "health_cause": "the mode was stopped", "uptime_s": 0.0}
    return report.build(agent_id=agent_id, health_cause="the mode was not started", circuit_breakers=_breakers(engine))


def _live_report(engine: Engine, running: Running) -> dict[str, Any]:
    state, restarts = running.system.state, running.restarts()
    supervisor, monitor, modes = state("supervisor"), state("monitor"), state("modes")
    counted = running.store.statistics()
    statistics, actors = engine.registry.statistics(), running.system.statistics().actors
    given_up = engine.giving_up.told(running.store, supervisor)
    status, cause = sections.health(
        monitor,
        written=all(one.phase != NO_STORAGE for one in actors),
        watched=all(one.phase not in {FAILED, STOPPED, SUSPENDED} for one in actors if one.name == "monitor"),
        suspended=[one.name for one in actors if one.phase == SUSPENDED],
        fallen=_fallen(engine, standing.of_supervisor(supervisor, given_up), actors),
    )
    return report.build(
        agent_id=engine.context.agent_id,
        operation_mode=modes.mode,
        health_status=status,
        health_cause=cause,
        uptime_s=engine.clock.monotonic() - engine.up_since_s,
        **sections.metrics(monitor),
        mode=sections.mode(modes, engine.clock.now()),
        signals=sections.signals(monitor),
        history=monitor.history,
        trends=telling.report(monitor.trends),
        shedding=attrs.asdict(engine.shedding.statistics()),
        circuit_breakers=_breakers(engine),
        components=sections.components(
            supervisor,
            monitor,
            restarts=restarts,
            heartbeat_ages_s={name: one.heartbeat_age_s for name, one in statistics.items()},
            given_up=given_up,
        ),
        failures=sections.failures(state(analyzer.NAME)),
        checkpoints=sections.checkpoints(state(checkpointer.NAME), engine.clock.now()),
        steps=_steps(engine, state(journal.NAME)),
        actors={
            one.name: {
                "status": one.phase,
                "mailbox_depth": one.mailbox_depth,
                "version": one.version,
                "restarts": restarts.get(f"actor:{one.name}", 0),
            }
            for one in actors
        },
        log={"path": str(running.path), "head": counted.head, "size_bytes": counted.size_bytes},
    )


def _fallen(engine: Engine, known: list[standing.Fallen], actors: Sequence[ActorStatistics]) -> list[standing.Fallen]:
    """Who does not run: by what the supervisor published, and by what each actor is doing, for it may be the one."""
    phases = {one.name: one.phase for one in actors}
    busy_s = {one.name: one.busy_s for one in actors if one.phase in {STARTING, RUNNING}}
    return [
        *standing.of_process(exhausted=engine.exhausted),
        *standing.of_log(engine.misplaced),
        *known,
        *standing.of_phases(phases, known),
        *standing.of_busy(busy_s),
    ]


def _steps(engine: Engine, state: journal.JournalState) -> dict[str, Any]:
    return sections.steps(state, engine.clock.now(), progress=engine.stepping.progress())


def _breakers(engine: Engine) -> dict[str, dict[str, Any]]:
    """From the guards: they know of a trip before their actors do."""
    return {
        service: {
            "state": guard.state,
            "failure_count": guard.failure_count,
            "generation": guard.generation,
            "retry_after_s": guard.retry_after_s,
        }
        for service, guard in engine.guards.all().items()
    }
