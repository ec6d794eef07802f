"""Robust lines, held against their definitions."""

from __future__ import annotations

import math
import statistics
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.domain.trends.robust import line_through, median, quantile, related

VALUES = st.lists(st.integers(-50, 50).map(float), min_size=2, max_size=20)


@given(VALUES)
def test_the_slope_is_the_median_of_all_pairs(values: list[float]) -> None:
    """Theil and Sen's, by its definition."""
    times = [10.0 * number for number in range(len(values))]
    pairs = combinations(zip(times, values, strict=True), 2)
    assert pytest.approx(statistics.median((b - a) / (t - s) for (s, a), (t, b) in pairs)) == (
        line_through(times, values).slope
    )


@given(VALUES)
def test_the_statistic_is_kendalls(values: list[float]) -> None:
    """Mann and Kendall's with ties and the correction for continuity, by its definition."""
    count = len(values)
    score = sum((b > a) - (b < a) for a, b in combinations(values, 2))
    ties = sum(n * (n - 1) * (2 * n + 5) for n in (values.count(value) for value in set(values)))
    variance = (count * (count - 1) * (2 * count + 5) - ties) / 18.0
    wanted = (score - math.copysign(1, score)) / math.sqrt(variance) if score else 0.0
    assert pytest.approx(wanted) == line_through([float(n) for n in range(count)], values).z


def test_one_outlier_changes_little() -> None:
    """A spike in one of twelve points moves a line of least squares, and not this one."""
    times = [float(number) for number in range(12)]
    values = [2.0 * time for time in times]
    values[5] = 1000.0
    assert pytest.approx(2.0, abs=0.01) == line_through(times, values).slope


@given(VALUES)
def test_the_interval_holds_the_slope(values: list[float]) -> None:
    """And is no narrower when points hang together."""
    line = line_through([float(number) for number in range(len(values))], values)
    low, high = line.between()
    wider_low, wider_high = line.between(3.0)
    assert wider_low <= low <= line.slope <= high <= wider_high


def test_medians_and_quantiles() -> None:
    """Between two values, in proportion."""
    assert (2.0, 2.5) == (median([3.0, 1.0, 2.0]), median([4.0, 1.0, 3.0, 2.0]))
    assert (1.0, 2.5, 4.0) == tuple(quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.5, 1.0))


def test_what_hangs_together() -> None:
    """From 0 for what alternates to 0.95 at most."""
    assert 0.0 == related([1.0, -1.0, 1.0, -1.0])
    assert 0.0 == related([0.0, 0.0])
    assert related([1.0, 1.0, 1.0, -1.0, -1.0, -1.0]) > 0.4
