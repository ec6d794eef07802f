"""What ``handle_failure`` returns: the strategy's name, with what else there is to say about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ChosenStrategy(str):
    """A strategy, comparable with its name.

    Args:
        strategy: its name.
        reply: the analyzer's.
    """

    __slots__ = ("category", "delay_s", "reason", "severity")

    category: str
    delay_s: float
    """Seconds to wait before the next try, 0 where there is nothing to wait for."""
    reason: str
    """Why it was chosen, and what became of earlier attempts."""
    severity: int
    """From 1 to 5."""

    def __new__(cls, strategy: str, reply: Mapping[str, Any]) -> ChosenStrategy:  # noqa: PYI034 - never a subclass
        """The name, with what the reply says."""
        made = super().__new__(cls, strategy)
        made.category = str(reply.get("category", ""))
        made.delay_s = float(reply.get("delay_s", 0.0))
        made.reason = str(reply.get("reason", ""))
        made.severity = int(reply.get("severity", 0))
        return made
