"""Loads that swing about a threshold, and how often the health and with it the mode changes under them. Seeded."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import attrs

from eventstore.records import Instant
from lrm_actors.domain import modes, monitor
from lrm_actors.domain.behavior import Context
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.signals import MonitorConfig

INTERVAL_S = 30.0
DAY = 2880
"""Samples."""


def autoregressive(
    seed: int, mean: float = 78.0, deviation: float = 6.0, phi: float = 0.8, samples: int = DAY
) -> Iterator[float]:
    """Noise that remembers: each value is near the one before it. ``phi`` is how near."""
    chance = random.Random(seed)
    swing, fresh = 0.0, deviation * (1.0 - phi * phi) ** 0.5
    for _ in range(samples):
        swing = phi * swing + chance.gauss(0.0, fresh)
        yield min(max(mean + swing, 0.0), 100.0)


def white(seed: int, mean: float = 75.0, deviation: float = 8.0, samples: int = DAY) -> Iterator[float]:
    """Noise that remembers nothing."""
    return autoregressive(seed, mean, deviation, 0.0, samples)


@attrs.define
class Watched:
    """The monitor and the modes of one agent, sample by sample, without the rest of it."""

    config: MonitorConfig = attrs.Factory(MonitorConfig)
    seconds: float = 0.0
    watching: monitor.MonitorState = attrs.Factory(monitor.MonitorState)
    choosing: modes.ModesState = attrs.Factory(modes.ModesState)

    def __attrs_post_init__(self) -> None:
        """Have the monitor know the thresholds."""
        self.watching = attrs.evolve(self.watching, config=self.config)

    def sample(self, metrics: Metrics) -> str:
        """The status after one more sample."""
        self.seconds += INTERVAL_S
        context = Context(now=Instant(self.seconds, self.seconds, "boot"), command_id="", correlation_id="")
        for event in monitor.decide(self.watching, monitor.RecordSample(metrics), context).events:
            self.watching = monitor.evolve(self.watching, event)
            if isinstance(event, monitor.HealthChanged):
                considering = modes.ConsiderHealth(event.status, event.cause)
                for told in modes.decide(self.choosing, considering, context).events:
                    self.choosing = modes.evolve(self.choosing, told)
        return self.watching.status


def mode_changes(loads: Iterable[float]) -> int:
    """How often the mode changes under a load of the CPU."""
    watched = Watched()
    for load in loads:
        watched.sample(Metrics(cpu_percent=load, memory_percent=40.0))
    return watched.choosing.changes
