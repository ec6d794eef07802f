"""Loads that swing about a threshold, and how often the health and with it the mode changes under them. Seeded."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import attrs

from eventstore.records import Instant
from lrm_actors.domain import health, modes, monitor
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
    """The signals of one agent, judged sample by sample as its monitor does, without the rest of it."""

    config: MonitorConfig = attrs.Factory(MonitorConfig)
    marks: dict[str, health.Mark] = attrs.Factory(dict)
    levels: dict[str, str] = attrs.Factory(dict)
    seconds: float = 0.0

    def sample(self, metrics: Metrics) -> str:
        """The status after one more sample."""
        self.seconds += INTERVAL_S
        marks = health.marked(self.config, self.marks, metrics, self.seconds)
        levels = health.judge(self.config, metrics, self.levels, marks)
        self.marks, self.levels = health.stepped_down(marks, self.levels, levels), levels
        return health.worst(levels)


def mode_changes(loads: Iterable[float]) -> int:
    """How often the mode changes under a load of the CPU."""
    watched, mode, changes = Watched(), modes.NORMAL, 0
    for load in loads:
        wanted = modes.MODE_FOR_HEALTH[watched.sample(Metrics(cpu_percent=load, memory_percent=40.0))]
        changes += wanted != mode
        mode = wanted
    return changes


def mode_changes_of_actors(loads: Iterable[float]) -> int:
    """The same by the decisions of both actors, event by event: slower, and what a running agent does."""
    watching, choosing = monitor.MonitorState(), modes.ModesState()
    for number, load in enumerate(loads, 1):
        now = Instant(number * INTERVAL_S, number * INTERVAL_S, "boot")
        context = Context(now=now, command_id="", correlation_id="")
        sample = Metrics(cpu_percent=load, memory_percent=40.0)
        for event in monitor.decide(watching, monitor.RecordSample(sample), context).events:
            watching = monitor.evolve(watching, event)
            if isinstance(event, monitor.HealthChanged):
                considering = modes.ConsiderHealth(event.status, event.cause)
                for told in modes.decide(choosing, considering, context).events:
                    choosing = modes.evolve(choosing, told)
    return choosing.changes
