"""A supervisor at work, for the tests of it."""

from __future__ import annotations

from lrm_actors.domain import supervisor
from lrm_actors.domain.supervisor import (
    RestartDone,
    RestartDue,
    RestartPolicy,
    StartSupervising,
    SupervisorState,
)
from tests.domain.kit import Run

MONITOR, BROWSER = "actor:monitor", "component:browser"


def types(events: tuple[object, ...]) -> list[type]:
    """The events' types, in order."""
    return [type(fact) for fact in events]


def supervising(policy: RestartPolicy | None = None) -> Run[SupervisorState]:
    """A supervisor whose first process runs two children."""
    run = Run.of(supervisor.spec(policy))
    run.tell(StartSupervising((MONITOR, BROWSER), pid=1))
    return run


def restart(run: Run[SupervisorState], child: str) -> None:
    """Let a pending restart come due and succeed."""
    run.tell(RestartDue(child))
    run.tell(RestartDone(child, 0.1))
