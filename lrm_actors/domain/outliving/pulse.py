"""Whether heartbeats come in time, less the watchdog's own lateness: who was held up himself accuses nobody."""

from __future__ import annotations

import attrs

from eventstore.frozen import frozen

HELD_UP_S = 1.0
"""A watchdog that wakes so much later than it wanted to was held up: stopped, frozen with its machine, or starved."""


EXCUSED_MOST = 5
"""How often in a row that excuses a silent process: where the watchdog is always late, it must come to an end all the
same."""


@frozen
class Pulse:
    """The heartbeats of one process, on the watchdog's monotonic clock."""

    timeout_s: float
    last_s: float | None = None
    """When the last one came; None: none is expected."""
    excused: int = 0
    """How often the process was excused since."""

    def beat(self, now_s: float) -> Pulse:
        """One came."""
        return attrs.evolve(self, last_s=now_s, excused=0)

    def quiet(self) -> Pulse:
        """None is expected until the next one."""
        return attrs.evolve(self, last_s=None, excused=0)

    def held_up(self, late_s: float, now_s: float) -> Pulse:
        """The watchdog itself was held up, and knows nothing of that time: the process has all of its time anew."""
        if self.last_s is None or late_s < HELD_UP_S or self.excused >= EXCUSED_MOST:
            return self
        return attrs.evolve(self, last_s=now_s, excused=self.excused + 1)

    def due_s(self) -> float | None:
        """When one is missed, if none comes."""
        return None if self.last_s is None else self.last_s + self.timeout_s

    def missed_s(self, now_s: float) -> float | None:
        """Seconds since the last one, where that is too long; None: all is well."""
        if self.last_s is None or now_s - self.last_s < self.timeout_s:
            return None
        return now_s - self.last_s
