"""What is said when nobody can go on: who waits for what, and what is left over in which mailbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from lrm_actors.errors import LrmError
from lrm_actors.runtime.mailbox import WAKE

if TYPE_CHECKING:
    from lrm_actors.runtime.system import ActorSystem
    from lrm_actors.testing.simulation.scheduler import Scheduler, Task

SHOWN = 8
"""Messages of a mailbox that are named."""
IDLE = "a message"
"""What whoever has nothing to do waits for."""


class SimulationStuck(LrmError):
    """Nobody can go on, and somebody waits for what will never be."""

    code = "LRM-9001"
    hint = "see who waits for whom, and replay the schedule to see how it came to that"

    def __init__(self, message: str, waiting: tuple[Waiting, ...]) -> None:
        super().__init__(message)
        self.waiting = waiting


class SimulationRunsOn(LrmError):
    """So much happened at one moment of the simulated time that it will not end by itself."""

    code = "LRM-9002"
    hint = "look for actors that send each other messages for ever, or restarts without a delay"


@attrs.frozen
class Waiting:
    """One simulated thread that does not go on."""

    who: str
    what: str
    """What it waits for."""
    since_s: float | None = None


def waiting(scheduler: Scheduler) -> tuple[Waiting, ...]:
    """Everybody who waits for more than the next message."""
    tasks: list[Task] = [scheduler.main, *scheduler.tasks]
    return tuple(
        Waiting(task.name, str(task.waits_for))
        for task in tasks
        if task.waits_for is not None and str(task.waits_for) != IDLE
    )


def is_stuck(scheduler: Scheduler) -> bool:
    """Whether nobody can go on, nothing is to happen, and somebody waits without a deadline."""
    if scheduler.can_go_on() or scheduler.clock.next_due_s() is not None:
        return False
    return bool(waiting(scheduler))


def deadlock(scheduler: Scheduler, systems: list[ActorSystem]) -> SimulationStuck:
    """The error that says who waits for whom."""
    who = waiting(scheduler)
    lines = ["nobody can go on:", *(f"  {one.who} waits for {one.what}" for one in who)]
    return SimulationStuck("\n".join([*lines, *left_over(systems)]), who)


def left_over(systems: list[ActorSystem]) -> list[str]:
    """What is in which mailbox, and which effects wait for a thread: a line each."""
    lines = []
    for system in systems:
        for name, mailbox in system._mailboxes.items():  # noqa: SLF001 - the simulator knows the runtime from inside
            waiting = [*mailbox.backlog, *getattr(mailbox._ordinary, "items", ())]  # noqa: SLF001
            named = [type(one.message).__name__ for one in waiting if one is not WAKE and hasattr(one, "message")]
            phase = system.phase(name)
            if named or phase not in {"running", "stopped"}:
                more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
                lines.append(f"  {name} is {phase}, with {', '.join(named[:SHOWN]) or 'no message'}{more} left over")
        if left := system.statistics().effects_waiting:
            lines.append(f"  {left} effects wait for a thread")
    return lines
