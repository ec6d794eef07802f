"""A breaker through everything that can happen to its log: its state is the fold of its events, at every prefix."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import strategies as st

from lrm_actors.domain import breaker
from lrm_actors.domain.behavior import Decision, RecoveryContext, then
from lrm_actors.domain.breaker import BreakerConfig, BreakerState, PublishBreaker
from lrm_actors.domain.deadlines import Deadline
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.testing import CheckFailed, RecoveryStateMachine
from tests.testing.machines import live

NAME = "breaker/llm"
few, hold = st.integers(0, 6), st.sampled_from((None, 9.0))
deadlines = st.builds(Deadline, st.floats(1.0, 60.0), st.floats(0.0, 100.0), st.floats(0.0, 100.0), st.just("boot"))
texts = st.lists(st.sampled_from(("timeout: A", "status 500: B")), max_size=3).map(tuple)
policies = st.builds(
    BreakerConfig,
    failure_threshold=st.integers(1, 3),
    successes_to_close=st.integers(1, 2),
    policy=st.sampled_from(("consecutive", "count", "time")),
    jitter=st.floats(0.0, 1.0),
)


def unpublished(function: Any) -> Any:
    """Without telling the guard, which may be told anything as often as one likes: it knows older from newer."""

    def without(*given: Any) -> Decision:
        decision: Decision = function(*given)
        kept = tuple(one for one in decision.effects if not isinstance(one, PublishBreaker))
        return attrs.evolve(decision, effects=kept)

    return without


class BreakerMachine(RecoveryStateMachine):
    """One breaker, whatever its guard reports and whoever forces it."""

    changes: dict[str, Any] = {}  # noqa: RUF012 - assigned by subclasses

    def make(self, store: Any, clock: Any) -> ActorSystem:
        """With a guard that takes everything, and maybe a bug."""
        spec = attrs.evolve(breaker.spec("llm"), **self.changes)
        quiet = attrs.evolve(spec, decide=unpublished(spec.decide), recover=unpublished(spec.recover))
        return ActorSystem(store, [quiet], clock=clock)

    def commands(self) -> Any:
        """All that it understands, from pools so small that most of it means something."""
        reports = (
            st.builds(breaker.ReportTrip, few, texts, deadlines, st.sampled_from(("", "3 of 4 calls failed"))),
            st.builds(breaker.ReportProbeStarted, few),
            st.builds(breaker.ReportProbe, few, st.booleans(), st.just("ConnectError"), st.none() | st.just(90.0)),
            st.builds(breaker.ReportHoldOver, few),
            st.builds(
                breaker.ForceState, st.sampled_from(breaker.FORCIBLE), st.just("by hand"), st.none() | st.just(9.0)
            ),
            st.builds(breaker.Configure, policies),
        )
        return st.tuples(st.just(NAME), st.one_of(*reports))


def test_its_state_is_the_fold_of_its_log(release: bool) -> None:
    """Through crashes, power cuts, full disks, restarts and reboots, in many lives of many steps."""
    lives, steps = (300, 40) if release else (8, 20)
    live(BreakerMachine, lives, steps)
    print(f"{lives} lives of up to {steps} steps")


def forgetful(state: BreakerState, ctx: RecoveryContext) -> Decision:
    """Planted: a recovery that does not know that it is held."""
    return then()


def test_planted_a_hold_that_is_forgotten_is_caught() -> None:
    """After a restart nothing would let go of it."""

    class Planted(BreakerMachine):
        """Held most of the time."""

        changes = {"recover": forgetful}  # noqa: RUF012

        def commands(self) -> Any:
            held = st.sampled_from(breaker.HELD)
            return st.tuples(st.just(NAME), st.builds(breaker.ForceState, held, st.just("by hand"), hold))

    with pytest.raises(CheckFailed, match="timer-forgotten"):
        live(Planted, 60, 20)
