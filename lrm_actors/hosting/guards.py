"""The circuit breakers of one mode: the same guard for a service each time, and an actor for each while the mode runs.

Talks to the breaker actors by telling. A guard works without its actor, before the start and after the end: what it has
to report waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from lrm_actors.actors.breaker import CircuitBreaker, GuardClock
from lrm_actors.actors.call_rules import CallRules
from lrm_actors.actors.generations import Closed, Ticket
from lrm_actors.actors.keyed import KeyedBreakers
from lrm_actors.domain import breaker
from lrm_actors.domain.behavior import Command, Effect, Spec
from lrm_actors.domain.breaker import BreakerConfig, BreakerState, PublishBreaker
from lrm_actors.domain.breaker_config import check
from lrm_actors.errors import NoSuchActor
from lrm_actors.hosting.host import check_name

PREFIX = f"{breaker.CATEGORY}/"
FAMILY_LIMIT = 64
"""Keyed breakers of one family that are kept, unless it is said otherwise."""


class SwitchedBreaker(CircuitBreaker):
    """A breaker that outlives its actor, and lets everything through while the mode is switched off."""

    def __init__(
        self, service: str, config: BreakerConfig, *, enabled: Callable[[], bool], lazy: bool, **more: Any
    ) -> None:
        super().__init__(service, config, **more)
        self._enabled = enabled
        self.lazy = lazy
        """It gets an actor with the first report that there is, and needs none before."""
        self.policy = config if config.own else None
        """What its host wants, whatever the log and the settings say."""

    def publish(self, state: BreakerState) -> None:
        """Take over what the actor committed, and tell it what could not be told before it was there."""
        if self.policy is not None and state.config != self.policy:
            self._outbox.send(breaker.Configure(self.policy))
            state = attrs.evolve(state, config=self.policy)
        super().publish(state)
        self._outbox.flush()

    def follow(self, policy: BreakerConfig) -> None:
        """Take a policy of its own, from now on."""
        self.policy = policy
        self.configure(policy)
        self._outbox.send(breaker.Configure(policy))

    def _admit_slowly(self) -> Ticket:
        return super()._admit_slowly() if self._enabled() else Closed(0)

    def came_back(
        self, ticket: Ticket, error: BaseException | None, rules: CallRules | None = None, *, stream: bool = False
    ) -> None:
        """A call that was let through is over."""
        if self._enabled():
            super().came_back(ticket, error, rules, stream=stream)


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
        self._guards: dict[str, SwitchedBreaker] = {}
        self._families: dict[str, KeyedBreakers] = {}

    def get(self, service: str, policy: BreakerConfig | None = None, *, lazy: bool = False) -> CircuitBreaker:
        """The guard of a service, made when it is first asked for. Returns at once.

        Args:
            service: its name.
            policy: its own thresholds and times, in place of those of the settings; None for whatever it has.
            lazy: whether it needs an actor only once there is something to report.

        Raises:
            SettingsError: the name or the policy cannot be.
        """
        if policy is not None:
            check(policy)
        if type(service) is not str:
            service = check_name("service", service)
        guard = self._guards.get(service)
        if guard is None:
            check_name("service", service)
            with self._lock:
                guard = self._guards.get(service)
                if guard is None:
                    guard = self._guards[service] = self._make(service, policy, lazy=lazy)
            if not guard.lazy:
                # After the guard is known: the actor's first word is for it.
                self._spawn(breaker.spec(service, guard.config))
        if policy is not None and guard.policy != (own := attrs.evolve(policy, own=True)):
            guard.follow(own)
        return guard

    def family(self, family: str, policy: BreakerConfig | None = None, *, limit: int = FAMILY_LIMIT) -> KeyedBreakers:
        """The breakers of a family, the same object each time; see ``KeyedBreakers``.

        Args:
            family: first part of their names.
            policy: of each of them, the first time that it is asked for.
            limit: how many are kept, as the first who asks says.
        """
        family = check_name("family", family)
        if policy is not None:
            check(policy)
        with self._lock:
            found = self._families.get(family)
            if found is None:
                found = self._families[family] = KeyedBreakers(
                    family,
                    make=lambda service: self.get(service, policy, lazy=True),
                    drop=self._drop,
                    limit=limit,
                )
        return found

    def _drop(self, service: str) -> None:
        """Forget a guard at rest that has no actor; one that has keeps its place."""
        guard = self._guards.get(service)
        if guard is not None and guard.lazy:
            self._guards.pop(service, None)

    def all(self) -> dict[str, CircuitBreaker]:
        """Those there are, by service."""
        return dict(sorted(self._guards.items()))

    def names(self) -> tuple[str, ...]:
        """Names of their actors."""
        return tuple(PREFIX + service for service, guard in self._guards.items() if not guard.lazy)

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
                self._guards[service].lazy = False
            needed = [guard for _, guard in sorted(self._guards.items()) if not guard.lazy or not guard.at_rest]
            return [breaker.spec(guard.service, guard.config) for guard in needed]

    def handlers(self) -> Mapping[type[Effect], Callable[[Any], Command | None]]:
        """How what an actor committed reaches its guard."""

        def publish(effect: PublishBreaker) -> None:
            self.get(effect.service).publish(effect.state)

        return {PublishBreaker: publish}

    def _make(self, service: str, policy: BreakerConfig | None = None, *, lazy: bool = False) -> SwitchedBreaker:
        config = self._config() if policy is None else attrs.evolve(policy, own=True)

        def tell(command: Command) -> None:
            try:
                self._tell(PREFIX + service, command)
            except NoSuchActor:
                # What it has to report waits; the actor's first word has it told.
                guard.lazy = False
                self._spawn(breaker.spec(service, guard.config))
                raise

        guard = SwitchedBreaker(service, config, enabled=self._enabled, lazy=lazy, tell=tell, clock=self._clock)
        return guard
