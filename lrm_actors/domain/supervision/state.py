"""What a supervisor knows: its children, in start order, and what it is about to do with several of them."""

from __future__ import annotations

import attrs

from eventstore.frozen import frozen
from lrm_actors.domain.children import BACKOFF, HELD, HOLDING, RESTARTING, RUNNING, ChildState, RestartPolicy
from lrm_actors.domain.supervision.declaring import AS_BEFORE, ChildSpec, Supervision

TO_RESTART, TO_ESCALATE, TO_SHUT_DOWN, TO_HOLD = "restart", "escalate", "shutdown", "hold"
"""What several children are stopped for."""
WARNING, STOPPING, WAITING, STARTING = "warning", "stopping", "waiting", "starting"
"""Where that stands: the host is warned; they are stopped; the backoff runs; they are started."""
UP = frozenset((RUNNING, BACKOFF, RESTARTING, HOLDING, HELD))
"""Statuses of children that run, or are to run again."""


@frozen
class Outage:
    """Several children go down, and mostly up again, together. There is one at a time, or none."""

    child: str
    """Whose failure or end it began with; empty when the parent began it."""
    members: tuple[str, ...]
    """In start order."""
    purpose: str
    phase: str
    reason: str = ""
    attempt: int = 0
    """Failures of ``child`` in a row."""


@frozen
class SupervisorState:
    """All children, and the process they live in."""

    policy: RestartPolicy = attrs.field(factory=RestartPolicy)
    configured: bool = False
    """Whether the policy came by an event; the first life takes it from the spec."""
    children: dict[str, ChildState] = attrs.field(factory=dict)
    """In start order."""
    starts: int = 0
    """How often this log's process was started."""
    stopped: str = ""
    """``clean`` or ``unclean`` once the process went down in order; empty while it runs, and after a crash."""
    supervision: Supervision = AS_BEFORE
    specs: dict[str, ChildSpec] = attrs.field(factory=dict)
    """Of the children that anybody said something about."""
    outage: Outage | None = None
    down: str = ""
    """``escalate``, ``shutdown`` or ``hold`` once all children were stopped for it; empty while it supervises."""
    down_because: str = ""
    restarts_at_s: tuple[float, ...] = ()
    """Monotonic times of the newest restarts of its actors, oldest first, as many as the intensity allows."""
    restarts_boot: str = ""

    def spec_of(self, name: str) -> ChildSpec:
        """How a child is looked after."""
        return self.specs.get(name) or ChildSpec(name)

    def policy_of(self, name: str) -> RestartPolicy:
        """The policy that holds for a child."""
        return self.spec_of(name).policy or self.policy

    def status(self, name: str) -> str | None:
        """What a child is doing; None: there is none of this name."""
        child = self.children.get(name)
        return None if child is None else child.status

    def order(self) -> tuple[str, ...]:
        """The children in start order: as they were declared, and then as they came."""
        declared = {spec.id: None for spec in self.supervision.children if spec.id in self.children}
        return (*declared, *(name for name in self.children if name not in declared))

    def up(self) -> tuple[str, ...]:
        """Those that run or are to run again, in start order."""
        return tuple(name for name in self.order() if self.children[name].status in UP)
