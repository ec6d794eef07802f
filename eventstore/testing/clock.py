"""A clock that stands still until a test moves it."""

from __future__ import annotations

from eventstore.records import Instant


class FakeClock:
    """Both clocks under the test's control. Give it to a store as its ``clock``."""

    def __init__(self, wall_s: float = 1_000.0, monotonic_s: float = 10.0, boot_id: str = "boot-1") -> None:
        self.wall_s = wall_s
        """Seconds since the Unix epoch. May be set to anything, as people and time servers do."""
        self.monotonic_s = monotonic_s
        self.boot_id = boot_id

    def __call__(self) -> Instant:
        """The moment it is set to."""
        return Instant(self.wall_s, self.monotonic_s, self.boot_id)

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.wall_s += seconds
        self.monotonic_s += seconds
