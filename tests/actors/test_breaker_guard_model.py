"""Guard and actor together under any sequence of calls, results, lost reports, time and restarts."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.actors.generations import Closed, Probe, Ticket
from lrm_actors.domain.breaker import ForceState
from lrm_actors.errors import CircuitOpen
from tests.actors.breaker_kit import CONFIG, Rig, ServiceError

Step = tuple[str, Any]

steps = st.one_of(
    st.tuples(st.just("begin"), st.none()),
    st.tuples(st.just("begin"), st.none()),
    st.tuples(st.just("succeed"), st.integers(0, 5)),
    st.tuples(st.just("fail"), st.integers(0, 5)),
    st.tuples(st.just("fail"), st.integers(0, 5)),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
    st.tuples(st.just("pass"), st.floats(0.0, 50.0)),
    st.tuples(st.just("expire"), st.none()),
    st.tuples(st.just("deaf"), st.booleans()),
    st.tuples(st.just("force"), st.sampled_from(["open", "closed"])),
    st.tuples(st.just("revive"), st.none()),
)


class Course:
    """Takes steps, and checks after each what must hold."""

    def __init__(self) -> None:
        self.rig = Rig(attrs.evolve(CONFIG, half_open_permits=2))
        self.held: list[tuple[Ticket, float]] = []

    def take(self, step: Step) -> None:
        """Take one step."""
        rig, (what, value) = self.rig, step
        generation = rig.guard.generation
        match what:
            case "begin":
                self._begin()
            case "succeed" | "fail" | "cancel" if self.held:
                self._end(what, self.held.pop(value % len(self.held))[0])
            case "pass":
                rig.clock.advance(value)
            case "expire":
                rig.expire()
            case "deaf":
                rig.deaf = value
            case "force":
                rig.adopt(rig.spec.decide(rig.actor, ForceState(value, "by hand"), rig.context()))
            case "revive":
                rig.revive()
        assert rig.guard.generation >= generation, "the guard went back"
        assert rig.guard.generation >= rig.actor.generation, "the guard did not hear from its actor"
        if not rig.guard.statistics().undelivered:
            assert (rig.actor.status, rig.actor.generation) == (rig.guard.state, rig.guard.generation)

    def _begin(self) -> None:
        guard, now_s = self.rig.guard, self.rig.clock.monotonic()
        state, left_s = guard.state, guard.retry_after_s
        try:
            ticket = guard.admit()
        except CircuitOpen:
            assert state != "closed", "a closed guard rejected a call"
            return
        assert state != "open" or left_s == 0.0, "an open guard let a call through"
        self.held.append((ticket, now_s))
        if isinstance(ticket, Probe):
            since_s = now_s - CONFIG.probe_lease_s
            probes = [
                one
                for one, begun_s in self.held
                if isinstance(one, Probe) and one.half_open is ticket.half_open and begun_s > since_s
            ]
            assert len(probes) <= 2, f"{len(probes)} probes at a time"

    def _end(self, how: str, ticket: Ticket) -> None:
        errors: dict[str, BaseException | None] = {"succeed": None, "fail": ServiceError(), "cancel": GeneratorExit()}
        self.rig.guard.came_back(ticket, errors[how])


@given(st.lists(steps, max_size=80))
def test_any_sequence_keeps_the_rules(sequence: list[Step]) -> None:
    """Generations never go back, permits hold, and once every report is told guard and actor agree."""
    course = Course()
    for step in sequence:
        course.take(step)
    course.rig.deaf = False
    course.rig.guard._outbox.flush()
    course.take(("pass", 0.0))


STALE = (
    [("begin", None)] * 5 + [("fail", 1)] * 3 + [("expire", None), ("begin", None), ("succeed", 0)] + [("fail", 0)] * 2
)
"""Five calls under way, three of which open the breaker; a late success meets the first probe."""


def test_results_without_generations_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checker sees a guard that takes a late success for an answer to its probe."""

    def came_back(self: CircuitBreaker, ticket: Ticket, error: BaseException | None, *more: Any) -> None:
        """Planted: whatever succeeds closes the guard."""
        if error is None:
            self._current = Closed(self.generation)
        else:
            genuine(self, ticket, error, *more)

    genuine = CircuitBreaker.came_back
    course = Course()
    for step in STALE:
        course.take(step)
    monkeypatch.setattr(CircuitBreaker, "came_back", came_back)
    course = Course()
    with pytest.raises(AssertionError):
        for step in STALE:
            course.take(step)
