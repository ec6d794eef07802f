"""What several failures have in common: bursts, rhythms, cascades, and components that come and go.

Pure functions of bounded memories. Each pattern is told with the evidence for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from eventstore.frozen import frozen

BURST, RECURRING, ESCALATING = "burst", "recurring", "escalating"
CASCADE, FLAPPING, USELESS_RECOVERY = "cascade", "flapping", "useless_recovery"
PATTERNS = (BURST, RECURRING, ESCALATING, CASCADE, FLAPPING, USELESS_RECOVERY)

BURST_COUNT, BURST_S = 5, 10.0
RHYTHM_COUNT, RHYTHM_LEAST_S, RHYTHM_TOLERANCE = 4, 5.0, 0.15
ESCALATION_COUNT, ESCALATION_RATIO, ESCALATION_MAX_S = 5, 0.75, 3600.0
CASCADE_COUNT, CASCADE_S = 3, 10.0
FLAPPING_COUNT, FLAPPING_S = 3, 600.0
USELESS_COUNT = 2
QUIET_S = 300.0
"""Seconds after which a pattern that is seen again is told again, and no longer adds to the severity."""
MAX_TIMES = 8
"""Times remembered of one fingerprint or component."""
MAX_MARKS = 48
"""Fingerprints and components whose times are remembered."""


@frozen
class Times:
    """When something happened of late, on one boot."""

    boot_id: str
    at_s: tuple[float, ...] = ()

    def with_one(self, at_s: float, boot_id: str) -> Times:
        """With one more; those of another boot cannot be compared and are forgotten."""
        before = self.at_s if boot_id == self.boot_id else ()
        return Times(boot_id, (*before, at_s)[-MAX_TIMES:])


@frozen
class Found:
    """One pattern, and why it is one."""

    pattern: str
    evidence: str
    components: tuple[str, ...]


def burst(component: str, at_s: Sequence[float]) -> Found | None:
    """Many failures of one component within seconds."""
    lately = [one for one in at_s if at_s[-1] - one <= BURST_S]
    if len(lately) < BURST_COUNT:
        return None
    return Found(BURST, f"{len(lately)} failures within {lately[-1] - lately[0]:.1f} s", (component,))


def recurring(component: str, at_s: Sequence[float]) -> Found | None:
    """The same failure at an interval: somebody's timer is behind it."""
    gaps = _gaps(at_s)[-(RHYTHM_COUNT - 1) :]
    if len(gaps) < RHYTHM_COUNT - 1:
        return None
    mean = sum(gaps) / len(gaps)
    if mean < RHYTHM_LEAST_S or max(abs(gap - mean) for gap in gaps) > RHYTHM_TOLERANCE * mean:
        return None
    return Found(RECURRING, f"every {mean:.0f} s, {len(gaps) + 1} times", (component,))


def escalating(component: str, at_s: Sequence[float]) -> Found | None:
    """The same failure after ever shorter times."""
    gaps = _gaps(at_s)[-(ESCALATION_COUNT - 1) :]
    if len(gaps) < ESCALATION_COUNT - 1 or not 0.0 < gaps[0] <= ESCALATION_MAX_S:
        return None
    if any(later > earlier * ESCALATION_RATIO for earlier, later in pairwise(gaps)):
        return None
    return Found(ESCALATING, f"after {', '.join(f'{gap:.0f}' for gap in gaps)} s", (component,))


def cascade(recent: Sequence[tuple[float, str]]) -> Found | None:
    """Several components within seconds; the first to fail may be the cause of all.

    Args:
        recent: time and component of the newest failures, oldest first.
    """
    last_s = recent[-1][0]
    order: list[str] = []
    began_s = last_s
    for at_s, component in recent:
        if component and 0.0 <= last_s - at_s <= CASCADE_S and component not in order:
            began_s = min(began_s, at_s)
            order.append(component)
    if len(order) < CASCADE_COUNT:
        return None
    return Found(CASCADE, f"{order[0]}, then {', '.join(order[1:])}, within {last_s - began_s:.1f} s", tuple(order))


def flapping(component: str, came_back_s: Sequence[float], now_s: float) -> Found | None:
    """A component that fails again each time it came back."""
    lately = [one for one in came_back_s if 0.0 <= now_s - one <= FLAPPING_S]
    if len(lately) < FLAPPING_COUNT:
        return None
    return Found(FLAPPING, f"failed again after {len(lately)} restarts within {now_s - lately[0]:.0f} s", (component,))


def useless(component: str, strategy: str, in_a_row: int) -> Found | None:
    """The same failure after the same recovery."""
    if in_a_row < USELESS_COUNT:
        return None
    return Found(USELESS_RECOVERY, f"{in_a_row} times in a row {strategy} did not help", (component,))


def _gaps(at_s: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(at_s)]
