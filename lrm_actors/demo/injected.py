"""A fault as it was really done: what the parent knows of it, and the agent does not."""

from __future__ import annotations

from typing import Any

import attrs

from eventstore import Instant
from lrm_actors.demo.plan import Kind


@attrs.frozen
class Injected:
    """One harm that was done."""

    number: int
    kind: Kind
    at: Instant
    """The moment just before it was done."""
    step: int
    """The last step the agent had begun."""
    acknowledged: int
    """How many steps it had acknowledged."""
    pid: int | None = None
    """The process it was done to; None for the site."""

    def to_data(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "number": self.number,
            "kind": self.kind.value,
            "wall_s": self.at.wall_s,
            "monotonic_s": self.at.monotonic_s,
            "step": self.step,
            "acknowledged": self.acknowledged,
            "pid": self.pid,
        }
