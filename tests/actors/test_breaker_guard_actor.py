"""What passes between the guard and its actor: reports, lost and late, and what the actor publishes."""

from __future__ import annotations

import attrs

from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.actors.outbox import Outbox
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.breaker import (
    BreakerConfig,
    Configure,
    ForceState,
    ReportProbeStarted,
)
from lrm_actors.runtime.clock import ManualClock
from tests.actors.breaker_kit import CONFIG, Rig, ServiceError


class TestActor:
    """What passes between the guard and its actor."""

    def test_a_restarted_actor_gives_everything_back(self) -> None:
        """A new guard on an old log is open for what is left of the time, and its next opening is next in the row."""
        rig = Rig()
        rig.trip()
        rig.expire()
        rig.fail()
        rig.clock.advance(5.0)
        guard = CircuitBreaker("llm", tell=rig.tell, clock=rig.clock)
        guard.publish(rig.actor)
        assert ("open", 15.0, 3) == (guard.state, guard.retry_after_s, guard.generation)
        rig.guard = guard
        rig.expire()
        rig.fail()
        assert 40.0 == rig.guard.retry_after_s

    def test_a_trip_that_cannot_be_told_is_told_later(self) -> None:
        """While the actor takes nothing the guard is open all the same; the report waits and raises at nobody."""
        rig = Rig()
        rig.deaf = True
        rig.trip()
        assert ("open", "closed", 1) == (rig.guard.state, rig.actor.status, rig.guard.statistics().undelivered)
        rig.rejected()
        rig.deaf = False
        rig.rejected()
        assert ("open", 0) == (rig.actor.status, rig.guard.statistics().undelivered)
        assert rig.guard.generation == rig.actor.generation

    def test_without_its_actor_it_guards_on(self) -> None:
        """An actor that does not answer leaves a guard that opens, probes and holds back, and keeps its reports."""
        rig = Rig()
        rig.deaf = True
        rig.trip()
        rig.expire()
        rig.succeed()
        assert "half_open" == rig.guard.state
        rig.fail()
        rig.rejected()
        rig.expire()
        rig.succeed()
        rig.deaf = False
        rig.succeed()
        assert ("closed", "closed") == (rig.guard.state, rig.actor.status)

    def test_publishing_never_goes_back(self) -> None:
        """An older state that comes late does not close a guard that tripped in the meantime; its config counts."""
        rig = Rig()
        rig.deaf = True
        rig.trip()
        changed = attrs.evolve(rig.actor, config=BreakerConfig(failure_threshold=7), revision=rig.actor.revision + 1)
        rig.guard.publish(changed)
        rig.guard.publish(rig.actor)
        assert ("open", 1) == (rig.guard.state, rig.guard.generation)

    def test_in_the_same_generation_the_actor_is_right(self) -> None:
        """Forced open by the actor while the guard tripped by itself: the guard takes the actor's deadline."""
        rig = Rig()
        for _ in range(2):
            rig.fail()
        rig.deaf = True
        rig.fail()
        decision = rig.spec.decide(rig.actor, ForceState("open", "no credit"), rig.context())
        rig.adopt(decision)
        assert ("open", 1, 40.0) == (rig.guard.state, rig.guard.generation, rig.guard.retry_after_s)

    def test_a_new_threshold_counts_at_once(self) -> None:
        """A threshold changed while failures are counted holds for the row that is under way."""
        rig = Rig()
        rig.fail()
        rig.tell(Configure(attrs.evolve(CONFIG, failure_threshold=2)))
        assert ("closed", 1) == (rig.guard.state, rig.guard.failure_count)
        rig.fail()
        assert "open" == rig.guard.state

    def test_forced_closed_lets_calls_through(self) -> None:
        """An operator's word closes it, and a probe under way of the old generation is stale."""
        rig = Rig()
        rig.trip()
        rig.expire()
        probe = rig.guard.admit()
        rig.tell(ForceState("closed", "mended"))
        rig.guard.came_back(probe, ServiceError())
        rig.succeed()
        assert ("closed", 1) == (rig.guard.state, rig.guard.statistics().stale)

    def test_waiting_reports_are_bounded(self) -> None:
        """An actor that never answers costs a bounded memory: what does not fit is dropped and counted."""

        def tell(_: Command) -> None:
            raise RuntimeError

        outbox = Outbox(tell, limit=2)
        for generation in range(5):
            outbox.send(ReportProbeStarted(generation))
        assert (2, 3) == (outbox.waiting, outbox.lost)

    def test_reports_keep_their_order(self) -> None:
        """Reports that had to wait are told before newer ones."""
        told: list[Command] = []
        failing = True

        def tell(command: Command) -> None:
            if failing:
                raise RuntimeError
            told.append(command)

        outbox = Outbox(tell)
        outbox.send(ReportProbeStarted(1))
        failing = False
        outbox.send(ReportProbeStarted(2))
        assert [ReportProbeStarted(1), ReportProbeStarted(2)] == told


def test_statistics_and_words() -> None:
    """The statistics are one frozen record of a moment, and the guard's repr says where it stands."""
    rig = Rig()
    rig.trip()
    rig.rejected()
    statistics = rig.guard.statistics()
    assert ("open", 1, 3, 1, 0, 0, 0, 0) == attrs.astuple(statistics)
    assert "<CircuitBreaker 'llm' open generation=1>" == repr(rig.guard)
    assert 0.0 == CircuitBreaker("x", tell=rig.tell, clock=ManualClock()).retry_after_s
