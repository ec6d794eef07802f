"""Every strategy under any sequence of failures, ends, restarts and crashes; and the bugs that this catches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lrm_actors.domain import backoff
from lrm_actors.domain import children as children_of
from lrm_actors.domain import supervisor as s
from lrm_actors.domain.behavior import Context, Decision, Spec
from lrm_actors.domain.supervision import failing
from lrm_actors.domain.supervision.state import SupervisorState
from tests.domain.supervised_world import CHILDREN, KINDS, Step, SupervisedWorld, declared

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
EXAMPLES, RELEASE_EXAMPLES = 50, 5_000

steps = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 5)), min_size=8, max_size=60)
kinds_of_children = st.lists(
    st.builds(
        s.ChildSpec,
        st.just(""),
        st.sampled_from(("permanent", "permanent", "transient", "temporary")),
        significant=st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


def named(drawn: list[s.ChildSpec], auto_shutdown: str) -> list[s.ChildSpec]:
    """These children, with names, and significant only where that is allowed."""
    allowed = auto_shutdown != "never"
    return [
        attrs.evolve(one, id=child, significant=allowed and one.significant and one.restart != "permanent")
        for one, child in zip(drawn, CHILDREN, strict=False)
    ]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_any_sequence_keeps_the_rules_of_a_strategy(strategy: str, release: bool) -> None:
    """Order, intensity, cap, backoff and fold, whatever happens; and in the end everybody is up, or down for good."""
    seen: list[int] = []

    @settings(max_examples=RELEASE_EXAMPLES if release else EXAMPLES)
    @given(steps, kinds_of_children, st.sampled_from(("never", "any_significant", "all_significant")))
    def any_sequence(sequence: list[Step], drawn: list[s.ChildSpec], auto_shutdown: str) -> None:
        spec = declared(strategy, named(drawn, auto_shutdown), auto_shutdown=auto_shutdown)
        world = SupervisedWorld(spec)
        for step in sequence:
            world.take(step)
        world.calm()
        seen.append(world.checks)

    any_sequence()
    assert sum(seen) > len(seen)
    print(f"{len(seen)} lives, {sum(seen)} events")


# --- planted ----------------------------------------------------------------------------------------------------------


def again_and_again(world: SupervisedWorld) -> None:
    """Children fail, with work and without, soon and late; siblings of theirs wait, and one timer fires twice."""
    for child in ("actor:b", "actor:a", "actor:c"):
        world.fail(child)
        while world.jobs:
            world.settle(world.jobs[0])
        for key, timer in list(world.timers.items()):
            world.due(key)
            world.tell(timer[1])
        while world.jobs:
            world.settle(world.jobs[0])
    for work in (0, 1, 0):
        world.run.seconds += 40.0
        world.real["actor:b"].worked = work
        world.fail("actor:b")
        world.calm()
    for _ in range(5):
        if world.real["actor:a"].up:
            world.fail("actor:a")
        world.calm()


Plant = Callable[[pytest.MonkeyPatch, Spec[SupervisorState]], Spec[SupervisorState]]


def restarts_twice(_patch: pytest.MonkeyPatch, spec: Spec[SupervisorState]) -> Spec[SupervisorState]:
    """A timer that fires twice begins two restarts."""

    def decide(state: SupervisorState, command: Any, ctx: Context) -> Decision:
        if isinstance(command, s.RestartDue) and state.status(command.child) == "restarting":
            return attrs.evolve(Decision(), effects=(s.RestartChild(command.child, 1),))
        return spec.decide(state, command, ctx)

    return attrs.evolve(spec, decide=decide)


def jitter_on_top(patch: pytest.MonkeyPatch, spec: Spec[SupervisorState]) -> Spec[SupervisorState]:
    """Jitter is added to a delay that was capped already."""
    patch.setattr(
        backoff,
        "delay_s",
        lambda attempt, initial, cap, jitter, random: min(cap, initial * 4**attempt) * (1 + jitter * random()),
    )
    return spec


def resets_without_work(patch: pytest.MonkeyPatch, spec: Spec[SupervisorState]) -> Spec[SupervisorState]:
    """Quiet time alone begins the backoff anew."""
    real = children_of.next_attempt

    def next_attempt(child: s.ChildState, policy: s.RestartPolicy, now_s: float) -> int:
        return real(attrs.evolve(child, handled=None), policy, now_s)

    patch.setattr(children_of, "next_attempt", next_attempt)
    return spec


def resets_without_time(patch: pytest.MonkeyPatch, spec: Spec[SupervisorState]) -> Spec[SupervisorState]:
    """Any work at all begins the backoff anew."""
    real = children_of.next_attempt

    def next_attempt(child: s.ChildState, policy: s.RestartPolicy, now_s: float) -> int:
        return real(child, attrs.evolve(policy, reset_after_s=0.0, reset_after_handled=0), now_s)

    patch.setattr(children_of, "next_attempt", next_attempt)
    return spec


def no_intensity(patch: pytest.MonkeyPatch, spec: Spec[SupervisorState]) -> Spec[SupervisorState]:
    """Restarts are not counted."""
    patch.setattr(failing, "_restarts_lately", lambda _course: 0)
    return spec


def stops_first_to_last(_patch: pytest.MonkeyPatch, spec: Spec[SupervisorState]) -> Spec[SupervisorState]:
    """Children are stopped in the order in which they were started."""
    return _reordered(spec, s.HoldStarted)


def starts_last_to_first(_patch: pytest.MonkeyPatch, spec: Spec[SupervisorState]) -> Spec[SupervisorState]:
    """Children are started in the order in which they were stopped."""
    return _reordered(spec, s.RestartStarted)


def _reordered(spec: Spec[SupervisorState], kind: type) -> Spec[SupervisorState]:
    """Decide with the members the other way round whenever that leads to an event of this kind."""

    def decide(state: SupervisorState, command: Any, ctx: Context) -> Decision:
        outage = state.outage
        if outage is not None:
            turned = attrs.evolve(state, outage=attrs.evolve(outage, members=outage.members[::-1]))
            decision = spec.decide(turned, command, ctx)
            if any(isinstance(fact, kind) for fact in decision.events):
                return decision
        return spec.decide(state, command, ctx)

    return attrs.evolve(spec, decide=decide)


def takes_all(patch: pytest.MonkeyPatch, spec: Spec[SupervisorState]) -> Spec[SupervisorState]:
    """A failure takes everybody down, whatever the strategy says."""
    patch.setattr(failing, "affected", lambda state, _name: state.up())
    return spec


def forgets_siblings(_patch: pytest.MonkeyPatch, spec: Spec[SupervisorState]) -> Spec[SupervisorState]:
    """After the first that was stopped with it is up again, nobody goes on."""

    def evolve(state: SupervisorState, event: object) -> SupervisorState:
        after = spec.evolve(state, event)
        return attrs.evolve(after, outage=None) if isinstance(event, s.ChildRestarted) else after

    return attrs.evolve(spec, evolve=evolve)


class Moody:
    """What an event changes depends on how often it was folded."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, state: SupervisorState, event: object) -> SupervisorState:
        """Fold one event, differently each time."""
        self.calls += 1
        return attrs.evolve(s.evolve(state, event), starts=self.calls)


def no_fold(_patch: pytest.MonkeyPatch, spec: Spec[SupervisorState]) -> Spec[SupervisorState]:
    """The state is not the fold of the events."""
    return attrs.evolve(spec, evolve=Moody())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_catches_them_lets_the_real_one_pass(strategy: str) -> None:
    """The story that the planted bugs go through is a good one."""
    again_and_again(SupervisedWorld(declared(strategy)))


@pytest.mark.parametrize(
    ("plant", "strategy", "told"),
    [
        (restarts_twice, "one_for_one", "two restarts"),
        (jitter_on_top, "one_for_one", "waits"),
        (resets_without_work, "one_for_one", "without work"),
        (resets_without_time, "one_for_one", "the backoff began anew"),
        (no_intensity, "one_for_all", "restarts in one period"),
        (stops_first_to_last, "one_for_all", "is stopped before"),
        (starts_last_to_first, "rest_for_one", "is started before"),
        (takes_all, "rest_for_one", "takes down who came before"),
        (takes_all, "one_for_one", "takes siblings down"),
        (forgets_siblings, "one_for_all", "is forgotten"),
        (no_fold, "one_for_one", ""),
    ],
    ids=lambda value: value.__name__ if callable(value) else value or "fold",
)
def test_planted_bugs_are_caught(plant: Plant, strategy: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them, by what it breaks."""
    world_spec = plant(monkeypatch, declared(strategy))
    with pytest.raises(AssertionError, match=told or None):
        again_and_again(SupervisedWorld(world_spec))


def test_a_drawn_sequence_finds_a_wrong_order() -> None:
    """Not only a story made for it: chance meets it too."""

    @settings(max_examples=300, print_blob=False, phases=[Phase.generate])
    @given(steps)
    def any_sequence(sequence: list[Step]) -> None:
        world = SupervisedWorld(_reordered(declared("one_for_all"), s.HoldStarted))
        for step in sequence:
            world.take(step)

    with pytest.raises(AssertionError, match="is stopped before|two steps at once"):
        any_sequence()
