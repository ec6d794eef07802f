"""Machines over the mailing actor and over two wired ones, and how they are run here: without making failures short."""

from __future__ import annotations

from typing import Any

import attrs
import hypothesis
from hypothesis import strategies as st

from eventstore.events import event
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, Wire, then
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.testing import RecoveryStateMachine
from lrm_actors.testing.recovery_case import run_machine
from lrm_actors.testing.strategies import commands
from tests.testing import mailing as m


def live(
    machine: type[RecoveryStateMachine], lives: int = 40, steps: int = 20, *, seed: int = 0, shrink: bool = False
) -> None:
    """Run a machine, the same each time."""
    phases = [hypothesis.Phase.generate, *([hypothesis.Phase.shrink] if shrink else [])]
    how = hypothesis.settings(
        max_examples=lives,
        stateful_step_count=steps,
        phases=phases,
        deadline=None,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=False,
    )
    run_machine(machine, how)


class Mailing(RecoveryStateMachine):
    """The mailing actor, and hands that always send."""

    changes: dict[str, Any] = {}  # noqa: RUF012 - assigned by subclasses

    def make(self, store: Any, clock: Any) -> ActorSystem:
        """One actor, with whatever is planted in it."""
        return ActorSystem(store, [m.mailing(**self.changes)], handlers={m.Deliver: self.deliver}, clock=clock)

    def commands(self) -> Any:
        """From pools so small that most of them mean something."""
        fields: Any = {"text": st.sampled_from(("a", "b", "")), "number": st.integers(1, 3)}
        return st.tuples(st.just("mailing"), commands(m.Plan, m.Plan, m.NoteSent, m.Remind, fields=fields))

    def deliver(self, effect: m.Deliver) -> Command | None:
        """It is sent at once."""
        return m.NoteSent(effect.number)


class Never(Mailing):
    """Hands that never say that anything was sent, so that everything stays in doubt and the timer pending."""

    def deliver(self, effect: m.Deliver) -> Command | None:
        """Who knows."""
        return None


@event("counted.seen", 1)
class Seen:
    number: int


@attrs.frozen
class Count:
    total: int = 0


@attrs.frozen
class See(Command):
    number: int


def decide_count(state: Count, command: See, ctx: Context) -> Decision:
    """What the counter of sent mails decides."""
    return then(Seen(command.number), reply=state.total + 1)


def evolve_count(state: Count, fact: Any) -> Count:
    """What it folds."""
    return Count(state.total + 1)


class Wired(Mailing):
    """A counter that is wired to what was sent."""

    counter: Any = Spec("counted", Count(), decide_count, evolve_count, snapshot_every=3)

    def make(self, store: Any, clock: Any) -> ActorSystem:
        """Both of them."""
        wires = [Wire(m.Sent, to="counted", make=lambda fact, record: See(fact.number))]
        specs = [m.mailing(**self.changes), self.counter]
        return ActorSystem(store, specs, wires=wires, handlers={m.Deliver: self.deliver}, clock=clock)

    def observe(self, system: Any) -> Any:
        """What was sent, and what the counter made of it."""
        return [system.state("mailing").sent, system.state("counted").total]
