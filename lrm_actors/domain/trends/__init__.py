"""What the samples say of the hours to come: leaks, slow growth, saturation, shifts, a disk, strange traffic."""

from __future__ import annotations

from lrm_actors.domain.trends.folding import Changes, TrendsState, changes, current, fold, restarted
from lrm_actors.domain.trends.trend import CONFIRMED, KINDS, SUSPECTED, Trend

__all__ = [
    "CONFIRMED",
    "KINDS",
    "SUSPECTED",
    "Changes",
    "Trend",
    "TrendsState",
    "changes",
    "current",
    "fold",
    "restarted",
]
