"""How the monitor's effects are carried out: samples are taken, and the host's components looked at.

Talks to the sampler and to the component registry. What was seen comes back to the monitor as a command.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from lrm_actors.actors.sampling.sampler import Sampler
from lrm_actors.domain.behavior import Command, Effect
from lrm_actors.domain.monitor import CheckHeartbeats, Observation, RecordObservations, RecordSample, TakeSample

HOLD_UPS = 16
"""Times this process was held up that are remembered."""


class HeartbeatCheck:
    """Looks at every component, and does not hold against them the time that this process was itself held up.

    Args:
        observe: how every component looks now.
        monotonic: the time.
        worth_telling: whether what was seen changes anything. What does not costs the monitor no message.
    """

    def __init__(
        self,
        observe: Callable[[], tuple[Observation, ...]],
        monotonic: Callable[[], float],
        worth_telling: Callable[[RecordObservations], bool] = lambda _: True,
    ) -> None:
        self._observe, self._monotonic, self._worth_telling = observe, monotonic, worth_telling
        self._hold_ups: deque[tuple[float, float]] = deque(maxlen=HOLD_UPS)

    def __call__(self, effect: CheckHeartbeats) -> RecordObservations | None:
        """Answer with what was seen, if it is worth it: also without any, for the health is judged at the same time."""
        now_s = self._monotonic()
        gap_s = max(0.0, now_s - effect.due_s)
        seen = self._observe()
        timeouts = [one.heartbeat_timeout_s for one in seen if one.heartbeat_timeout_s is not None]
        if timeouts and gap_s >= min(timeouts) / 2:
            self._hold_ups.append((now_s - gap_s, now_s))
        told = RecordObservations(tuple(self._credited(one, now_s) for one in seen), gap_s)
        return told if self._worth_telling(told) else None

    def _credited(self, one: Observation, now_s: float) -> Observation:
        if one.heartbeat_age_s is None:
            return one
        beat_s = now_s - one.heartbeat_age_s
        held_s = sum(max(0.0, end_s - max(start_s, beat_s)) for start_s, end_s in self._hold_ups)
        return attrs.evolve(one, heartbeat_age_s=max(0.0, one.heartbeat_age_s - held_s)) if held_s else one


def monitor_handlers(
    sampler: Sampler,
    observe: Callable[[], tuple[Observation, ...]],
    monotonic: Callable[[], float] = time.monotonic,
    worth_telling: Callable[[RecordObservations], bool] = lambda _: True,
) -> Mapping[type[Effect], Callable[[Any], Command | None]]:
    """How the monitor's effects are carried out.

    Args:
        sampler: takes the samples.
        observe: how every component of the host looks now; ``ComponentRegistry.observe``.
        monotonic: the clock that ``CheckHeartbeats.due_s`` was taken from.
        worth_telling: whether what was seen of the components changes anything.
    """

    def take_sample(_: TakeSample) -> Command | None:
        metrics = sampler.sample()
        return None if metrics is None else RecordSample(metrics)

    return {TakeSample: take_sample, CheckHeartbeats: HeartbeatCheck(observe, monotonic, worth_telling)}
