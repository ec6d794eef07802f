"""What a supervisor takes up again after its own restart, of what it had begun with all of its children."""

from __future__ import annotations

from typing import Any

from lrm_actors.domain import supervisor
from lrm_actors.domain.behavior import StartTimer
from lrm_actors.domain.supervisor import (
    RECOVERY_GRACE_S,
    ChildSpec,
    HostWarned,
    ReportFailure,
    RestartPolicy,
    StartSupervising,
    Supervision,
    WarnHost,
    WarnHostAgain,
)
from tests.domain.kit import Run

WORKER = "actor:worker"


def escalating() -> Run[Any]:
    """One that has had enough of its children, and tells the host before it stops them."""
    run: Run[Any] = Run.of(
        supervisor.spec(RestartPolicy(intensity=0), supervision=Supervision(children=(ChildSpec(WORKER),)))
    )
    run.tell(StartSupervising((WORKER,), 1))
    run.tell(ReportFailure(WORKER, "OSError", "gone", "loop"))
    assert 1 == len(run.effects(WarnHost))
    return run


def about_itself(run: Run[Any]) -> list[Any]:
    """What a recovery starts about the supervisor itself."""
    run.recover()
    return [timer for timer in run.effects(StartTimer) if timer.key == "itself"]


def test_a_host_that_may_not_have_been_warned_is_warned_again() -> None:
    """Its warning was begun, and nobody knows whether it came to its end."""
    assert [StartTimer("itself", RECOVERY_GRACE_S, WarnHostAgain())] == about_itself(escalating())


def test_a_host_that_was_warned_is_not_warned_again() -> None:
    """Its children are being stopped by then."""
    run = escalating()
    run.tell(HostWarned())
    assert [] == [timer for timer in about_itself(run) if timer.command == WarnHostAgain()]
