"""The actors' decisions without log, threads or effects: what a mode that is switched off stands on.

The same pure functions fold their events in memory, so a switched-off mode still numbers steps and classifies failures,
and the health report has every key. Nothing is written, started or acted on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from eventstore.records import Instant
from lrm_actors.domain.behavior import Command, Context, Spec
from lrm_actors.errors import NoSuchActor


class UnloggedSystem:
    """Answers as an actor system does, for as long as it lives."""

    def __init__(self, specs: Sequence[Spec[Any]], *, now: Callable[[], Instant]) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._states: dict[str, Any] = {spec.name: spec.initial for spec in specs}
        self._now = now
        self._lock = threading.Lock()

    def state(self, name: str) -> Any:
        """The state of an actor.

        Raises:
            NoSuchActor: there is none of this name.
        """
        if name not in self._states:
            msg = f"there is no actor {name!r}"
            raise NoSuchActor(msg, actor=name)
        return self._states[name]

    def ask_blocking(self, to: str, command: Command, *, timeout_s: float = 5.0, keep_reply: bool = True) -> Any:
        """Decide on a command, fold its events and return its reply. Effects are left out.

        Raises:
            CommandRefused: the actor refused it.
        """
        with self._lock:
            spec, state = self._specs[to], self.state(to)
            decision = spec.decide(state, command, Context(self._now(), command_id="", correlation_id=""))
            for event in decision.events:
                state = spec.evolve(state, event)
            self._states[to] = state
        return decision.reply

    async def ask(self, to: str, command: Command, *, timeout_s: float = 5.0, keep_reply: bool = True) -> Any:
        """The same; there is nothing to wait for."""
        return self.ask_blocking(to, command)

    def note(self, to: str, command: Command) -> None:
        """The same, without an answer."""
        self.ask_blocking(to, command)
