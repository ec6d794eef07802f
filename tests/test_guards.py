"""One guard per service, whatever becomes of its actor and of the mode."""

from __future__ import annotations

from typing import Any

import pytest

from eventstore.records import Instant
from lrm_actors.actors.keyed import KeyedBreakers
from lrm_actors.domain.behavior import Command, Spec
from lrm_actors.domain.breaker import BreakerConfig, BreakerState, Configure, PublishBreaker, ReportTrip
from lrm_actors.errors import CircuitOpen, NoSuchActor, SettingsError
from lrm_actors.hosting import configuration
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


POLICY = BreakerConfig(failure_threshold=4, policy="count", minimum_calls=2, window_calls=10)


def hear(world: World, service: str, config: BreakerConfig) -> None:
    """The service's actor says its first word."""
    world.guards.handlers()[PublishBreaker](
        PublishBreaker(service, BreakerState(service=service, config=config, configured=True))
    )


def test_a_policy_of_its_own_holds_against_log_and_settings() -> None:
    """Whatever the actor says of the config, the host's is taken, and the actor is told so once."""
    world = World()
    world.there = True
    guard = world.guards.get("llm", POLICY)
    assert (True, "count") == (guard.config.own, guard.config.policy)
    hear(world, "llm", BreakerConfig(failure_threshold=2))
    assert [("breaker/llm", Configure(guard.config))] == world.told
    hear(world, "llm", guard.config)
    assert guard is world.guards.get("llm", POLICY)
    assert 1 == len(world.told)
    changed = configuration.changed(
        {"breaker/llm": Configure(BreakerConfig())},
        lambda _: BreakerState(config=guard.config, configured=True),
    )
    assert {} == changed


def test_a_policy_may_come_later() -> None:
    """A guard that was made without one takes it at once."""
    world = World()
    world.there = True
    guard = world.guards.get("llm")
    world.guards.get("llm", POLICY)
    assert "count" == guard.config.policy
    with pytest.raises(SettingsError):
        world.guards.get("llm", BreakerConfig(failure_rate=2.0))


def test_keyed_breakers_need_no_actor_before_there_is_something_to_say() -> None:
    """A key that never fails costs an object; one that trips gets its actor, and what it had to report waits."""
    world = World()
    hosts = world.guards.family("host", BreakerConfig(failure_threshold=1))
    assert hosts is world.guards.family("host")
    with hosts["calm"]:
        pass
    assert ([], ()) == (world.spawned, world.guards.names())
    with pytest.raises(TimeoutError), hosts["down"]:
        raise TimeoutError
    assert ["breaker/host/down"] == world.spawned
    assert ("open", 1) == (hosts["down"].state, hosts["down"].statistics().undelivered)
    world.there = True
    hear(world, "host/down", hosts["down"].config)
    assert [ReportTrip] == [type(command) for _, command in world.told]
    assert ["breaker/host/down"] == [spec.name for spec in world.guards.specs([])]


def test_keyed_breakers_are_bounded() -> None:
    """Those at rest make room, the one first that was asked for longest ago; with none at rest, the rest share one."""
    world = World()
    hosts = world.guards.family("host", BreakerConfig(failure_threshold=1), limit=2)
    first, second = hosts["a"], hosts["b"]
    assert first is hosts["a"]
    hosts["c"]
    assert ["a", "c"] == list(hosts)
    assert second is not hosts["b"]
    for key in hosts:
        with pytest.raises(TimeoutError), hosts[key]:
            raise TimeoutError
    assert hosts["x"] is hosts["y"]
    assert ("host/*", 2) == (hosts["x"].service, len(hosts))
    assert 3 == len(world.guards.all())


def test_planted_keys_without_a_bound_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family that always finds room grows with its keys."""
    monkeypatch.setattr(KeyedBreakers, "_make_room", lambda self: True)
    hosts = World().guards.family("host", limit=2)
    for number in range(50):
        hosts[str(number)]
    assert len(hosts) > hosts.limit
