"""The wiring table: each row, and that no chain of rows goes round for ever."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

import pytest

from eventstore.events import name_of
from eventstore.records import Instant, Record
from lrm_actors.domain import analyzer, breaker, checkpointer, journal, modes, monitor, supervisor
from lrm_actors.domain.behavior import MAX_DEPTH, Command, Context, Effect, Spec, StartTimer, Wire
from lrm_actors.domain.deadlines import deadline
from lrm_actors.hosting.capturing import NoCapture, NotTakenUp
from lrm_actors.hosting.carrying_out import _ACTS
from lrm_actors.wiring import WIRES

NOW = Instant(wall_s=1000.0, monotonic_s=10.0, boot_id="boot")
RECORD = Record(7, "any", 1, "any.thing", 1, (), NOW, None, None, "", 0, b"{}")
SAVED = {analyzer.EMERGENCY_CHECKPOINT, analyzer.STOP_AND_REPORT}
"""Strategies that the analyzer always has the state saved for; nothing else is to be done for them here."""
SPECS: list[Spec[Any]] = [module.spec() for module in (supervisor, monitor, analyzer, checkpointer, modes, journal)]
ACTORS = {spec.name for spec in SPECS}


def facts(component: str, message: str, observation: str, *, in_a_row: int = 1, **more: Any) -> analyzer.RecordFailure:
    """The command that a failure becomes."""
    told = analyzer.FailureFacts(component, message=message, observation=observation, **more)
    return analyzer.RecordFailure(told, in_a_row)


def chosen(strategy: str, component: str = "browser", *, saving: bool = False) -> analyzer.RecoveryChosen:
    """A strategy that was chosen."""
    return analyzer.RecoveryChosen(component, "crash", strategy, "it crashed", emergency_checkpoint=saving)


def before(strategy: str) -> checkpointer.TakeCheckpoint:
    """The state is saved before something risky is done."""
    reason = f"before {strategy} of browser"
    return checkpointer.TakeCheckpoint("emergency", reason, error="browser: crash", hints=("it crashed",))


def recorded(component: str) -> analyzer.FailureRecorded:
    """A failure on record."""
    return analyzer.FailureRecorded(
        component, "crash", "abc", "it crashed", analyzer.FailureFacts(component), 9.5, "boot"
    )


ROWS: list[tuple[object, str, object]] = [
    (
        monitor.HeartbeatMissed("browser", 3.25, 2.0),
        "analyzer",
        facts("browser", "no heartbeat for 3.2 s, 2.0 s allowed", "heartbeat_missed"),
    ),
    (
        monitor.ComponentExited("browser", -9, "exit by signal 9"),
        "analyzer",
        facts("browser", "exit by signal 9", "component_exited", exit_status=-9),
    ),
    (
        breaker.Opened("llm", 1, "3 timeouts in a row", deadline(NOW, 60.0)),
        "analyzer",
        facts("llm", "3 timeouts in a row", "breaker_opened"),
    ),
    (breaker.Opened("llm", 1, "forced: maintenance", deadline(NOW, 60.0)), "analyzer", None),
    (
        checkpointer.CheckpointFailed("c1", "OSError", "no space left", 6),
        "analyzer",
        facts("actor:checkpointer", "no space left", "checkpoint_failed", in_a_row=6, class_names=("OSError",)),
    ),
    (checkpointer.CheckpointFailed("c1", NoCapture.__name__, "not said how"), "analyzer", None),
    (checkpointer.CheckpointFailed("c1", NotTakenUp.__name__, "not recovered"), "analyzer", None),
    (checkpointer.CheckpointFailed("c1", checkpointer.INTERRUPTED, "killed"), "analyzer", None),
    (supervisor.ChildRestarted("component:browser", 1, 0.5), "analyzer", analyzer.NoteRecovery("browser", ok=True)),
    (supervisor.ChildRestarted("actor:monitor", 1, 0.5), "analyzer", None),
    (
        supervisor.ChildGivenUp("component:browser", 5, 60.0, "exit by signal 9"),
        "analyzer",
        analyzer.NoteRecovery("browser", ok=False),
    ),
    (supervisor.ChildGivenUp("actor:monitor", 5, 60.0, "KeyError"), "analyzer", None),
    (chosen(analyzer.RESTART_COMPONENT), "supervisor", supervisor.RestartComponent("browser", "it crashed")),
    (chosen(analyzer.RESTART_COMPONENT, "actor:checkpointer"), "supervisor", None),
    (chosen(analyzer.CLEAR_CACHES), "supervisor", supervisor.ClearCaches("browser", "it crashed")),
    (chosen(analyzer.RETRY_WITH_BACKOFF), "supervisor", None),
    (chosen(analyzer.WAIT_FOR_BREAKER), "supervisor", None),
    (
        chosen(analyzer.EMERGENCY_CHECKPOINT, saving=True),
        "checkpointer",
        checkpointer.TakeCheckpoint("emergency", "it crashed", error="browser: crash"),
    ),
    (
        chosen(analyzer.STOP_AND_REPORT, "", saving=True),
        "checkpointer",
        checkpointer.TakeCheckpoint("emergency", "it crashed", error="crash"),
    ),
    (chosen(analyzer.EMERGENCY_CHECKPOINT, "actor:checkpointer", saving=True), "checkpointer", None),
    (chosen(analyzer.CLEAN_UP_CHECKPOINTS), "checkpointer", checkpointer.CleanUp(gently=True)),
    (chosen(analyzer.CLEAN_UP_CHECKPOINTS, ""), "checkpointer", checkpointer.CleanUp(gently=True)),
    (chosen(analyzer.CLEAN_UP_CHECKPOINTS, "actor:log"), "checkpointer", checkpointer.CleanUp()),
    (chosen(analyzer.CLEAN_UP_CHECKPOINTS, "actor:checkpointer"), "checkpointer", checkpointer.CleanUp()),
    (chosen(analyzer.RESTART_COMPONENT), "checkpointer", before(analyzer.RESTART_COMPONENT)),
    (chosen(analyzer.RESTART_PROCESS, saving=True), "checkpointer", before(analyzer.RESTART_PROCESS)),
    (chosen(analyzer.RESTORE_CHECKPOINT), "checkpointer", None),
    (chosen(analyzer.RESTART_COMPONENT, "actor:checkpointer"), "checkpointer", None),
    (
        analyzer.RecoveryFinished("browser", ok=True),
        "checkpointer",
        checkpointer.TakeCheckpoint(checkpointer.PERIODIC, "after restart_component of browser"),
    ),
    (analyzer.RecoveryFinished("browser", ok=False), "checkpointer", None),
    (analyzer.RecoveryFinished("actor:checkpointer", ok=True), "checkpointer", None),
    (
        analyzer.RecoveryCarriedOut("browser", analyzer.RESTORE_CHECKPOINT, ok=True, message="c1"),
        "checkpointer",
        checkpointer.TakeCheckpoint(checkpointer.PERIODIC, "after restore_checkpoint of browser"),
    ),
    (analyzer.RecoveryCarriedOut("", analyzer.RESTORE_CHECKPOINT, ok=False, message="none"), "checkpointer", None),
    (analyzer.RecoveryCarriedOut("llm", analyzer.OPEN_BREAKER, ok=True, message="held"), "checkpointer", None),
    (journal.StepCommitted(7, "read", None), "checkpointer", checkpointer.NoteStep(7)),
    (checkpointer.TroubleNoted("3 in a row failed"), "monitor", monitor.NoteCheckpoints("3 in a row failed")),
    (
        monitor.HealthChanged("healthy", "critical", "disk 98.0 % full", signals=("disk",)),
        "checkpointer",
        checkpointer.CleanUp(gently=True),
    ),
    (monitor.HealthChanged("healthy", "critical", "inodes 99.0 %", signals=("inodes",)), "checkpointer", None),
    (chosen(analyzer.REDUCE_LOAD), "modes", modes.ReduceLoad("it crashed")),
    (chosen(analyzer.RESTART_COMPONENT), "modes", None),
    (recorded("browser"), "monitor", monitor.NoteComponentFailed("browser", 9.5, "boot")),
    (recorded("actor:checkpointer"), "monitor", None),
    (recorded(""), "monitor", None),
    (
        supervisor.ChildRestarted("component:browser", 1, 0.5),
        "monitor",
        monitor.NoteComponentRestarted("browser"),
    ),
    (supervisor.ChildRestarted("actor:modes", 1, 0.5), "monitor", None),
    (
        monitor.HealthChanged("healthy", "warning", "memory 81.0 %"),
        "modes",
        modes.ConsiderHealth("warning", "memory 81.0 %"),
    ),
    (
        monitor.HealthChanged("healthy", "critical", "memory 97.0 %"),
        "checkpointer",
        checkpointer.TakeCheckpoint(checkpointer.EMERGENCY, "health critical: memory 97.0 %"),
    ),
    (modes.ModeChanged("normal", "degraded", "health"), "monitor", monitor.NoteMode("degraded")),
    (modes.ModeChanged("normal", "degraded", "health"), "checkpointer", checkpointer.NoteMode("degraded")),
]


@pytest.mark.parametrize(("event", "to", "command"), ROWS, ids=lambda value: type(value).__name__)
def test_each_row_makes_its_command(event: object, to: str, command: object) -> None:
    """An event becomes exactly this command for this consumer, or none."""
    (wire,) = [wire for wire in WIRES if wire.event is type(event) and wire.to == to]

    assert command == wire.make(event, RECORD)


def test_every_row_is_shown_above() -> None:
    """A new row is not added without its example."""
    shown = {(type(event), to) for event, to, _ in ROWS}

    assert shown == {(wire.event, wire.to) for wire in WIRES}


def test_one_row_per_event_and_consumer() -> None:
    """A consumer's cursor passes each event once, so it can become one command only."""
    counted = Counter((wire.event, wire.to) for wire in WIRES)

    assert set(counted.values()) == {1}


def test_every_consumer_is_an_actor_and_every_event_is_declared() -> None:
    """A row for nobody would be a command that is lost in silence."""
    assert {wire.to for wire in WIRES} <= ACTORS
    assert all("." in name_of(wire.event) for wire in WIRES)


def test_every_strategy_that_acts_is_wired_to_who_acts() -> None:
    """What is left to the caller is the only exception, and a saved state comes with whatever else is done."""

    def acts(strategy: str, *, saving: bool) -> bool:
        event = chosen(strategy, saving=saving)
        return any(wire.make(event, RECORD) for wire in WIRES if wire.event is analyzer.RecoveryChosen)

    left = {analyzer.RETRY_WITH_BACKOFF, analyzer.WAIT_FOR_BREAKER, analyzer.LEAVE_ALONE, *_ACTS} | SAVED
    assert left - {analyzer.RESTART_PROCESS} == {
        strategy for strategy in analyzer.STRATEGIES if not acts(strategy, saving=False)
    }
    assert all(acts(strategy, saving=True) for strategy in analyzer.STRATEGIES)


def after_effect(effect: Effect) -> Command | None:
    """What comes back from an effect on the worst of days: nothing works."""
    match effect:
        case StartTimer(command=supervisor.RestartDue() as due):
            return due
        case supervisor.RestartChild(child):
            return supervisor.RestartFailed(child, "OSError", "cannot start")
        case supervisor.ClearChildCaches(child):
            return supervisor.CachesDone(child, "OSError", "cannot clear")
        case checkpointer.CaptureState(checkpoint_id):
            return checkpointer.CaptureFailed(checkpoint_id, "OSError", "no space left on device")
    return None


def settle(start: object, wires: tuple[Wire, ...] = WIRES, limit: int = 200) -> int:
    """Hand an event to all who are wired to it, and what follows to whoever comes next, until nothing follows.

    Returns how many wired hand-overs the longest chain had; more than ``limit`` decisions are a loop.
    """
    specs = {spec.name: spec for spec in SPECS}
    states: dict[str, Any] = {name: spec.initial for name, spec in specs.items()}
    listed = supervisor.StartSupervising(("component:browser", "component:llm"), pid=1)
    commands: deque[tuple[str, Command, int]] = deque([("supervisor", listed, 0)])
    longest = 0

    def hear(event: object, depth: int) -> None:
        for wire in wires:
            if wire.event is type(event):
                command = wire.make(event, RECORD)
                if command is not None:
                    commands.append((wire.to, command, depth + 1))

    hear(start, 0)
    for _ in range(limit):
        if not commands:
            return longest
        name, command, depth = commands.popleft()
        longest = max(longest, depth)
        decision = specs[name].decide(states[name], command, Context(NOW, "id", "correlation"))
        for event in decision.events:
            states[name] = specs[name].evolve(states[name], event)
            hear(event, depth)
        commands.extend((name, back, depth) for effect in decision.effects if (back := after_effect(effect)))
    msg = f"still going on after {limit} decisions: {commands}"
    raise AssertionError(msg)


@pytest.mark.parametrize("event", [event for event, _, _ in ROWS], ids=lambda event: type(event).__name__)
def test_no_chain_of_rows_goes_round_for_ever(event: object) -> None:
    """Even when no restart, capture or cleaning works, everything that follows from one event comes to an end."""
    assert settle(event) < MAX_DEPTH / 2


def test_the_check_sees_a_loop() -> None:
    """A row that answers a failed checkpoint with another checkpoint is found."""

    def again(event: checkpointer.CheckpointFailed, _: Record) -> Command:
        return checkpointer.TakeCheckpoint("emergency", "again")

    looping = (*WIRES, Wire(checkpointer.CheckpointFailed, to="checkpointer", make=again))

    with pytest.raises(AssertionError, match="still going on"):
        settle(checkpointer.CheckpointFailed("c1", "OSError", "no space left on device"), looping)
