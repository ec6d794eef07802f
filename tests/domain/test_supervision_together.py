"""Siblings that go down together: who comes up again with them, and who does not."""

from __future__ import annotations

from typing import Any

from lrm_actors.domain import supervisor
from lrm_actors.domain.supervision.together import NOT_RESTARTED
from lrm_actors.domain.supervisor import (
    ChildSpec,
    ChildStopped,
    HoldDone,
    ReportFailure,
    RestartChild,
    RestartDone,
    RestartDue,
    RestartPolicy,
    StartSupervising,
    StopChild,
    Supervision,
)
from tests.domain.kit import Run

FIRST, SECOND, THIRD = "actor:first", "actor:second", "actor:third"


def test_a_temporary_sibling_goes_down_with_the_others_and_stays_down() -> None:
    """That is on record, it is closed, and the others are started first to last."""
    children = (ChildSpec(FIRST), ChildSpec(SECOND, "temporary"), ChildSpec(THIRD))
    together = Supervision("one_for_all", children)
    run: Run[Any] = Run.of(supervisor.spec(RestartPolicy(jitter=0.0), supervision=together))
    run.tell(StartSupervising((FIRST, SECOND, THIRD), 1))
    run.tell(ReportFailure(FIRST, "OSError", "gone", "loop"))
    run.tell(HoldDone(THIRD, in_time=True))
    told = run.tell(HoldDone(SECOND, in_time=True))
    assert [ChildStopped(SECOND, NOT_RESTARTED)] == [fact for fact in told if isinstance(fact, ChildStopped)]
    assert [StopChild(SECOND, NOT_RESTARTED)] == run.effects(StopChild)
    started = []
    run.tell(RestartDue(FIRST))
    while begun := run.effects(RestartChild):
        started += [effect.child for effect in begun]
        run.tell(RestartDone(started[-1], 0.1))
    assert [FIRST, THIRD] == started
    assert ["running", "stopped", "running"] == [run.state.status(name) for name in (FIRST, SECOND, THIRD)]
