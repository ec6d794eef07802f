"""Bugs planted in the detectors: the suite has to see each of them."""

from __future__ import annotations

import math

import attrs
import pytest

from lrm_actors.domain.trends import envelope, forecast, growing, saturation, series
from lrm_actors.domain.trends.series import BLOCK_S, Series
from lrm_actors.testing import leaks


def alarms(*kinds: str) -> int:
    """False alarms on two days of each kind."""
    return sum(leaks.false_alarms(kind, seed) for kind in kinds for seed in (0, 3))


def test_without_bugs_nothing_cries() -> None:
    """What the planted bugs are held against."""
    assert 0 == alarms("noise", "warm_up")


def test_envelope_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the low-water mark above its record a task that gathers memory is a leak."""
    monkeypatch.setattr(envelope, "_level_novelty", lambda *_: 9.0)
    assert alarms("task_cycles") >= 4


def test_mean_instead_of_minima(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block's mean is not what stays: a leak under bursts of requests is found later through it, or not at all."""
    sums: dict[int, tuple[float, int]] = {}

    def push_means(before: Series, at_s: float, value: float) -> Series:
        block = int(at_s // BLOCK_S)
        total, count = sums.get(block, (0.0, 0))
        sums[block] = total + value, count + 1
        mean = (total + value) / (count + 1)
        return attrs.evolve(series.push(before, at_s, mean), open_low=mean, open_high=mean)

    def minutes_late() -> float:
        late = 0.0
        for seed in range(3):
            sums.clear()
            found_s = leaks.delay_s("bursts", seed, 5.0)
            late += leaks.FOUND_WITHIN_S if found_s is None else found_s
        return late / 60.0

    sound = minutes_late()
    monkeypatch.setattr(growing, "push", push_means)
    assert minutes_late() > 1.3 * sound


def test_decelerating_growth_told() -> None:
    """What slows down to less than half is not what is wanted, and what goes on is."""
    scale = envelope.SCALES[0]
    times = [float(number) for number in range(8)]
    slowing = [100.0 * (1.0 - math.exp(-time / 3.0)) for time in times]
    assert envelope._not_slowing(times, slowing, scale) < 1.0
    assert envelope._not_slowing(times, times, scale) >= 1.0


def test_one_jump_told_as_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Permanent steps are leaks to whoever does not see that the rise is one jump."""
    sound = sum(leaks.false_alarms("steps", seed) for seed in range(3))
    monkeypatch.setattr(envelope, "_not_one_jump", lambda *_: 9.0)
    monkeypatch.setattr(envelope, "_not_slowing", lambda *_: 9.0)
    assert sum(leaks.false_alarms("steps", seed) for seed in range(3)) >= sound + 3


def test_forecast_from_before_the_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slope that is taken over the time before the leak too makes forecasts too late."""
    kinds = ("noise", "fast_collector", "bursts", "daily_wave")
    sound = [leaks.forecasted(kind, 0, 10.0) for kind in kinds]
    monkeypatch.setattr(forecast, "_beginning", lambda blocks, since: blocks.index[0] * BLOCK_S)
    wrong = [leaks.forecasted(kind, 0, 10.0) for kind in kinds]
    assert sum(one is not None and one.error <= 0.2 for one in sound) >= 3
    assert sum(one is None or one.error > 0.2 for one in wrong) >= 3


def test_runs_of_samples_not_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes every three samples at the top for a saturation cries all day."""
    monkeypatch.setattr(saturation, "needed", lambda *_, **__: 2)
    assert leaks.cpu_false_onsets("bursts", 0) >= 5
