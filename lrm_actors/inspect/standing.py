"""Whether those that keep an agent alive run themselves: our own actors, and the host's components.

Folded from a log, or published by a live system. A monitor judges resources, and says nothing of an actor that is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from eventstore.records import Instant, Record
from lrm_actors.domain.children import ACTOR, BACKOFF, GIVEN_UP, HELD, HOLDING, RESTARTING, STOPPED, ChildState
from lrm_actors.domain.health import CRITICAL, FAILING, STATUSES, WARNING
from lrm_actors.domain.supervisor import SupervisorState
from lrm_actors.inspect.giving_up import GivenUp

ESSENTIAL = frozenset(("supervisor", "journal", "checkpointer", "analyzer", "modes", "monitor"))
"""Without any of these the agent is not kept alive. A breaker's actor guards one service."""
SLOW_S, HUNG_S = 5.0, 60.0
"""As in ``runtime.watchdog.Watch``: who has one message in hand for that long does nothing else meanwhile, and is taken
over after the second."""
TEXT_LIMIT = 200
"""Characters of an error that are repeated."""
RESTART = "start the process again"
AGAIN = f"mend that and {RESTART}"
REGISTER = f"mend that and register it anew, or {RESTART}"
_SLOW, _TAKEN, _EXHAUSTED = "watchdog.handler_slow", "watchdog.actor_taken_over", "watchdog.exhausted"
_ON_THE_WAY = {
    BACKOFF: "failed and waits for its restart",
    RESTARTING: "failed and is being restarted",
    HOLDING: "is being stopped with others",
    HELD: "is held while others are restarted",
    "failed": "failed and waits for its restart",
    "halted": "is held while others are restarted",
}
"""What is to run again, by the status of a child or the phase of an actor."""


@frozen
class Fallen:
    """One that does not run, or does nothing."""

    name: str
    status: str
    """What the health is at least because of it."""
    why: str


def of_supervisor(state: SupervisorState, given_up: Mapping[str, GivenUp] | None = None) -> list[Fallen]:
    """Who does not run, as the supervisor knows.

    Args:
        state: the supervisor's.
        given_up: what the log tells of those that were given up.
    """
    told = given_up or {}
    found = []
    if state.down:
        because = f": {state.down_because}" if state.down_because else ""
        found.append(Fallen("supervisor", FAILING, f"the supervisor has stopped every actor{because}; {RESTART}"))
    for full, child in state.children.items():
        name = full.partition(":")[2]
        looked_after = _actor if child.kind == ACTOR else _component
        one = looked_after(name, child, told.get(full))
        if one is not None:
            found.append(one)
    return found


def of_phases(phases: Mapping[str, str], known: Iterable[Fallen] = ()) -> list[Fallen]:
    """Who does not run, by what the actors are doing.

    Args:
        phases: of every actor.
        known: what is known already and needs no second word.
    """
    told = {one.name for one in known}
    found = []
    for name, phase in phases.items():
        if name in told:
            continue
        if phase == STOPPED:
            found.append(Fallen(name, _at_worst(name, FAILING), f"{name} has stopped; {RESTART}"))
        elif phase in _ON_THE_WAY:
            found.append(Fallen(name, _at_worst(name, CRITICAL), f"{name} {_ON_THE_WAY[phase]}"))
    return found


def of_busy(busy_s: Mapping[str, float]) -> list[Fallen]:
    """Who hangs.

    Args:
        busy_s: seconds that each actor has had its turn in hand.
    """
    return [_hangs(name, f"for {since_s:.0f} s") for name, since_s in busy_s.items() if since_s >= SLOW_S]


def of_process(*, exhausted: bool) -> list[Fallen]:
    """What is wrong with the whole process: whether it is to be replaced, because more hangs than it can bear."""
    return [Fallen("process", FAILING, f"this process is to be replaced; {RESTART}")] if exhausted else []


def of_log(misplaced: str) -> list[Fallen]:
    """What is wrong with where the log lies, "" for nothing."""
    why = f"{misplaced}; what happens now is lost when this process ends"
    return [Fallen("log", FAILING, why)] if misplaced else []


def of_watchdog(reader: EventReader, now: Instant, *, after: int = 0) -> list[Fallen]:
    """Who hangs, as far as a log tells: it was seen to be slow of late, was not taken over, and did nothing since.

    Args:
        reader: the log.
        now: this moment.
        after: the position at which the process started.
    """
    slow: dict[str, tuple[Record, float]] = {}
    exhausted = False
    for record in reader.read(after=after, types=(_SLOW, _TAKEN, _EXHAUSTED), removed="skip"):
        exhausted = exhausted or record.type == _EXHAUSTED
        event = record.events[0] if record.events else None
        name = getattr(event, "actor", "")
        slow.pop(name, None)
        if record.type == _SLOW:
            slow[name] = record, getattr(event, "elapsed_s", 0.0)
    found = of_process(exhausted=exhausted)
    for name, (record, elapsed_s) in slow.items():
        since_s = now.monotonic_s - record.recorded_at.monotonic_s
        if record.recorded_at.boot_id == now.boot_id and since_s < HUNG_S and not _went_on(reader, name, record):
            found.append(_hangs(name, f"for {since_s + elapsed_s:.0f} s"))
    return found


def worst_first(fallen: Iterable[Fallen]) -> list[Fallen]:
    """The same, the worst first."""
    return sorted(fallen, key=lambda one: -STATUSES.index(one.status))


def runs(name: str, fallen: Iterable[Fallen]) -> bool:
    """Whether an actor runs, as far as is known."""
    return all(one.name != name for one in fallen)


def _actor(name: str, child: ChildState, told: GivenUp | None) -> Fallen | None:
    if child.status == GIVEN_UP:
        return Fallen(name, _at_worst(name, FAILING), f"{name} {_gave_up(child, told)}; {AGAIN}")
    if child.status == STOPPED:
        return Fallen(name, _at_worst(name, FAILING), f"{name} has stopped; {RESTART}")
    if child.status in _ON_THE_WAY:
        return Fallen(name, _at_worst(name, CRITICAL), f"{name} {_ON_THE_WAY[child.status]}{_error(child.last_error)}")
    return None


def _component(name: str, child: ChildState, told: GivenUp | None) -> Fallen | None:
    """What is on its way back is the monitor's to judge, and one that ended may have done its work."""
    return Fallen(name, CRITICAL, f"{name} {_gave_up(child, told)}; {REGISTER}") if child.status == GIVEN_UP else None


def _gave_up(child: ChildState, told: GivenUp | None) -> str:
    """When, after how much and for what; and where the log tells what led to it, as far as it is there to be asked."""
    if told is None:
        restarts = _restarts(len(child.restarted_at_s))
        return f"was given up{restarts}{_error(child.last_error)}; 'lrm why supervisor.child_given_up' tells why"
    at = datetime.fromtimestamp(told.at_s, UTC).isoformat(sep=" ", timespec="seconds")
    within = f"{_restarts(told.restarts)} within {told.period_s:g} s" if told.restarts else ""
    error = ": ".join(part for part in (told.error, told.message) if part)
    return f"was given up at {at}{within}{_error(error)}; 'lrm why {told.position}' tells what led to it"


def _restarts(number: int) -> str:
    return f" after {number} restart{'s' if number > 1 else ''}" if number else ""


def _error(error: str) -> str:
    words = " ".join(error.split())[:TEXT_LIMIT]
    return f": {words}" if words else ""


def _hangs(name: str, how_long: str) -> Fallen:
    why = f"{name} has had one message in hand {how_long}; 'lrm dump' shows where it is"
    return Fallen(name, _at_worst(name, CRITICAL), why)


def _at_worst(name: str, status: str) -> str:
    return status if name in ESSENTIAL else WARNING


def _went_on(reader: EventReader, name: str, slow: Record) -> bool:
    return any(True for _ in reader.read(after=slow.position, streams=(name,), limit=1, removed="skip"))
