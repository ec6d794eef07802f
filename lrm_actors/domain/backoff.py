"""How long to wait before the next try: exponential, with jitter taken below the cap, never above it."""

from __future__ import annotations

from collections.abc import Callable

MAX_DOUBLINGS = 63
"""Past it nothing is doubled: a tenth of a second has long become more than the age of the universe."""


def exponential_s(attempt: int, initial_s: float, cap_s: float) -> float:
    """Seconds to wait before try ``attempt``, without jitter: twice as long each time, from ``initial_s`` to ``cap_s``.

    Args:
        attempt: 1 for the first; less counts as 1.
        initial_s: the first delay.
        cap_s: the longest delay; a larger ``initial_s`` is capped too.
    """
    doublings = min(max(attempt, 1) - 1, MAX_DOUBLINGS)
    return float(min(cap_s, initial_s * 2.0**doublings))


def delay_s(attempt: int, initial_s: float, cap_s: float, jitter: float, random: Callable[[], float]) -> float:
    """Seconds to wait before try ``attempt``, between ``1 - jitter`` of the exponential delay and the whole of it.

    Jitter only ever shortens. Added on top of a capped delay it would exceed the cap, which is how a cap of 30 s came
    to mean 36 s elsewhere.

    Args:
        attempt: 1 for the first; less counts as 1.
        initial_s: the first delay.
        cap_s: the longest delay.
        jitter: the share of the delay that is left to chance, 0 to 1.
        random: gives a number in ``[0, 1)``.
    """
    return exponential_s(attempt, initial_s, cap_s) * (1.0 - jitter * random())
