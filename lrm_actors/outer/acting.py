"""One actor without threads: decides, puts on record, folds, and then does what it decided on, one after the other.

Talks to the recorder and to whoever carries out effects. It is the runtime's own order of things, for a process that is
to have nothing in it that could hang.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from eventstore.opening import system_instant
from lrm_actors.domain.behavior import START, CancelTimer, Command, Context, Effect, RecoveryContext, Spec, StartTimer
from lrm_actors.outer.recording import Recorder
from lrm_actors.runtime.ids import Ids

CarryOut = Callable[[Effect, int], object]
"""Carries out an effect; the number is the position of the event that it follows from, 0 where that is not known."""


class Actor:
    """Runs one actor on the calling thread.

    Args:
        spec: the actor.
        recorder: its log.
        carry_out: given every effect but the timers.
    """

    def __init__(self, spec: Spec[Any], recorder: Recorder, carry_out: CarryOut) -> None:
        self._spec = spec
        self._recorder = recorder
        self._carry_out = carry_out
        self._waiting: deque[tuple[Command, int | None]] = deque()
        self._timers: dict[str, tuple[float, Command, int]] = {}
        self._ids = Ids()
        self._chance = random.SystemRandom()
        self.state: Any = recorder.state
        if spec.recover is not None:
            now = RecoveryContext(system_instant(), "", "", why=START)
            for effect in spec.recover(self.state, now).effects:
                self._begin(effect, 0)

    def tell(self, command: Command, cause: int | None = None) -> None:
        """Handle a command at the next turn.

        Args:
            command: what is told.
            cause: position of the event that led to it; None or 0: it comes from outside.
        """
        self._waiting.append((command, cause))

    def turn(self) -> None:
        """Handle whatever waits, and what comes of it, until nothing does."""
        self._fire()
        while self._waiting:
            self._handle(*self._waiting.popleft())

    def next_timer_s(self) -> float | None:
        """When the next timer is due, on the monotonic clock."""
        return min((due_s for due_s, _, _ in self._timers.values()), default=None)

    def _fire(self) -> None:
        now_s = time.monotonic()
        for key, (due_s, command, cause) in sorted(self._timers.items(), key=lambda item: item[1][0]):
            if due_s <= now_s:
                del self._timers[key]
                self.tell(command, cause)

    def _handle(self, command: Command, cause: int | None) -> None:
        command_id = self._ids.next()
        context = Context(
            system_instant(), command_id, command_id, cause or None, random=self._chance.random, new_id=self._ids.next
        )
        decision = self._spec.decide(self.state, command, context)
        position = cause or 0
        if decision.events:
            state = self.state
            for event in decision.events:  # before it is stored: what cannot be folded is not
                state = self._spec.evolve(state, event)
            position = self._recorder.write(decision.events, cause, command_id)
            self.state = state
        for effect in decision.effects:
            self._begin(effect, position)

    def _begin(self, effect: Effect, position: int) -> None:
        match effect:
            case StartTimer(key, delay_s, command):
                self._timers[key] = (time.monotonic() + max(0.0, delay_s), command, position)
            case CancelTimer(key):
                self._timers.pop(key, None)
            case _:
                self._carry_out(effect, position)
