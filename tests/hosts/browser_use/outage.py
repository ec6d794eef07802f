"""A model that is away for a while, and a time that passes as fast as the agent waits for it."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any, ClassVar

from eventstore.records import Instant
from lrm_actors.runtime.clock import SystemClock
from tests.hosts.browser_use.scripted import ScriptedModel, progress_in, prompt_of


class ShiftedClock(SystemClock):
    """The system's, ahead by what was waited for."""

    shift_s: ClassVar[float] = 0.0

    def now(self) -> Instant:
        """The instant it would be."""
        now = super().now()
        return Instant(now.wall_s + self.shift_s, now.monotonic_s + self.shift_s, now.boot_id)

    def monotonic(self) -> float:
        """Seconds."""
        return super().monotonic() + self.shift_s


class GateClock:
    """What the gate in front of the model waits by: a wait is over at once, and so much later."""

    waits: ClassVar[list[float]] = []

    def monotonic(self) -> float:
        """Seconds, those of the breakers."""
        return ShiftedClock().monotonic()

    async def wait(self, seconds: float, ended: asyncio.Event) -> None:
        """Let the time pass."""
        self.waits.append(seconds)
        ShiftedClock.shift_s += seconds
        await asyncio.sleep(0)


def let_time_fly() -> None:
    """From now on the breakers and the gate go by these clocks."""
    engine: Any = importlib.import_module("lrm_actors.hosting.engine")
    engine.SystemClock = ShiftedClock
    gate: Any = importlib.import_module("lrm_actors.adapters.browser_use.outage")
    gate.LoopClock = GateClock


class AwayModel(ScriptedModel):
    """The scripted model, which cannot be reached from a step on for some seconds."""

    def __init__(self, *args: Any, away_at: int, away_s: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self.away_at, self.away_s = away_at, away_s
        self.back_s: float | None = None
        self.refused = 0

    async def ainvoke(self, messages: list[Any], output_format: Any = None, **more: Any) -> Any:
        """Answer, unless it is away."""
        clock = ShiftedClock()
        if self.back_s is None and progress_in(prompt_of(messages)) + 1 == self.away_at:
            self.back_s = clock.monotonic() + self.away_s
        if self.back_s is not None and clock.monotonic() < self.back_s:
            self.refused += 1
            raise ConnectionError("the model cannot be reached")
        return await super().ainvoke(messages, output_format, **more)
