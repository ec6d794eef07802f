"""A guard with its actor's decisions beside it, and no runtime between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.actors.call_rules import CallRules, Matches
from lrm_actors.actors.generations import Ticket
from lrm_actors.domain import breaker
from lrm_actors.domain.behavior import Command, Decision, RecoveryContext, StartTimer
from lrm_actors.domain.breaker import BreakerConfig, BreakerState, PublishBreaker
from lrm_actors.errors import CircuitOpen
from lrm_actors.runtime.clock import ManualClock

CONFIG = BreakerConfig(failure_threshold=3, recovery_timeout_s=10.0, recovery_timeout_max_s=40.0, probe_lease_s=30.0)


class ServiceError(Exception):
    """What the guarded service raises."""


class ReadTimeout(Exception):
    """The guarded service did not answer."""


class Rig:
    """One guard, and the actor that owns its breaker, deciding on the calling thread."""

    def __init__(
        self,
        config: BreakerConfig = CONFIG,
        *,
        ignore: Matches = (),
        rules: CallRules | None = None,
        chance: float = 0.5,
    ) -> None:
        self.clock = ManualClock()
        self.spec = breaker.spec("llm", config)
        self.actor: BreakerState = self.spec.initial
        self.log: list[object] = []
        self.sent: list[Command] = []
        self.tickets: list[Ticket] = []
        """Of calls that began early, for tests that end them late."""
        self.deaf = False
        """The actor takes no commands: telling it raises."""
        self.timers: list[StartTimer] = []
        """Those that the actor has started, none of which comes by itself."""
        self.guard = CircuitBreaker(
            "llm",
            config,
            tell=self.tell,
            clock=self.clock,
            rules=rules or CallRules(ignore),
            chance=lambda: chance,
        )
        self.revive()

    def tell(self, command: Command) -> None:
        """What the guard calls."""
        if self.deaf:
            raise RuntimeError("the mailbox is full")
        self.sent.append(command)
        self.adopt(self.spec.decide(self.actor, command, self.context()))

    def revive(self) -> None:
        """Restart the actor: it recovers, and publishes where it stood."""
        assert self.spec.recover is not None
        self.adopt(self.spec.recover(self.actor, self.context()))

    def adopt(self, decision: Decision) -> None:
        """Fold the events, then carry out the effects."""
        for fact in decision.events:
            self.log.append(fact)
            self.actor = self.spec.evolve(self.actor, fact)
        for effect in decision.effects:
            if isinstance(effect, PublishBreaker):
                self.guard.publish(effect.state)
            elif isinstance(effect, StartTimer):
                self.timers.append(effect)

    def context(self) -> RecoveryContext:
        """The context of a decision now."""
        return RecoveryContext(now=self.clock.now(), command_id="command", correlation_id="correlation")

    # --- calls --------------------------------------------------------------------------------------------------

    def succeed(self) -> None:
        """One call that is answered."""
        assert "answer" == self.guard.call_blocking(lambda: "answer")

    def fail(self, error: type[Exception] = ServiceError) -> None:
        """One call that fails; the caller gets the service's error."""
        with pytest.raises(error):
            self.guard.call_blocking(raising(error))

    def rejected(self) -> CircuitOpen:
        """One call that is not let through."""
        with pytest.raises(CircuitOpen) as rejection:
            self.guard.call_blocking(lambda: pytest.fail("a rejected call was made"))
        return rejection.value

    def trip(self) -> None:
        """As many failures as it takes."""
        for _ in range(self.threshold):
            self.fail()
        assert "open" == self.guard.state

    @property
    def threshold(self) -> int:
        """Failures in a row that open it."""
        return self.actor.config.failure_threshold

    def expire(self) -> None:
        """Let the open time pass."""
        self.clock.advance(self.guard.retry_after_s)


def raising(error: type[BaseException]) -> Callable[[], Any]:
    """A service that raises."""

    def service() -> Any:
        raise error

    return service
