"""What one decision comes to, step by step: each event is folded at once, so that the next step sees it."""

from __future__ import annotations

from typing import Any

from lrm_actors.domain.behavior import Context, Decision, Effect, then
from lrm_actors.domain.supervision.folding import evolve
from lrm_actors.domain.supervision.state import SupervisorState


class Course:
    """A decision in the making. Used inside one call of ``decide`` and never kept.

    Args:
        state: what was known before.
        ctx: the decision's context.
        name: the supervisor's own.
    """

    def __init__(self, state: SupervisorState, ctx: Context, name: str) -> None:
        self.state = state
        self.ctx = ctx
        self.name = name
        self.reply: Any = None
        self._events: list[object] = []
        self._effects: list[Effect] = []

    @property
    def now_s(self) -> float:
        """Monotonic time of the decision."""
        return self.ctx.now.monotonic_s

    def happen(self, event: object) -> None:
        """Decide on one more event."""
        self._events.append(event)
        self.state = evolve(self.state, event)

    def have(self, *effects: Effect) -> None:
        """Decide on effects."""
        self._effects.extend(effects)

    def decision(self) -> Decision:
        """All of it."""
        return then(*self._events, effects=self._effects, reply=self.reply)


def timer_key(name: str) -> str:
    """Key of the timer that a child's restart waits for."""
    return f"restart/{name}"
