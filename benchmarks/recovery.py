"""Coming back: how soon an actor of many events answers again, and whether a long log makes a system start slower.

Both end with the first answer. The disk is waited for as always: owning the log is a commit, and so is each stream.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import attrs

from benchmarks.durable_actors import CONSUMER, PRODUCER, Add, Count, Counted, add, forward
from benchmarks.harness import PAIRS, QUICK_PAIRS, Figure, ratio_of_pairs
from eventstore.codec import encode_state
from eventstore.opening import open_store
from eventstore.records import Batch, Cursor, Durability, NewEvent, Snapshot, StreamWrite
from lrm_actors.domain import supervisor
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, Wire, then
from lrm_actors.runtime.system import ActorSystem

EVENTS, EVENTS_QUICK = 100_000, 1_000
LONG, LONG_QUICK = 1_000_000, 2_000
SHORT, SHORT_QUICK = 1_000, 500
AFTER_SNAPSHOT = 499
"""Events after the newest snapshot: as many as there can be with a snapshot every 500, unless a turn had many."""
AT_ONCE = 1000


@attrs.frozen
class Look(Command):
    """Ask what the total is."""


def decide(state: Count, _command: Look, _ctx: Context) -> Decision:
    """Answer without an event."""
    return then(reply=state.total)


def consume(_state: Count, _command: Add, _ctx: Context) -> Decision:
    """Decide on a wired event without another."""
    return then()


SPEC = Spec(PRODUCER, Count(), decide, add, snapshot_at_stop=False)
"""It keeps no snapshot at its stop: the next start shall find as many events after the last as this one."""


def run(quick: bool) -> list[Figure]:
    """Both figures."""
    events, long, short = (EVENTS_QUICK, LONG_QUICK, SHORT_QUICK) if quick else (EVENTS, LONG, SHORT)
    with tempfile.TemporaryDirectory() as name:
        places = {count: Path(name) / f"{count}.db" for count in (events, long, short)}
        for count, place in places.items():
            fill(place, count)
        _recover_s(places[events], events)  # caches and imports are not what is measured
        times = [_recover_s(places[events], events) for _ in range(QUICK_PAIRS if quick else PAIRS)]
        starting = ratio_of_pairs(lambda: _start_s(places[long]), lambda: _start_s(places[short]), quick=quick)
    return [
        Figure(
            "recover_100k_ms",
            statistics.median(times) * 1e3,
            "lower",
            f"an actor of {events} events, the last {AFTER_SNAPSHOT} after its snapshot: from its start to its answer",
        ),
        Figure(
            "start_1m_vs_1k",
            starting,
            "lower",
            f"opening and starting a system whose log holds {long} events, over one of {short}: a ratio of times",
        ),
    ]


def fill(place: Path, events: int) -> None:
    """A log of one actor's events, with the snapshot that the actor would have kept, and a consumer that is done."""
    with open_store(place) as store:
        new = (NewEvent(Counted(1), correlation_id="c"),) * AT_ONCE
        for start in range(0, events, AT_ONCE):
            write = StreamWrite(PRODUCER, new[: min(AT_ONCE, events - start)])
            store.append(Batch((write,), durability=Durability.RELAXED))
        version = events - AFTER_SNAPSHOT
        snapshot = Snapshot(PRODUCER, version, SPEC.state_schema, encode_state(Count(version)))
        store.append(Batch(snapshots=(snapshot,), cursors=(Cursor(CONSUMER, events),)))


def _recover_s(place: Path, events: int) -> float:
    """One actor, from the start of its system over an open log until it has told its total."""
    with open_store(place) as store:
        began = time.perf_counter()
        system = ActorSystem(store, [SPEC])
        system.start()
        total = system.ask_blocking(PRODUCER, Look())
        took_s = time.perf_counter() - began
        system.stop()
    assert total == events
    return took_s


def _start_s(place: Path) -> float:
    """The supervisor, the actor whose events they are, and one that is wired to each of them."""
    began = time.perf_counter()
    with open_store(place) as store:
        specs: list[Spec[Any]] = [supervisor.spec(), SPEC, Spec(CONSUMER, Count(), consume, add)]
        system = ActorSystem(store, specs, wires=[Wire(Counted, CONSUMER, forward)])
        system.start()
        system.ask_blocking(PRODUCER, Look())
        took_s = time.perf_counter() - began
        system.stop()
    return took_s
