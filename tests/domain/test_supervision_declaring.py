"""What may be declared for a supervisor: each limit at its edge, and what is refused beyond it, the field named."""

from __future__ import annotations

from typing import Any

import pytest

from lrm_actors.domain import supervisor
from lrm_actors.domain.supervision import declaring
from lrm_actors.domain.supervision.declaring import check_child, check_supervision
from lrm_actors.domain.supervisor import (
    ChildGivenUp,
    ChildSpec,
    ReportFailure,
    RestartDone,
    RestartDue,
    RestartPolicy,
    RestartScheduled,
    Rule,
    StartSupervising,
    StopChild,
    Supervision,
)
from lrm_actors.errors import ChildSpecError
from tests.domain.kit import Run

BROWSER = "component:browser"
YEAR_S = declaring.MAX_SECONDS


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("id", {"id": "thing:browser"}),
        ("id", {"id": "actor:"}),
        ("id", {"id": "component"}),
        ("restart", {"restart": "sometimes"}),
        ("deadline_s", {"deadline_s": 0.0}),
        ("deadline_s", {"deadline_s": 3601.0}),
        ("deadline_s", {"deadline_s": float("nan")}),
        ("deadline_s", {"deadline_s": True}),
        ("significant", {"significant": True}),
        ("intensity", {"policy": RestartPolicy(intensity=-1)}),
        ("intensity", {"policy": RestartPolicy(intensity=1_000_001)}),
        ("reset_after_handled", {"policy": RestartPolicy(reset_after_handled=-1)}),
        ("period_s", {"policy": RestartPolicy(period_s=0.0)}),
        ("backoff_max_s", {"policy": RestartPolicy(backoff_max_s=YEAR_S + 1)}),
        ("jitter", {"policy": RestartPolicy(jitter=1.1)}),
    ],
)
def test_a_child_that_cannot_be_is_refused(field: str, wrong: dict[str, Any]) -> None:
    """Whether it is declared with the others or comes later."""
    child = ChildSpec(**{"id": BROWSER, **wrong})
    with pytest.raises(ChildSpecError) as later:
        check_child("supervisor", child, Supervision())
    with pytest.raises(ChildSpecError) as declared:
        check_supervision("supervisor", Supervision(children=(child,)), RestartPolicy())
    assert field == later.value.field == declared.value.field


@pytest.mark.parametrize(
    "right",
    [
        {"deadline_s": 0.001},
        {"deadline_s": 3600.0},
        {"policy": RestartPolicy(intensity=0)},
        {"policy": RestartPolicy(intensity=1_000_000, backoff_max_s=86_400.0 * 366, jitter=1.0)},
        {"policy": RestartPolicy(backoff_initial_s=0.0, jitter=0.0, reset_after_handled=0)},
    ],
)
def test_a_limit_may_be_reached(right: dict[str, Any]) -> None:
    """At its very edge."""
    check_child("supervisor", ChildSpec(**{"id": BROWSER, **right}), Supervision())


@pytest.mark.parametrize("rule", [Rule("", "restart"), Rule("KeyError", "ignore")])
def test_a_rule_that_says_nothing_is_refused(rule: Rule) -> None:
    """A pattern that is empty matches nothing, and a directive that there is none of does nothing."""
    with pytest.raises(ChildSpecError) as caught:
        check_supervision("supervisor", Supervision(rules=(rule,)), RestartPolicy())
    assert "rules" == caught.value.field


def test_restarts_of_a_component_are_counted_for_it_alone() -> None:
    """Also where too many restarts of actors are the supervisor's own failure: too many cost this component."""
    policy = RestartPolicy(intensity=2, jitter=0.0)
    run: Run[Any] = Run.of(supervisor.spec(policy, supervision=Supervision(children=(ChildSpec(BROWSER),))))
    run.tell(StartSupervising((BROWSER,), 1))
    for _ in range(2):
        run.tell(ReportFailure(BROWSER, "OSError", "gone", "loop"))
        run.tell(RestartDue(BROWSER))
        run.tell(RestartDone(BROWSER, 0.1))
    assert [ChildGivenUp(BROWSER, 2, 60.0, "OSError")] == [
        fact for fact in run.tell(ReportFailure(BROWSER, "OSError", "gone", "loop")) if isinstance(fact, ChildGivenUp)
    ]
    assert "" == run.state.down


def test_a_child_that_failed_is_stopped_without_waiting_for_it() -> None:
    """It is down already: there is nothing to wait for."""
    rules = (Rule("OSError", b"stop".decode()),)  # as it comes out of a log: equal, and another object
    run: Run[Any] = Run.of(supervisor.spec(supervision=Supervision(children=(ChildSpec(BROWSER),), rules=rules)))
    run.tell(StartSupervising((BROWSER,), 1))
    run.tell(ReportFailure(BROWSER, "OSError", "gone", "loop"))
    assert [StopChild(BROWSER, "stopped for OSError", 0.0)] == run.effects(StopChild)


def test_restarts_before_a_reboot_do_not_count_towards_an_escalation() -> None:
    """Their times are of another clock."""
    policy = RestartPolicy(intensity=1, jitter=0.0)
    run: Run[Any] = Run.of(supervisor.spec(policy, supervision=Supervision(children=(ChildSpec("actor:worker"),))))
    for boot in ("boot", "another boot"):
        run.boot_id = boot
        run.tell(StartSupervising(("actor:worker",), 1))
        told = run.tell(ReportFailure("actor:worker", "OSError", "gone", "loop"))
        assert [RestartScheduled] == [type(fact) for fact in told[1:]]
        run.tell(RestartDue("actor:worker"))
        run.tell(RestartDone("actor:worker", 0.1))
