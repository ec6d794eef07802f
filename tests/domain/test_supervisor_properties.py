"""The supervisor under any sequence of commands: fold, delays, intensity, and one restart of a child at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.domain import supervisor
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, then
from lrm_actors.domain.supervisor import (
    AddChild,
    CachesDone,
    ClearCaches,
    RemoveChild,
    ReportFailure,
    RestartChild,
    RestartComponent,
    RestartDone,
    RestartDue,
    RestartFailed,
    RestartPolicy,
    RestartScheduled,
    RestartStarted,
    StartSupervising,
    StopSupervising,
    SupervisorState,
)
from tests.domain.kit import Run

CHILDREN = ("actor:monitor", "component:browser", "component:llm")
POLICY = RestartPolicy(backoff_initial_s=1.0, backoff_max_s=5.0, jitter=0.5, intensity=3, period_s=30.0)

Step = Command | float | str


class History:
    """Runs steps and checks after each that nothing happened that must not.

    A step is a command, or seconds that pass, or ``crash`` (another process takes the log up).
    """

    def __init__(self, spec: Spec[SupervisorState]) -> None:
        self.run = Run.of(spec)
        self.run.tell(StartSupervising(CHILDREN, 1))
        self.in_flight: set[str] = set()
        self.scheduled: dict[str, list[float]] = {}

    def take(self, step: Step, chance: float = 0.99) -> None:
        """Take one step, and look at what it led to."""
        match step:
            case float():
                self.run.seconds += step
            case str():
                self.in_flight.clear()
                self.run.recover()
                self._look(self.run.tell(StartSupervising(CHILDREN, 2, predecessor_exit=-9)))
            case RestartDone(child) | RestartFailed(child):
                # Only whoever carries a restart out can end it.
                if child in self.in_flight:
                    self.in_flight.discard(child)
                    self._look(self.run.tell(step, chance=chance))
            case Command():
                self._look(self.run.tell(step, chance=chance))

    def _look(self, events: Sequence[object]) -> None:
        for fact in events:
            if isinstance(fact, RestartScheduled):
                self._look_at_restart(fact)
        for effect in self.run.effects(RestartChild):
            assert effect.child not in self.in_flight, f"two restarts of {effect.child} in flight"
            self.in_flight.add(effect.child)

    def _look_at_restart(self, fact: RestartScheduled) -> None:
        assert 0.0 <= fact.delay_s <= POLICY.backoff_max_s, f"waits {fact.delay_s} s"
        now_s = self.run.seconds
        times = [*(at for at in self.scheduled.get(fact.child, []) if now_s - at < POLICY.period_s), now_s]
        assert len(times) <= POLICY.intensity, f"{len(times)} restarts of {fact.child} in one period"
        self.scheduled[fact.child] = times


children = st.sampled_from(CHILDREN)
components = st.sampled_from([name.partition(":")[2] for name in CHILDREN if name.startswith("component")])
steps = st.one_of(
    st.floats(min_value=0.0, max_value=50.0),
    st.just("crash"),
    st.builds(ReportFailure, children, st.just("KeyError"), st.just(""), st.sampled_from(["start", "Tick"])),
    st.builds(RestartComponent, components, st.just("crash")),
    st.builds(RestartDue, children),
    st.builds(RestartDue, children),
    st.builds(RestartDone, children, st.just(0.1)),
    st.builds(RestartDone, children, st.just(0.1)),
    st.builds(RestartFailed, children, st.just("OSError"), st.just("")),
    st.builds(AddChild, children),
    st.builds(RemoveChild, children),
    st.builds(ClearCaches, components, st.just("memory")),
    st.builds(CachesDone, children, st.sampled_from(["", "OSError"])),
    st.builds(StopSupervising, st.booleans()),
)


@given(st.lists(steps, max_size=60), st.floats(min_value=0.0, max_value=1.0, exclude_max=True))
def test_any_sequence_keeps_the_rules(sequence: list[Step], chance: float) -> None:
    """Whatever happens in whatever order: the state is the fold, and restarts are bounded, capped, one at a time."""
    history = History(supervisor.spec(POLICY))
    for step in sequence:
        history.take(step, chance)


@given(st.lists(steps, max_size=60))
def test_no_child_is_forgotten(sequence: list[Step]) -> None:
    """As long as the process runs, a child that is down has a restart pending or under way, or was given up."""
    history = History(supervisor.spec(POLICY))
    for step in sequence:
        history.take(step)
    run = history.run
    for name, child in run.state.children.items():
        if child.status == "backoff" and not run.state.stopped:
            run.tell(RestartDue(name))
            assert [RestartChild(name, child.attempt)] == list(run.last.effects)
        if child.status == "restarting" and not run.state.stopped:
            assert name in history.in_flight or child.at_start


FAILING = [
    step
    for _ in range(5)
    for step in (
        ReportFailure("actor:monitor", "KeyError"),
        RestartDue("actor:monitor"),
        RestartDue("actor:monitor"),
        RestartDone("actor:monitor", 0.1),
    )
]
"""A child that fails again and again, and whose timer fires twice each time."""


def restarts_twice(state: SupervisorState, command: Any, ctx: Context) -> Decision:
    """Planted: a timer that fires twice begins two restarts."""
    if isinstance(command, RestartDue):
        return then(RestartStarted(command.child, 1), effects=(RestartChild(command.child, 1),))
    return supervisor.decide(state, command, ctx)


def jitter_on_top(state: SupervisorState, command: Any, ctx: Context) -> Decision:
    """Planted: jitter is added to a delay that was capped already."""
    decision = supervisor.decide(state, command, ctx)
    events = [
        RestartScheduled(fact.child, fact.attempt, POLICY.backoff_max_s * 1.2, fact.due)
        if isinstance(fact, RestartScheduled)
        else fact
        for fact in decision.events
    ]
    return attrs.evolve(decision, events=tuple(events))


def forgets_restarts(state: SupervisorState, event: object) -> SupervisorState:
    """Planted: the times of earlier restarts are not kept."""
    after = supervisor.evolve(state, event)
    kept = {name: attrs.evolve(child, restarted_at_s=()) for name, child in after.children.items()}
    return attrs.evolve(after, children=kept)


class Moody:
    """Planted: what an event changes depends on how often it was folded."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, state: SupervisorState, event: object) -> SupervisorState:
        """Fold one event, differently each time."""
        self.calls += 1
        return attrs.evolve(supervisor.evolve(state, event), starts=self.calls)


SPEC = supervisor.spec(POLICY)


@pytest.mark.parametrize(
    "planted",
    [
        attrs.evolve(SPEC, decide=restarts_twice),
        attrs.evolve(SPEC, decide=jitter_on_top),
        attrs.evolve(SPEC, evolve=forgets_restarts),
        attrs.evolve(SPEC, evolve=Moody()),
    ],
    ids=["two restarts at once", "longer than the cap", "no intensity", "not a fold"],
)
def test_planted_bugs_are_caught(planted: Spec[SupervisorState]) -> None:
    """The checker sees each of the bugs that it is there for."""

    def history(spec: Spec[SupervisorState]) -> None:
        course = History(spec)
        for step in FAILING:
            course.take(step)

    history(SPEC)
    with pytest.raises(AssertionError):
        history(planted)
