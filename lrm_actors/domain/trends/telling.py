"""What is put on record of the trends: one event when one is suspected, confirmed, or over.

What was told is part of the state that tells, so a process that ends in between tells the rest, and nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from eventstore.events import event
from lrm_actors.domain.trends.folding import TrendsState, current
from lrm_actors.domain.trends.trend import CONFIRMED, Trend


@event("monitor.trend_suspected", 1)
class TrendSuspected:
    """A trend may be there; what is wanted is nearly found."""

    trend: Trend


@event("monitor.trend_confirmed", 1)
class TrendConfirmed:
    """A trend is there, or has become much faster than it was when this was said of it."""

    trend: Trend


@event("monitor.trend_cleared", 1)
class TrendCleared:
    """A trend is over."""

    kind: str
    metric: str
    stage: str
    """What it was: ``suspected`` or ``confirmed``."""
    lasted_s: float
    """Seconds since it seems to have begun."""


Told = TrendSuspected | TrendConfirmed | TrendCleared


def untold(trends: TrendsState, told: Mapping[str, Trend]) -> Told | None:
    """What is to be told next of the trends as they are now; None when all is told.

    One at a time: events of one decision name each other as their cause, and trends do not cause each other.
    """
    if not told and not trends.concerning:
        return None
    now = {trend.key: trend for trend in current(trends)}
    for key, trend in now.items():
        before = told.get(key)
        if before is None or (before.stage, before.told) != (trend.stage, trend.told):
            return TrendConfirmed(trend) if trend.stage == CONFIRMED else TrendSuspected(trend)
    for key, trend in told.items():
        if key not in now:
            return TrendCleared(trend.kind, trend.metric, trend.stage, max(0.0, trends.now_s - trend.since_s))
    return None


def after(told: Mapping[str, Trend], news: Told) -> dict[str, Trend]:
    """What is told after one more event."""
    if isinstance(news, TrendCleared):
        return {key: trend for key, trend in told.items() if (trend.kind, trend.metric) != (news.kind, news.metric)}
    return {**told, news.trend.key: news.trend}


def report(trends: TrendsState) -> list[dict[str, Any]]:
    """The trends of this moment for the health report; ``for_s`` is how long each has gone on."""
    shown = []
    for trend in current(trends):
        one = attrs.asdict(trend)
        since_s = one.pop("since_s")
        del one["told"]
        shown.append({**one, "for_s": max(0.0, trends.now_s - since_s)})
    return shown
