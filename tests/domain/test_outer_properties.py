"""Whatever the outer watchdog is told, in whatever order: it keeps every rule of an actor, and some of its own."""

from __future__ import annotations

import contextlib
from typing import Any

import attrs
import hypothesis
from hypothesis import strategies as st

from lrm_actors.domain import outer
from lrm_actors.domain.behavior import Command, Context, Decision, then
from lrm_actors.domain.outliving import events as e
from lrm_actors.errors import CommandRefused
from lrm_actors.testing.behavior_kit import BehaviorKit
from tests.domain.kit import Run

starts = st.integers(1, 4)
seconds = st.floats(0.0, 100.0)
policies = st.builds(
    outer.Policy,
    restart=st.sampled_from(outer.RESTARTS),
    first_beat_within_s=st.sampled_from((0.0, 5.0)),
    memory_limit_bytes=st.sampled_from((0, 100)),
    max_restarts=st.integers(0, 3),
    keep_orphans=st.booleans(),
)
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(outer.BeginWatch, st.just(7), policies, st.just(("agent",)), st.sampled_from(((), (8, 9)))),
    st.builds(outer.NoteStarted, starts, st.integers(2, 99), seconds),
    st.builds(outer.NoteStarted, starts, st.integers(2, 99), seconds),
    st.builds(outer.NoteStartFailed, starts, st.just("OSError"), st.just("no"), st.sampled_from((126, 127))),
    st.builds(outer.NoteFirstHeartbeat, seconds),
    st.builds(outer.NoteQuiet),
    st.builds(outer.NoteHeartbeatMissed, seconds),
    st.builds(outer.StartTimedOut, starts),
    st.builds(outer.NoteMemory, st.integers(0, 200)),
    st.builds(outer.NoteSignal, st.sampled_from((1, 2, 10, 12, 15))),
    st.builds(outer.GraceOver, starts),
    st.builds(outer.NoteExit, starts, st.sampled_from((None, 0, 1, 75, 127, -9, -15)), st.just("last words")),
    st.builds(outer.NoteExit, starts, st.sampled_from((None, 0, 1, 75, 127, -9, -15)), st.just("last words")),
    st.builds(outer.NoteCleared, st.integers(0, 3), st.sampled_from(((), (9,)))),
    st.builds(outer.NoteCleared, st.integers(0, 3), st.sampled_from(((), (9,)))),
    st.just(outer.RestartNow()),
    st.builds(outer.NoteLate, st.integers(1, 3), st.just("disk full")),
)
LIVES = st.lists(COMMANDS, max_size=30)


def two_at_once(run: Run[outer.OuterState]) -> list[str]:
    """Where the log has a process started while another lives."""
    found, alive = [], False
    for fact in run.log:
        match fact:
            case e.StartBegun(start) if alive:
                found.append(f"start {start} beside another")
            case e.ProcessStarted():
                alive = True
            case e.ProcessExited():
                alive = False
    return found


def life(commands: list[Command], decide: Any = outer.decide) -> Run[outer.OuterState]:
    """The commands, handled one after the other."""
    run = Run.of(attrs.evolve(outer.spec(), decide=decide))
    run.tell(outer.BeginWatch(7, outer.Policy(), ("agent",)))
    for command in commands:
        run.seconds += 0.5
        run.tell(command)
    return run


@hypothesis.given(commands=LIVES)
def test_it_keeps_every_rule_of_an_actor(commands: list[Command]) -> None:
    """Pure, folded alike with and without snapshots, storable, after any restart."""
    kit: BehaviorKit[Any] = BehaviorKit(attrs.evolve(outer.spec(), snapshot_every=3))
    for command in commands:
        with contextlib.suppress(CommandRefused):
            kit.run(command)
    kit.restart()


@hypothesis.given(commands=LIVES)
def test_there_are_never_two_processes(commands: list[Command]) -> None:
    """One is only started when the one before has ended, or is known to be gone."""
    assert [] == two_at_once(life(commands))


@hypothesis.given(commands=LIVES)
def test_whoever_asked_for_the_end_gets_it(commands: list[Command]) -> None:
    """After SIGTERM nothing is started until somebody begins a new watch."""
    stopping = False
    for fact in life(commands).log:
        match fact:
            case e.SignalReceived(stops=True):
                stopping = True
            case e.WatchBegan():
                stopping = False
            case e.StartBegun():
                assert not stopping


@hypothesis.given(commands=LIVES)
def test_once_it_is_over_nothing_happens(commands: list[Command]) -> None:
    """Whatever is told late."""
    over = False
    for fact in life(commands).log:
        if isinstance(fact, e.WatchBegan):
            over = False
        assert not over or isinstance(fact, e.RecordedLate)
        over = over or isinstance(fact, e.WatchEnded)


def test_a_planted_start_beside_another_is_caught() -> None:
    """A watchdog that does not wait until the hung process has ended."""

    def hasty(state: outer.OuterState, command: Command, ctx: Context) -> Decision:
        decision = outer.decide(state, command, ctx)
        if isinstance(command, outer.NoteHeartbeatMissed) and decision.events:
            return then(*decision.events, e.StartBegun(state.start + 1, 0))
        return decision

    story: list[Command] = [
        outer.NoteStarted(1, 8, 1.0),
        outer.NoteFirstHeartbeat(0.1),
        outer.NoteHeartbeatMissed(61.0),
    ]
    assert ["start 2 beside another"] == two_at_once(life(story, hasty))
    assert [] == two_at_once(life(story))


def test_what_it_knows_stays_small() -> None:
    """After thousands of ends with long last words."""
    run = Run.of(outer.spec())
    run.tell(outer.BeginWatch(7, outer.Policy(max_restarts=1_000, within_s=1e6), ("agent",)))
    for number in range(1, 20):
        run.seconds += 100.0
        run.tell(outer.NoteStarted(number, 8, 1.0))
        run.tell(outer.NoteExit(number, 1, "x" * 4_096))
        run.tell(outer.NoteCleared(0))
        run.tell(outer.RestartNow())
    assert 10 == len(run.state.ends)
    assert ["", "x" * 4_096] == sorted({one.last_words for one in run.state.ends})
