"""What the tests of pure actors share: contexts at a chosen moment, and a run that checks fold and codec as it goes."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import attrs

from eventstore.codec import encode_event, encode_state
from eventstore.records import Instant
from lrm_actors.domain.behavior import Command, Decision, RecoveryContext, Spec

S = TypeVar("S")

START = Instant(wall_s=1_700_000_000.0, monotonic_s=1_000.0, boot_id="boot")


def at(seconds: float, *, boot_id: str = START.boot_id, chance: float = 0.5) -> RecoveryContext:
    """The context of a decision ``seconds`` after the start."""
    now = Instant(START.wall_s + seconds, START.monotonic_s + seconds, boot_id)
    return RecoveryContext(now=now, command_id="command", correlation_id="correlation", random=lambda: chance)


@attrs.define
class Run(Generic[S]):
    """One actor without its runtime: commands go in, the log and the state grow, and nothing else happens."""

    spec: Spec[S]
    state: S
    seconds: float = 0.0
    boot_id: str = START.boot_id
    log: list[object] = attrs.Factory(list)
    last: Decision = attrs.Factory(Decision)

    @classmethod
    def of(cls, spec: Spec[S]) -> Run[S]:
        """A run of an actor that has just come to life."""
        run = cls(spec, spec.initial)
        run.recover()
        return run

    def tell(self, command: Command, *, chance: float = 0.5) -> tuple[object, ...]:
        """Decide on a command now; the events it led to."""
        return self._adopt(self.spec.decide(self.state, command, at(self.seconds, boot_id=self.boot_id, chance=chance)))

    def ask(self, command: Command) -> Any:
        """Decide on a command now; the reply."""
        self.tell(command)
        return self.last.reply

    def recover(self) -> tuple[object, ...]:
        """Fold the log from the beginning, as after a failure, and let the actor take up what it finds."""
        assert self.state == self.fold()
        if self.spec.recover is None:
            return ()
        return self._adopt(self.spec.recover(self.state, at(self.seconds, boot_id=self.boot_id)))

    def fold(self) -> S:
        """The state that the log alone leads to."""
        state = self.spec.initial
        for fact in self.log:
            state = self.spec.evolve(state, fact)
        return state

    def effects(self, kind: type) -> list[Any]:
        """The last decision's effects of one type."""
        return [effect for effect in self.last.effects if isinstance(effect, kind)]

    def _adopt(self, decision: Decision) -> tuple[object, ...]:
        for number, fact in enumerate(decision.events):
            encode_event(fact)  # which raises unless it comes back as it went in; so does the next one
            self.log.append(fact)
            self.state = self.spec.evolve(self.state, fact)
            encode_state(self.state)
            assert self.state == self.fold()
            assert number or decision.folded is None or decision.folded == self.state
        self.last = decision
        return decision.events
