"""A cheap look at memory, again and again: seldom while there is much, many times a second near a limit.

Talks to the kernel, and tells whoever it is given what it saw that is worth telling. Runs on a thread of its own, which
needs no worker, no timer and no further memory: near a limit there may be none to be had.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import attrs

from lrm_actors.actors.sampling.memory import MemoryReader
from lrm_actors.actors.sampling.pressure import Stall
from lrm_actors.actors.sampling.readings import NotHere, reason
from lrm_actors.domain.metrics import Metrics

MOST_S, LEAST_S = 5.0, 0.05
"""Seconds between two looks."""
ASSUMED_BYTES_PER_S = 100 * 1024 * 1024
"""How fast memory may be taken all of a sudden; or twice as fast as at the last look, if that is more."""
LOOKS_LEFT = 4
"""Looks that are to come before memory can have run out at that speed."""
STALLED_PERCENT, STALLED_FACTOR = 10.0, 4.0
"""From this share of time in which tasks wait for memory it is looked at so many times as often."""
TOLD_AGAIN_S = 1.0
"""Seconds until what was told and led to nothing is told again."""
PINGS_S = 1.0
"""Seconds between two questions to the host's event loop."""

_log = logging.getLogger("lrm_actors.mode")


def next_look_s(headroom_bytes: int | None, shrinking_bytes_per_s: float, stalled_percent: float) -> float:
    """Seconds until memory is looked at again.

    As in earlyoom, the time in which what is left could be used up, and so shorter the nearer the limit is.

    Args:
        headroom_bytes: what is left; None: not known.
        shrinking_bytes_per_s: how fast it got less since the last look.
        stalled_percent: share of time in which some task waited for memory.
    """
    if headroom_bytes is None:
        return MOST_S
    fastest = max(ASSUMED_BYTES_PER_S, 2.0 * shrinking_bytes_per_s)
    delay_s = headroom_bytes / fastest / LOOKS_LEFT
    if stalled_percent >= STALLED_PERCENT:
        delay_s /= STALLED_FACTOR
    return min(max(delay_s, LEAST_S), MOST_S)


class PressureProbe:
    """Looks at memory until it is ended.

    Args:
        reader: of memory.
        worth_telling: whether what was seen changes anything; asked on the probe's thread.
        tell: told it; may raise, and is then told again with the next look.
        stall: of memory; None where the kernel does not tell.
        ping: called about once a second, for what else is to be looked at.
        monotonic: the time.
    """

    def __init__(
        self,
        reader: MemoryReader,
        *,
        worth_telling: Callable[[Metrics], bool],
        tell: Callable[[Metrics], object],
        stall: Stall | None = None,
        ping: Callable[[], object] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.looks = 0
        """So far."""
        self._reader, self._worth_telling, self._tell = reader, worth_telling, tell
        self._stall, self._ping, self._monotonic = stall, ping, monotonic
        self._ended = threading.Event()
        self._before: tuple[float, int] | None = None
        self._told_at_s = self._pinged_at_s = float("-inf")
        self._trouble = ""

    def run(self) -> None:
        """Look again and again, on this thread, until ``end``."""
        try:
            while not self._ended.wait(self.look()):
                pass
        finally:
            self._reader.close()
            if self._stall is not None:
                self._stall.close()

    def end(self) -> None:
        """Look no more. Returns at once."""
        self._ended.set()

    def look(self) -> float:
        """Look once. Never raises.

        Returns:
            Seconds until the next look.
        """
        self.looks += 1
        now_s = self._monotonic()
        try:
            seen = self._seen()
        except Exception as error:  # noqa: BLE001 - the next look may go better, and samples are taken as well
            self._say(reason(error))
            return MOST_S
        try:
            if now_s - self._told_at_s >= TOLD_AGAIN_S and self._worth_telling(seen):
                self._tell(seen)
                self._told_at_s = now_s
            if now_s - self._pinged_at_s >= PINGS_S:
                self._pinged_at_s = now_s
                self._ping()
                self._trouble = ""  # all that can go wrong went well
        except Exception as error:  # noqa: BLE001 - as soon told again as looked again: memory does not wait
            self._say(reason(error))
        return next_look_s(
            seen.memory_headroom_bytes, self._shrinking(now_s, seen), seen.memory_stall_some_percent or 0.0
        )

    def _seen(self) -> Metrics:
        seen = self._reader.look()
        if self._stall is None:
            return seen
        try:
            shares = self._stall.percents()
        except NotHere:
            return seen
        except (OSError, ValueError) as error:
            return attrs.evolve(seen, unknown={**seen.unknown, "memory_stall_some_percent": reason(error)})
        return attrs.evolve(
            seen, memory_stall_some_percent=shares.get("some"), memory_stall_full_percent=shares.get("full")
        )

    def _shrinking(self, now_s: float, seen: Metrics) -> float:
        """Bytes a second by which what is left got less since the last look."""
        before, headroom = self._before, seen.memory_headroom_bytes
        self._before = None if headroom is None else (now_s, headroom)
        if before is None or headroom is None or now_s <= before[0]:
            return 0.0
        return max((before[1] - headroom) / (now_s - before[0]), 0.0)

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble and not self._ended.is_set():
            self._trouble = trouble
            _log.warning("memory was not looked at between two samples: %s", trouble)
