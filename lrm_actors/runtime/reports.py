"""What a system says of itself: how it ended, and how its actors are doing. Plain frozen records."""

from __future__ import annotations

import attrs

EXIT_CLEAN, EXIT_ABANDONED = 0, 70
"""Exit codes for a process after ``stop``: all ended in order, or some actor had to be left behind (EX_SOFTWARE)."""


@attrs.frozen
class StopReport:
    """How a system ended."""

    clean: bool
    abandoned: tuple[str, ...]
    """Actors that did not end within the deadline."""

    @property
    def exit_code(self) -> int:
        """What the process should exit with: 0, or 70 when an actor was abandoned."""
        return EXIT_CLEAN if self.clean else EXIT_ABANDONED


@attrs.frozen
class ActorStatistics:
    """One actor at one moment."""

    name: str
    phase: str
    """``starting``, ``running``, ``failed``, ``no_storage``, ``stopped``."""
    version: int
    mailbox_depth: int
    handled: int
    failures: int
    busy_s: float
    """Seconds since the turn in hand began, 0 when idle."""
    dead_letters: int
    mailbox_age_s: float = 0.0
    """Seconds that the oldest waiting message has waited, at most; 0 when none waits."""
    stashed: int = 0
    """Commands that the actor has put off."""
    dropped: int = 0
    """Messages that made room for newer ones, with ``mailbox_policy="drop_oldest"``."""


@attrs.frozen
class SystemStatistics:
    """A whole system at one moment."""

    actors: tuple[ActorStatistics, ...]
    effects_waiting: int
