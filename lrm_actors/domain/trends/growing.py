"""The course of one metric that may grow: its past, the leak and the slow growth that are seen in it, and their ends.

A leak is suspected and confirmed by what the envelope's scales find, is re-estimated with every block, and is over when
the low-water mark falls back to where it was before, or when the growth is no longer seen for half the window it was
found in.
"""

from __future__ import annotations

import attrs

from eventstore.frozen import frozen
from lrm_actors.domain.trends import envelope, forecast, slow
from lrm_actors.domain.trends import records as marks
from lrm_actors.domain.trends.envelope import SCALES, Finding
from lrm_actors.domain.trends.records import Records
from lrm_actors.domain.trends.series import BLOCK_S, Series, push
from lrm_actors.domain.trends.trend import CONFIRMED, SLOW_GROWTH, SUSPECT_FROM, SUSPECTED, Trend, confidence

WIDEST = 2
"""The slowest scale that a leak moves up to while it lasts: it is found over soon enough by that one."""
UNLEARN_AFTER = 120
"""Blocks, four hours with its window before, after which what was given back was a leak, and no measure of what is
usual; what is given back sooner is, so that it is not taken for a leak twice."""
CHANGE_EVERY = 5
"""Blocks after which the beginning of a leak is looked for again; its slope is with every block."""
FASTER = 2.0
"""Times the rate it was told with, from which a confirmed leak is told again."""
STILL = 0.5
"""Share of what is wanted that lets a trend go on."""


@frozen
class Growth:
    """What is worth telling of one metric, in its own unit."""

    kind: str
    least_rise: float
    """Growth within a window of 16 minutes to 2 hours that matters; twice of it within 3 hours."""
    slow_rate: float | None = None
    """Growth per hour that matters when it goes on for a day; None: no slow growth is told."""
    unit: str = "MB"
    """That it is told in."""
    size: float = 1e6
    """One of these in the metric's own unit."""
    within_s: float | None = None
    """Told only if the resource may run out within this many seconds; None: in any case."""
    falls: bool = False
    """The metric is what is left, and growth is that it falls."""


@frozen
class Course:
    """What is remembered of one metric, and what is seen in it."""

    series: Series = attrs.Factory(Series)
    records: Records = attrs.Factory(Records)
    leak: Trend | None = None
    scale: int = 0
    """That the leak was seen at."""
    record: float = 0.0
    """The low-water mark that it was found above."""
    began: int = 0
    """The block that it is looked for from."""
    supported: int = 0
    """The last block at which it was seen."""
    slow: Trend | None = None
    told_rate: float = 0.0
    """Rate with which the leak was last told of as confirmed."""


def advance(course: Course, rules: Growth, metric: str, at_s: float, value: float, *, headroom: float | None) -> Course:
    """The course after one more sample. Times must not descend.

    Args:
        course: until now.
        rules: what matters.
        metric: its name.
        at_s: time on the clock of the fold.
        value: of the metric.
        headroom: how much more there can be; None: not known.
    """
    grown = -value if rules.falls else value
    ceiling = None if headroom is None else grown + headroom
    series = push(course.series, at_s, grown)
    if series.blocks is course.series.blocks:
        return course if series is course.series else _with_series(course, series)
    blocks = series.blocks
    now, rises = envelope.water_marks(blocks)
    newest = blocks.index[-1]
    records = marks.recorded(course.records, newest, now, rises)
    found = [
        finding
        for number in range(len(SCALES))
        if (
            finding := envelope.look(
                number, blocks, records, mark=now[number], rise=rises[number], least_rise=rules.least_rise
            )
        )
    ]
    following = attrs.evolve(course, series=series, records=records)
    following = _followed(following, rules, metric, found, now=now, ceiling=ceiling)
    if series.coarse is not course.series.coarse and rules.slow_rate is not None:
        following = _with_slow(following, rules, metric)
    if following.leak is not None and following.leak.stage == CONFIRMED and following.slow is not None:
        following = attrs.evolve(following, slow=None)
    return following


def _with_series(course: Course, series: Series) -> Course:
    """``attrs.evolve`` for the one change that nearly every sample makes, at a third of the price."""
    return Course(
        series, course.records, course.leak, course.scale, course.record, course.began, course.supported, course.slow,
        course.told_rate,
    )  # fmt: skip


def _followed(
    course: Course,
    rules: Growth,
    metric: str,
    found: list[Finding],
    *,
    now: list[float | None],
    ceiling: float | None,
) -> Course:
    """The leak after a block: new, seen again, confirmed, or over."""
    newest = course.series.blocks.index[-1]
    best = max(found, key=lambda finding: finding.sure, default=None)
    if course.leak is None:
        if best is None or best.sure < SUSPECT_FROM:
            return course
        began = newest - 2 * SCALES[best.scale].window
        opened = attrs.evolve(course, scale=best.scale, record=_base(best), began=began, supported=newest)
        return _told(opened, rules, metric, best, ceiling)
    mark = now[course.scale]
    if mark is not None and mark <= course.record:
        lasted = newest - course.began >= UNLEARN_AFTER
        records = marks.forgotten(course.records, course.began) if lasted else course.records
        return attrs.evolve(course, leak=None, records=records)
    wider = next((one for one in reversed(found) if WIDEST >= one.scale > course.scale and one.sure >= 1.0), None)
    seen = wider or next((one for one in found if one.scale >= course.scale and one.sure >= STILL), None)
    sure = best if best is not None and best.sure >= 1.0 else seen
    if sure is not None:
        moved = attrs.evolve(course, supported=newest)
        if wider is not None:
            moved = attrs.evolve(moved, scale=wider.scale, record=_base(wider))
        return _told(moved, rules, metric, sure, ceiling)
    if newest - course.supported > max(SCALES[course.scale].window // 2, 8):
        return attrs.evolve(course, leak=None)
    return course


def _base(finding: Finding) -> float:
    """The low-water mark at which what was found is given back."""
    window_s = SCALES[finding.scale].window * BLOCK_S
    return min(finding.record, finding.mark - 0.5 * finding.line.slope * window_s)


def _told(course: Course, rules: Growth, metric: str, finding: Finding, ceiling: float | None) -> Course:
    """With the leak as it is seen now; without it where it would not matter for long."""
    newest = course.series.blocks.index[-1]
    again = course.leak is not None and newest % CHANGE_EVERY
    since_s = course.leak.since_s if course.leak is not None and again else None
    ahead = forecast.forecast(course.series.blocks, ceiling, course.began, since_s)
    line = finding.line if ahead is None or ahead.line.slope <= 0.0 else ahead.line
    if rules.within_s is not None:
        soonest = None if ahead is None else ahead.middle_s
        if soonest is None or soonest > rules.within_s * (2.0 if course.leak is not None else 1.0):
            return attrs.evolve(course, leak=None)
    confirmed = finding.sure >= 1.0 or (course.leak is not None and course.leak.stage == CONFIRMED)
    rate = line.slope * 60.0 / rules.size
    told, told_rate = (course.leak.told, course.told_rate) if course.leak is not None else (0, 0.0)
    if confirmed and finding.sure >= 1.0 and rate > FASTER * told_rate:
        told, told_rate = told + 1, rate
    trend = Trend(
        kind=rules.kind,
        metric=metric,
        stage=CONFIRMED if confirmed else SUSPECTED,
        confidence=confidence(finding.sure),
        rate=rate,
        unit=f"{rules.unit}/min",
        told=told,
        since_s=(course.began * BLOCK_S) if ahead is None else ahead.since_s,
        evidence=_evidence(finding, rules, rate),
        exhausted_low_s=None if ahead is None else ahead.low_s,
        exhausted_high_s=None if ahead is None else ahead.high_s,
        exhausted_s=None if ahead is None else ahead.middle_s,
    )
    return attrs.evolve(course, leak=trend, told_rate=told_rate)


def _evidence(finding: Finding, rules: Growth, rate: float) -> str:
    scale = SCALES[finding.scale]
    minutes = scale.held * BLOCK_S / 60.0
    mark, record = abs(finding.mark) / rules.size, abs(finding.record) / rules.size
    where = (
        f"never above {mark:.0f} {rules.unit} for {minutes:.0f} min, before at least {record:.0f} once in so long"
        if rules.falls
        else f"never below {mark:.0f} {rules.unit} for {minutes:.0f} min, before at most {record:.0f} for so long"
    )
    window = scale.window * BLOCK_S / 60.0
    return f"{where}; {rate:+.2f} {rules.unit}/min over {window:.0f} min (Mann-Kendall z {finding.line.z:.1f})"


def _with_slow(course: Course, rules: Growth, metric: str) -> Course:
    """The slow growth after half an hour."""
    assert rules.slow_rate is not None
    seen = slow.look(course.series.coarse, rules.slow_rate / 3600.0, rules.least_rise / 8.0)
    sure = 0.0 if seen is None else seen.sure
    if seen is None or sure < (STILL if course.slow is not None else 1.0):
        return attrs.evolve(course, slow=None) if course.slow is not None else course
    lasted = len(course.series.coarse.index) >= slow.CONFIRM_AFTER and seen.hours * 2 >= slow.CONFIRM_AFTER
    confirmed = (sure >= 1.0 and lasted) or (course.slow is not None and course.slow.stage == CONFIRMED)
    unit = f"{rules.unit}/h"
    rate = seen.rate * 3600.0 / rules.size
    evidence = f"the least of each hour rose by {rate:+.1f} {unit} over {seen.hours:.0f} h, in every quarter of them"
    trend = Trend(
        kind=SLOW_GROWTH,
        metric=metric,
        stage=CONFIRMED if confirmed else SUSPECTED,
        confidence=confidence(sure),
        rate=rate,
        unit=unit,
        since_s=seen.since_s,
        evidence=evidence,
    )
    return attrs.evolve(course, slow=trend)
