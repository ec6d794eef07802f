"""One guard per service, whatever becomes of its actor and of the mode."""

from __future__ import annotations

from typing import Any

import pytest

from eventstore.records import Instant
from lrm_actors.domain.behavior import Command, Spec
from lrm_actors.domain.breaker import BreakerConfig, BreakerState, PublishBreaker, ReportTrip
from lrm_actors.errors import CircuitOpen, NoSuchActor
from lrm_actors.hosting.guards import Guards


class Clock:
    def now(self) -> Instant:
        return Instant(0.0, 0.0, "boot")

    def monotonic(self) -> float:
        return 0.0


class World:
    """Actors that are there or not, and a mode that is on or off."""

    def __init__(self) -> None:
        self.there = False
        self.enabled = True
        self.told: list[tuple[str, Command]] = []
        self.spawned: list[str] = []
        self.guards = Guards(
            Clock(),
            config=lambda: BreakerConfig(failure_threshold=2),
            tell=self.tell,
            spawn=self.spawn,
            enabled=lambda: self.enabled,
        )

    def tell(self, to: str, command: Command) -> None:
        if not self.there:
            raise NoSuchActor("not yet")
        self.told.append((to, command))

    def spawn(self, spec: Spec[Any]) -> None:
        self.spawned.append(spec.name)

    def fail(self, times: int) -> None:
        for _ in range(times):
            with pytest.raises(TimeoutError), self.guards.get("llm"):
                raise TimeoutError("slow")


def test_a_service_has_one_guard_and_one_actor() -> None:
    """Whoever asks gets the same one, and its actor is started once."""
    world = World()

    assert world.guards.get("llm") is world.guards.get("llm")
    assert list(world.guards.all()) == ["llm"]
    assert world.guards.names() == ("breaker/llm",)
    assert world.spawned == ["breaker/llm"]


def test_what_could_not_be_told_is_told_when_the_actor_is_there() -> None:
    """A guard trips at once; its actor, started a moment later, hears of it with its first word."""
    world = World()
    world.fail(2)
    with pytest.raises(CircuitOpen):
        world.guards.get("llm").call_blocking(lambda: None)
    assert world.told == []

    world.there = True
    publish = world.guards.handlers()[PublishBreaker]
    publish(PublishBreaker("llm", BreakerState(service="llm", config=BreakerConfig(failure_threshold=2))))

    ((to, command),) = world.told
    assert to == "breaker/llm"
    assert isinstance(command, ReportTrip)


def test_those_that_the_log_knows_are_there_from_the_start() -> None:
    """Breakers keep their state across restarts, asked for or not."""
    world = World()
    world.guards.get("llm")

    specs = world.guards.specs(["breaker/site", "monitor", "breaker/llm"])

    assert [spec.name for spec in specs] == ["breaker/llm", "breaker/site"]
    assert list(world.guards.all()) == ["llm", "site"]


def test_switched_off_everything_passes_and_nothing_is_counted() -> None:
    """An open breaker lets through as well; switched on again, it is as it was."""
    world = World()
    world.enabled = False
    world.fail(5)
    assert world.guards.get("llm").failure_count == 0

    world.enabled = True
    world.fail(2)
    assert world.guards.get("llm").state == "open"
    world.enabled = False
    world.fail(1)
    assert world.guards.get("llm")(lambda: "through")() == "through"

    world.enabled = True
    with pytest.raises(CircuitOpen):
        world.guards.get("llm").call_blocking(lambda: None)
