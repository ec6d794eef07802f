"""The leak suite: calm on days without a leak, and leaks found in time on every kind of them.

The default run looks at few seeds; ``--profile release`` at twenty of each kind, which nobody looked at when the
detectors were made.
"""

from __future__ import annotations

import pytest

from lrm_actors.testing import leaks
from lrm_actors.testing.traces import CPU_KINDS, MEMORY_KINDS, memory_trace

UNSEEN = range(leaks.VERIFYING_FROM, leaks.VERIFYING_FROM + 20)


@pytest.fixture
def seeds(release: bool) -> range:
    """All that a release is judged by, or a few."""
    return UNSEEN if release else UNSEEN[:1]


def test_there_are_nine_kinds_and_more() -> None:
    """Traces of every kind differ by seed, and are the same in every process."""
    assert len(MEMORY_KINDS) >= 9
    first = [round(memory_trace(kind, 0)[100], 3) for kind in MEMORY_KINDS]
    again = [round(memory_trace(kind, 0)[100], 3) for kind in MEMORY_KINDS]
    assert first == again
    assert len(set(first)) == len(MEMORY_KINDS)
    assert memory_trace("tabs", 0) != memory_trace("tabs", 1)


def test_days_without_a_leak_are_calm(seeds: range) -> None:
    """At most 0.4 alarms of any kind a day, and at most one for every kind of trace."""
    calm = leaks.calm_in_memory(seeds)
    print(f"{len(MEMORY_KINDS) * len(seeds)} days, {calm.mean:.2f} alarms a day, worst kind {calm.worst:.2f}")
    assert calm.mean <= 0.4
    assert calm.worst <= (1.0 if len(seeds) > 1 else 2.0)


@pytest.mark.parametrize(("rate", "within_min"), [(2.0, 180.0), (5.0, 45.0), (10.0, 20.0), (50.0, 15.0)])
def test_leaks_are_found(seeds: range, rate: float, within_min: float) -> None:
    """Of two megabytes a minute and more nearly all within three hours, and half of them within minutes."""
    found = leaks.leaks_found(seeds, rate)
    print(f"{found.recall:.1%} of {found.count} leaks of {rate:g} MB/min, median after {found.median_min:.0f} min")
    assert found.recall >= 0.99
    assert found.median_min <= within_min


@pytest.mark.parametrize("rate", [5.0, 10.0, 50.0])
def test_forecasts_are_right_and_honest(release: bool, rate: float) -> None:
    """With an hour left, half are within 15 %, and three of four 80 % intervals hold the truth."""
    if not release and rate > 5.0:
        pytest.skip("with --profile release")
    told = leaks.forecasts(UNSEEN if release else UNSEEN[:1], [rate])
    print(f"{told.count} forecasts at {rate:g} MB/min: error {told.median_error:.1%}, covered {told.coverage:.0%}")
    assert told.median_error <= 0.15
    assert told.coverage >= 0.75
    assert told.bounded >= 0.75


def test_slow_growth_is_found_as_what_it_is(release: bool) -> None:
    """Two to twelve megabytes an hour under bursts of requests: within 25 hours, and nothing to act on at once."""
    rates, seeds = ((2.0, 4.0, 8.0, 12.0), UNSEEN) if release else ((3.0,), UNSEEN[:1])
    told = [leaks.slow_growth(seed, rate) for rate in rates for seed in seeds]
    found = [one for one in told if one.found_after_s is not None]
    print(f"{len(found)} of {len(told)} found, {sum(one.acted for one in told)} taken for leaks to act on")
    assert len(found) >= 0.99 * len(told)
    assert not any(one.acted for one in told)


def test_noisy_cpu_is_no_onset(release: bool) -> None:
    """At most 0.2 false onsets a day, of saturation and of shifts together."""
    seeds = UNSEEN if release else UNSEEN[:1]
    calm = leaks.calm_in_cpu(seeds)
    print(f"{len(CPU_KINDS) * len(seeds)} days, {calm.mean:.3f} false onsets a day, worst kind {calm.worst:.2f}")
    assert calm.mean <= (0.2 if release else 0.4)


SETTLED = ("white_75", "white_20", "drift_25", "daily", "tasks")
"""Kinds that do not reach the top by themselves, so that it is strange at once."""


def test_saturation_is_found_within_three_samples(release: bool) -> None:
    """On what never reached the top. On what does, a run has to outlast those before, up to ten samples."""
    seeds = UNSEEN if release else UNSEEN[:1]
    at_once = [leaks.saturation_samples(kind, seed) for kind in SETTLED for seed in seeds]
    rest = [leaks.saturation_samples(kind, seed) for kind in CPU_KINDS if kind not in SETTLED for seed in seeds]
    late = [count for count in rest if count is None or count > 3]
    print(f"{len(at_once)} within 3 samples; of {len(rest)} that reach the top by themselves {len(late)} within 10")
    assert all(count is not None and count <= 3 for count in at_once)
    assert all(count is not None and count <= 10 for count in rest)


def test_a_level_shift_far_from_saturation_is_found(release: bool) -> None:
    """Twenty-five points more than ever, from 20 % and still far from the top: within half an hour."""
    seeds = UNSEEN if release else UNSEEN[:1]
    found = [leaks.shift_samples("white_20", seed, 25.0) for seed in seeds]
    assert all(count is not None and count <= 60 for count in found)
