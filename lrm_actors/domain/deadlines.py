"""Moments that outlive a process: a deadline is exact on the same boot, and clamped after another."""

from __future__ import annotations

from eventstore.events import float_fields
from eventstore.frozen import frozen
from eventstore.records import Instant


@frozen(field_transformer=float_fields)
class Deadline:
    """A moment ``delay_s`` after it was set, storable in an event."""

    delay_s: float
    monotonic_s: float
    wall_s: float
    boot_id: str

    def remaining_s(self, now: Instant) -> float:
        """Seconds until the deadline, between 0 and ``delay_s``.

        On the boot it was set on, the monotonic clock decides. After a reboot only the wall clock is left, which may
        have jumped; the clamp keeps a jump from making the wait longer than it ever was.
        """
        left = self.monotonic_s - now.monotonic_s if now.boot_id == self.boot_id else self.wall_s - now.wall_s
        return min(max(left, 0.0), self.delay_s)


def deadline(now: Instant, delay_s: float) -> Deadline:
    """The deadline ``delay_s`` from now."""
    return Deadline(delay_s, now.monotonic_s + delay_s, now.wall_s + delay_s, now.boot_id)


def elapsed_s(since: Instant, now: Instant) -> float:
    """Seconds between two moments, never negative; across a reboot by the wall clock."""
    same_boot = since.boot_id == now.boot_id
    return max(0.0, now.monotonic_s - since.monotonic_s if same_boot else now.wall_s - since.wall_s)
