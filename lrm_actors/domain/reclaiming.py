"""How much memory has to be given back, and whether what was done about it was enough. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from eventstore.frozen import frozen
from lrm_actors.domain.metrics import BUDGET, CGROUP, Metrics

LEAST_FREED_BYTES = 1024 * 1024
"""What gave back less than this did not help."""
USELESS_FOR_S = 300.0
"""Seconds for which what did not help is passed over."""
OURS_FROM = 0.25
"""Share of the limit that the agent's own processes must hold for their replacement to help."""


@frozen
class Attempt:
    """The last time that something was asked to give memory back."""

    at_s: float
    """Monotonic time."""
    freed_bytes: int


def needed_bytes(memory: Metrics, target_percent: float) -> int | None:
    """Bytes to give back until no more than ``target_percent`` of the limit is in use; None where that is not known."""
    limit, headroom = memory.memory_limit_bytes, memory.memory_headroom_bytes
    if limit is None or headroom is None:
        return None
    return max(0, int(limit * (1.0 - target_percent / 100.0)) - headroom)


def freed_bytes(before: Metrics, after: Metrics) -> int:
    """What is left more than before: what was really given back, whatever whoever gave it says. Never negative.

    Where another limit is the tightest afterwards, what is left of the two says nothing: then it is what the machine
    has more, and no more than was in use of the limit before.
    """
    left = before.memory_headroom_bytes
    if left is None or after.memory_headroom_bytes is None:
        return 0
    limit = before.memory_limit_bytes
    if limit is None or limit == after.memory_limit_bytes:
        return max(0, after.memory_headroom_bytes - left)
    if before.memory_available_bytes is None or after.memory_available_bytes is None:
        return 0
    return max(0, min(after.memory_available_bytes - before.memory_available_bytes, limit - left))


def worth_asking(attempts: Mapping[str, Attempt], name: str, now_s: float) -> bool:
    """Whether it may help: it has not been asked lately in vain."""
    last = attempts.get(name)
    return last is None or last.freed_bytes >= LEAST_FREED_BYTES or now_s - last.at_s >= USELESS_FOR_S


def is_ours(sample: Metrics) -> bool:
    """Whether it is the agent's own memory that runs out: ending its process would give it back."""
    if sample.limited_by in {CGROUP, BUDGET}:
        return True
    own, limit = sample.memory_anonymous_bytes, sample.memory_limit_bytes
    return own is not None and limit is not None and own >= OURS_FROM * limit
