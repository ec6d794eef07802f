"""The circuit breakers of one mode: the same guard for a service each time, and an actor for each while the mode runs.

Talks to the breaker actors by telling. A guard works without its actor, before the start and after the end: what it has
to report waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lrm_actors.actors.breaker import CircuitBreaker, GuardClock
from lrm_actors.actors.entries import Ticket
from lrm_actors.actors.generations import Closed
from lrm_actors.domain import breaker
from lrm_actors.domain.behavior import Command, Effect, Spec
from lrm_actors.domain.breaker import BreakerConfig, BreakerState, PublishBreaker
from lrm_actors.hosting.host import check_name

PREFIX = f"{breaker.CATEGORY}/"


class SwitchedBreaker(CircuitBreaker):
    """A breaker that outlives its actor, and lets everything through while the mode is switched off."""

    def __init__(self, service: str, *, enabled: Callable[[], bool], **more: Any) -> None:
        super().__init__(service, **more)
        self._enabled = enabled

    def publish(self, state: BreakerState) -> None:
        """Take over what the actor committed, and tell it what could not be told before it was there."""
        super().publish(state)
        self._outbox.flush()

    def _admit_probe(self) -> Ticket:
        return super()._admit_probe() if self._enabled() else Closed(0)

    def came_back(self, ticket: Ticket, error: BaseException | None) -> None:
        """A call that was let through is over."""
        if self._enabled():
            super().came_back(ticket, error)


class Guards:
    """Every guard, by service.

    Args:
        clock: of the guards; it outlives every run of the system.
        config: thresholds and times for a new one.
        tell: hands a command to an actor by name, or raises.
        spawn: starts an actor while the system runs, and does nothing while it does not.
        enabled: whether the mode is switched on.
    """

    def __init__(
        self,
        clock: GuardClock,
        *,
        config: Callable[[], BreakerConfig],
        tell: Callable[[str, Command], None],
        spawn: Callable[[Spec[BreakerState]], None],
        enabled: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._config = config
        self._tell = tell
        self._spawn = spawn
        self._enabled = enabled
        self._lock = threading.Lock()
        self._guards: dict[str, CircuitBreaker] = {}

    def get(self, service: str) -> CircuitBreaker:
        """The guard of a service, made when it is first asked for. Returns at once."""
        guard = self._guards.get(service)
        if guard is not None:
            return guard
        check_name("service", service)
        with self._lock:
            guard = self._guards.get(service)
            if guard is None:
                guard = self._guards[service] = self._make(service)
        # After the guard is known: the actor's first word is for it.
        self._spawn(breaker.spec(service, self._config()))
        return guard

    def all(self) -> dict[str, CircuitBreaker]:
        """Those there are, by service."""
        return dict(sorted(self._guards.items()))

    def names(self) -> tuple[str, ...]:
        """Names of their actors."""
        return tuple(PREFIX + service for service in self._guards)

    def specs(self, streams: Iterable[str]) -> list[Spec[BreakerState]]:
        """The actors to start with: those the log knows of, so that they keep their state, and those asked for since.

        Args:
            streams: names of the streams in the log.
        """
        known = [name.removeprefix(PREFIX) for name in streams if name.startswith(PREFIX)]
        with self._lock:
            for service in known:
                if service not in self._guards:
                    self._guards[service] = self._make(service)
            return [breaker.spec(service, self._config()) for service in sorted(self._guards)]

    def handlers(self) -> Mapping[type[Effect], Callable[[Any], Command | None]]:
        """How what an actor committed reaches its guard."""

        def publish(effect: PublishBreaker) -> None:
            self.get(effect.service).publish(effect.state)

        return {PublishBreaker: publish}

    def _make(self, service: str) -> CircuitBreaker:
        return SwitchedBreaker(
            service,
            enabled=self._enabled,
            config=self._config(),
            tell=lambda command: self._tell(PREFIX + service, command),
            clock=self._clock,
        )
