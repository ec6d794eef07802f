"""Reports on their way from a guard to its actor: told in order, kept when they cannot be, never in a caller's way.

Talks to the actor by the function it is given.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from lrm_actors.domain.behavior import Command

LIMIT = 256

logger = logging.getLogger(__name__)


class Outbox:
    """Commands in order, told by whichever thread comes first; the others go on with their work.

    Args:
        tell: hands one command over; may raise, and may block the one thread that is in it.
        limit: reports that may wait; one more is dropped and counted.
    """

    def __init__(self, tell: Callable[[Command], None], limit: int = LIMIT) -> None:
        self._tell = tell
        self._limit = limit
        self._telling = threading.Lock()
        self._waiting: deque[Command] = deque()
        self.lost = 0
        """Reports dropped."""

    @property
    def waiting(self) -> int:
        """Reports not told yet."""
        return len(self._waiting)

    def send(self, command: Command) -> None:
        """Tell it now if possible, else with a later call."""
        if len(self._waiting) >= self._limit:
            self.lost += 1
            return
        self._waiting.append(command)
        self.flush()

    def flush(self) -> None:
        """Tell what waits, unless another thread is doing so."""
        # Looked at again after the release: what another thread added in between would otherwise wait for a next call.
        while self._waiting and self._telling.acquire(blocking=False):
            try:
                if not self._drain():
                    return
            finally:
                self._telling.release()

    def _drain(self) -> bool:
        while self._waiting:
            try:
                self._tell(self._waiting[0])
            except Exception as error:  # noqa: BLE001 - whatever is wrong there is no business of the guarded caller
                logger.debug("a report has to wait: %r", error)
                return False
            self._waiting.popleft()
        return True
