"""The supervisor's decisions: what is restarted, when, with whom, and when it is given up or handed to the parent.

Children are actors of the system (``actor:monitor``), other supervisors among them (``actor:supervisor/browser``), and
components of the host (``component:browser``). They are looked after alike; only the effects differ. The parts stand
in ``domain.supervision``; here is what others use.
"""

from __future__ import annotations

from functools import partial

from eventstore.frozen import frozen
from lrm_actors.domain import children
from lrm_actors.domain.behavior import Spec
from lrm_actors.domain.process import (
    ProcessExitObserved,
    ProcessStarted,
    ProcessStopped,
    StartSupervising,
    StopSupervising,
)
from lrm_actors.domain.supervision.commands import (
    AddChild,
    CachesDone,
    ClearCaches,
    Configure,
    HoldAll,
    HoldDone,
    HostWarned,
    RemoveChild,
    ReportEnd,
    ReportFailure,
    RestartComponent,
    RestartDone,
    RestartDue,
    RestartFailed,
    RestartInDoubt,
    StartAll,
    StartChild,
    TellParentAgain,
    TerminateChild,
    WarnHostAgain,
)
from lrm_actors.domain.supervision.deciding import NAME, decide
from lrm_actors.domain.supervision.declaring import (
    AS_BEFORE,
    ChildSpec,
    Rule,
    Supervision,
    check_supervision,
)
from lrm_actors.domain.supervision.effects import (
    ClearChildCaches,
    HoldChild,
    NotifyParent,
    RestartChild,
    ResumeChild,
    StopChild,
    WarnHost,
)
from lrm_actors.domain.supervision.events import (
    CachesCleared,
    CachesClearingStarted,
    ChildAdded,
    ChildEnded,
    ChildFailed,
    ChildGivenUp,
    ChildHeld,
    ChildRemoved,
    ChildrenHeld,
    ChildrenStarting,
    ChildRestarted,
    ChildResumed,
    ChildStopped,
    Configured,
    Declared,
    Escalated,
    HoldStarted,
    HostWasWarned,
    RestartScheduled,
    RestartStarted,
    ShutDown,
    StoppingStarted,
    SupervisingBegan,
)
from lrm_actors.domain.supervision.folding import evolve
from lrm_actors.domain.supervision.recovering import RECOVERY_GRACE_S, recover
from lrm_actors.domain.supervision.state import Outage, SupervisorState
from lrm_actors.errors import ChildSpecError

ChildState = children.ChildState
RestartPolicy = children.RestartPolicy


@frozen
class SupervisorSpec(Spec[SupervisorState]):
    """A supervisor, and what was declared for it; made by ``spec``."""

    supervision: Supervision | None = None
    """None: nothing was declared, and whoever starts it says which children it has."""


def spec(
    policy: RestartPolicy | None = None, *, name: str = NAME, supervision: Supervision | None = None
) -> SupervisorSpec:
    """A supervisor.

    Args:
        policy: taken when the log is new; from then on ``Configure`` changes it, on the record.
        name: ``supervisor`` for the root, ``supervisor/<something>`` for another one's child.
        supervision: its strategy, its children and its decider. Without it every child is restarted alone, and given
            up when that does not help.

    Raises:
        ChildSpecError: something in it cannot be; names the child, the field, the value and what is allowed.
    """
    if name != NAME and not name.startswith(f"{NAME}/"):
        raise ChildSpecError("", "name", name, f"{NAME!r} or '{NAME}/<something>'", supervisor=name)
    first = policy or RestartPolicy()
    declared = AS_BEFORE if supervision is None else supervision
    check_supervision(name, declared, first)
    return SupervisorSpec(
        name,
        SupervisorState(),
        decide if name == NAME else partial(decide, name=name),
        evolve,
        partial(recover, policy=first, supervision=declared),
        supervision=supervision,
    )


__all__ = [
    "AS_BEFORE",
    "NAME",
    "RECOVERY_GRACE_S",
    "AddChild",
    "CachesCleared",
    "CachesClearingStarted",
    "CachesDone",
    "ChildAdded",
    "ChildEnded",
    "ChildFailed",
    "ChildGivenUp",
    "ChildHeld",
    "ChildRemoved",
    "ChildRestarted",
    "ChildResumed",
    "ChildSpec",
    "ChildState",
    "ChildStopped",
    "ChildrenHeld",
    "ChildrenStarting",
    "ClearCaches",
    "ClearChildCaches",
    "Configure",
    "Configured",
    "Declared",
    "Escalated",
    "HoldAll",
    "HoldChild",
    "HoldDone",
    "HoldStarted",
    "HostWarned",
    "HostWasWarned",
    "NotifyParent",
    "Outage",
    "ProcessExitObserved",
    "ProcessStarted",
    "ProcessStopped",
    "RemoveChild",
    "ReportEnd",
    "ReportFailure",
    "RestartChild",
    "RestartComponent",
    "RestartDone",
    "RestartDue",
    "RestartFailed",
    "RestartInDoubt",
    "RestartPolicy",
    "RestartScheduled",
    "RestartStarted",
    "ResumeChild",
    "Rule",
    "ShutDown",
    "StartAll",
    "StartChild",
    "StartSupervising",
    "StopChild",
    "StopSupervising",
    "StoppingStarted",
    "SupervisingBegan",
    "Supervision",
    "SupervisorSpec",
    "SupervisorState",
    "TellParentAgain",
    "TerminateChild",
    "WarnHost",
    "WarnHostAgain",
    "decide",
    "evolve",
    "recover",
    "spec",
]
