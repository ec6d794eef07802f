"""Looks now and then whether the files of a log that is open are still where they were opened.

Talks to the file system on a worker thread, as a look may hang.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from eventstore import whereabouts
from lrm_actors.hosting.offload import beside
from lrm_actors.runtime.clock import Clock


class Presence:
    """Looks now and then, until ``end``.

    Args:
        path: of a log that is open, as it was opened.
        clock: for the pauses in between.
        on_trouble: told what ``Whereabouts.look`` gives, on a worker thread, at each look that finds something wrong,
            and "" when all is well again.
    """

    def __init__(self, path: Path, clock: Clock, on_trouble: Callable[[str], object]) -> None:
        self.files = whereabouts.Whereabouts(path)
        self._clock = clock
        self._on_trouble = on_trouble
        self._ended = threading.Event()
        self._told = ""
        self._pause_s = whereabouts.LOOK_EVERY_S

    def begin(self) -> None:
        """Look again and again until ``end``."""
        if not self._ended.is_set():
            self._clock.call_later(self._pause_s, lambda: beside(self._look_and_again))

    def end(self) -> None:
        """Tell nothing any more."""
        self._ended.set()

    def _look_and_again(self) -> None:
        try:
            trouble = self.files.look()
            if self._ended.is_set() or trouble == self._told == "":
                return
            self._told = trouble
            self._pause_s = whereabouts.pause_after(self._pause_s, trouble)
            self._on_trouble(trouble)
        finally:
            self.begin()
