"""Thousands of commands for each actor, as a long life would bring them, and how large its state becomes.

Names that come from outside are new ones again and again, where the actor must bound them itself. Where the host bounds
them, the components it registers and the services it calls, they are a few.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from eventstore.codec import encode_state
from eventstore.records import Instant
from lrm_actors.domain import analyzer, breaker, checkpointer, journal, modes, monitor, supervisor
from lrm_actors.domain.behavior import Context, Spec
from lrm_actors.domain.deadlines import deadline
from lrm_actors.errors import CommandRefused

COMPONENTS = tuple(f"component-{number}" for number in range(20))
"""What a host registers."""
TEXT = "something went wrong in a way that takes a whole line to tell, as it often does " * 3

Make = Callable[[int, Instant, random.Random], list[Any]]
"""The commands of one moment: how many there were, the moment, and chance."""


def _supervisor(number: int, now: Instant, chance: random.Random) -> list[Any]:
    child = f"component:{COMPONENTS[number % 20]}"
    new = f"component:new-{number}"
    return [
        supervisor.StartSupervising(tuple(f"component:{one}" for one in COMPONENTS), number),
        supervisor.ReportFailure(child, f"Error{number}", TEXT, "start"),
        supervisor.RestartDue(child),
        supervisor.RestartDone(child, 1.0) if chance.random() < 0.5 else supervisor.RestartFailed(child, "E", TEXT),
        supervisor.AddChild(new),
        supervisor.RemoveChild(new),
        supervisor.StopSupervising(clean=True, reason=TEXT),
    ]


def _monitor(number: int, now: Instant, chance: random.Random) -> list[Any]:
    component = COMPONENTS[number % 20]
    return [
        monitor.RecordSample(monitor.Metrics(chance.random() * 100, unknown={"memory_percent": f"reason {number}"})),
        monitor.RecordObservations((monitor.Observation(component, 9.0, 1.0),)),
        monitor.RecordObservations((monitor.Observation(component, 0.1, 1.0),)),
        monitor.NoteComponentFailed(f"new-{number}", now.monotonic_s, now.boot_id),
        monitor.NoteComponentRestarted(f"new-{number}"),
        monitor.RecordPressure(monitor.Metrics(memory_percent=chance.random() * 100)),
        monitor.SampleMissing(number),
    ]


def _analyzer(number: int, now: Instant, chance: random.Random) -> list[Any]:
    facts = analyzer.FailureFacts(f"new-{number}", (f"Error{number}",), TEXT[:250], observation="heartbeat_missed")
    return [analyzer.RecordFailure(facts), analyzer.NoteRecovery(f"new-{number}", ok=chance.random() < 0.1)]


def _checkpointer(number: int, now: Instant, chance: random.Random) -> list[Any]:
    checkpoint_id = f"checkpoint_{number:013d}_abcd"
    kind = chance.choice((checkpointer.PERIODIC, checkpointer.EMERGENCY, checkpointer.MANUAL))
    return [
        checkpointer.TakeCheckpoint(kind, TEXT),
        checkpointer.StoreCheckpoint(checkpoint_id, kind, TEXT, b"data", "digest", 4, number),
        checkpointer.MarkDamaged(checkpoint_id, TEXT) if number % 3 else checkpointer.ReportRestored(checkpoint_id),
    ]


def _modes(number: int, now: Instant, chance: random.Random) -> list[Any]:
    health = chance.choice(tuple(modes.MODE_FOR_HEALTH))
    return [modes.ConsiderHealth(health, f"{TEXT} {number}"), modes.ReduceLoad(TEXT), modes.Pin(None)]


def _journal(number: int, now: Instant, chance: random.Random) -> list[Any]:
    end = journal.CommitStep(number, TEXT) if number % 3 else journal.AbandonStep(number, TEXT)
    return [journal.OpenJournal(), journal.BeginStep(f"step {number}"), _Ended(end)]


@attrs.frozen
class _Ended:
    """The end of whichever step is open."""

    like: Any


def _breaker(number: int, now: Instant, chance: random.Random) -> list[Any]:
    generation = 1_000 * number
    return [
        breaker.ReportTrip(generation, tuple(f"status {number}: {TEXT}" for _ in range(5)), deadline(now, 60.0)),
        breaker.ReportProbeStarted(generation + 1),
        *(breaker.ReportProbe(generation + 2 * again, ok=False, failure=TEXT[:100]) for again in range(1, 5)),
        breaker.ReportProbe(generation + 20, ok=chance.random() < 0.5, failure=TEXT[:100]),
        breaker.ForceState(chance.choice(("open", "closed")), TEXT),
    ]


GROWING: dict[str, tuple[Spec[Any], Make]] = {
    "supervisor": (supervisor.spec(), _supervisor),
    "monitor": (monitor.spec(), _monitor),
    "analyzer": (analyzer.spec(), _analyzer),
    "checkpointer": (checkpointer.spec(), _checkpointer),
    "modes": (modes.spec(), _modes),
    "journal": (journal.spec(), _journal),
    "breaker": (breaker.spec("llm"), _breaker),
}


def sizes(spec: Spec[Any], make: Make, commands: int, every: int) -> Iterator[int]:
    """Bytes of the state after each so many commands."""
    chance, ids = random.Random(11), itertools.count()
    state, given, events = spec.initial, 0, 0
    for number in itertools.count(1):
        for command in make(number, _now(given), chance):
            now, given = _now(given), given + 1
            ctx = Context(now, "command", "all", random=chance.random, new_id=lambda: f"id-{next(ids)}")
            meant = attrs.evolve(command.like, step=state.open.step) if isinstance(command, _Ended) else command
            try:
                decision = spec.decide(state, meant, ctx)
            except CommandRefused:
                continue
            for fact in decision.events:
                state = spec.evolve(state, fact)
                events += 1
            if given % every == 0:
                yield len(encode_state(state))
            if given >= commands:
                assert events > commands / 3, "too little happened to prove anything"
                return


def _now(given: int) -> Instant:
    """Half a second further with each command, so that windows fill."""
    return Instant(1_700_000_000.0 + given / 2, 1_000.0 + given / 2, "boot")
