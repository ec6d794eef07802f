"""Whether the process of a component is still the one that was there, and alive. Talks to the kernel only."""

from __future__ import annotations

import attrs

from lrm_actors.actors.sampling.tree import sight


@attrs.define
class ProcessWatch:
    """Looks at one process by its pid, which the kernel gives to another once it has ended and was waited for."""

    _pid: int | None = None
    _started: float | None = None

    def wrong_with(self, pid: int | None) -> str:
        """What is wrong with the process now; empty for one that lives, and while there is none.

        Args:
            pid: of the process; another than the last time is another process, looked at for the first time.

        Raises:
            OSError, ValueError: it cannot be looked at.
        """
        if pid != self._pid:
            self._pid, self._started = pid, None
        if pid is None:
            return ""
        seen = sight(pid)
        if seen is None:
            return f"its process {pid} is gone"
        if seen.zombie:
            return f"its process {pid} is a zombie"
        if self._started is None:
            self._started = seen.started
        elif seen.started != self._started:
            return f"its process {pid} is gone, and its pid another process's"
        return ""
