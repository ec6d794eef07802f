"""Fresh ids for commands and whatever else decisions name."""

from __future__ import annotations

import itertools

from lrm_actors.runtime.machine import here


class Ids:
    """Ids that sort by time within a process and differ between processes."""

    def __init__(self) -> None:
        self._run = here().run_id()
        self._numbers = itertools.count(1)

    def next(self) -> str:
        """A fresh id."""
        return f"{self._run}-{next(self._numbers):08x}"
