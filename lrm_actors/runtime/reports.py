"""What a system says of itself: how it ended, and how its actors are doing. Plain frozen records."""

from __future__ import annotations

from eventstore.frozen import frozen

EXIT_CLEAN, EXIT_ABANDONED, EXIT_ESCALATED = 0, 70, 75
"""Exit codes for a process after ``stop``: all ended in order; some actor had to be left behind (EX_SOFTWARE); the root
of the supervisors failed, and a new process may do better (EX_TEMPFAIL)."""


@frozen
class StopReport:
    """How a system ended."""

    clean: bool
    abandoned: tuple[str, ...]
    """Actors that did not end within the deadline."""
    escalated: str = ""
    """Why the root of the supervisors failed; empty: it did not."""

    @property
    def exit_code(self) -> int:
        """What the process should exit with: 75 when the root failed, else 70 when an actor was abandoned, else 0."""
        if self.escalated:
            return EXIT_ESCALATED
        return EXIT_CLEAN if self.clean else EXIT_ABANDONED


@frozen
class ActorStatistics:
    """One actor at one moment."""

    name: str
    phase: str
    """``starting``, ``running``, ``failed``, ``no_storage``, ``halted``, ``stopped``."""
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


@frozen
class SystemStatistics:
    """A whole system at one moment."""

    actors: tuple[ActorStatistics, ...]
    effects_waiting: int
