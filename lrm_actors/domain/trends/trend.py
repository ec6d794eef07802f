"""What is told of a trend: its kind, how sure it is, how fast, until when, and why."""

from __future__ import annotations

from eventstore.events import float_fields
from eventstore.frozen import frozen

MEMORY_LEAK, SLOW_GROWTH = "memory_leak", "slow_growth"
CPU_SATURATION, CPU_SHIFT = "cpu_saturation", "cpu_shift"
THREAD_GROWTH, DESCRIPTOR_GROWTH = "thread_growth", "descriptor_growth"
DISK_FILL, UNUSUAL_TRAFFIC = "disk_fill", "unusual_traffic"
KINDS = (
    MEMORY_LEAK, SLOW_GROWTH, CPU_SATURATION, CPU_SHIFT, THREAD_GROWTH, DESCRIPTOR_GROWTH, DISK_FILL, UNUSUAL_TRAFFIC,
)  # fmt: skip
ACT_NOW = frozenset((MEMORY_LEAK, THREAD_GROWTH, DESCRIPTOR_GROWTH, DISK_FILL))
"""Kinds that end badly within hours if nobody does anything."""

SUSPECTED, CONFIRMED = "suspected", "confirmed"
SUSPECT_FROM = 0.8
"""Share of what is wanted for a trend to be confirmed, from which it is suspected."""
MOST_CONFIDENCE = 0.99


@frozen(field_transformer=float_fields)
class Trend:
    """One trend that is suspected or confirmed."""

    kind: str
    metric: str
    """Name of the metric in a sample."""
    stage: str
    confidence: float
    """From 0 to 1: a measure of how far the evidence is above what is wanted, and no frequency."""
    rate: float
    """How fast it changes, in ``unit``; for a level that shifted or is held, by how much or what it is."""
    unit: str
    since_s: float
    """Time at which it seems to have begun, on the clock of the fold, see ``TrendsState.now_s``."""
    evidence: str
    exhausted_low_s: float | None = None
    """Seconds until the resource runs out, at the earliest: the lower end of an 80 % interval. None: not known."""
    exhausted_high_s: float | None = None
    """At the latest."""
    exhausted_s: float | None = None
    """Most likely."""
    told: int = 0
    """Times that it was confirmed: again when it has become much faster."""

    @property
    def key(self) -> str:
        """Which trend it is: there is at most one of a kind for a metric."""
        return f"{self.kind}/{self.metric}"


def confidence(sure: float) -> float:
    """From how far evidence is above what is wanted (1) to 0..1: 0.5 there, more with more."""
    return round(min(MOST_CONFIDENCE, max(0.0, sure / (sure + 1.0))), 2)
