"""Why and when children were given up: the supervisor's state has the kind of the error alone, the log all of it.

Reads the log only, and each of these once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventstore.errors import EventStoreError
from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from lrm_actors.domain.children import GIVEN_UP
from lrm_actors.domain.supervisor import SupervisorState
from lrm_actors.inspect.looking_back import backwards, is_known

_GIVEN_UP, _FAILED = "supervisor.child_given_up", "supervisor.child_failed"


@frozen
class GivenUp:
    """The end of a child that nobody restarts any more."""

    position: int
    """Of the event that says so."""
    at_s: float
    """Wall-clock time."""
    restarts: int
    """Within the period."""
    period_s: float
    error: str
    """Kind of the last error."""
    message: str
    """Of the last error; empty where nothing tells."""


class GivingUp:
    """Knows of those that are given up what the log tells, once it was asked."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, float], GivenUp | None] = {}

    def told(self, reader: EventReader, state: SupervisorState) -> dict[str, GivenUp]:
        """By child, as far as the log tells. A log that cannot be read tells nothing, and is asked again.

        Args:
            reader: the log.
            state: the supervisor's.
        """
        wanted = {
            name: (name, child.last_failure_s) for name, child in state.children.items() if child.status == GIVEN_UP
        }
        missing = {name for name, key in wanted.items() if key not in self._known}
        if missing:
            try:
                found = _found(reader, missing)
            except EventStoreError:
                found = {}
            else:
                self._known = {key: self._known.get(key, found.get(name)) for name, key in wanted.items()}
        known = {name: self._known.get(key) for name, key in wanted.items()}
        return {name: one for name, one in known.items() if one is not None}


def _found(reader: EventReader, children: set[str]) -> Mapping[str, GivenUp]:
    found: dict[str, GivenUp] = {}
    left = set(children)
    for record in backwards(reader, (_GIVEN_UP, _FAILED)):
        if not left:
            break
        event: Any = record.events[0] if is_known(record) else None
        name = getattr(event, "child", "")
        if name not in left:
            continue
        if record.type == _GIVEN_UP and name not in found:
            wall_s = record.recorded_at.wall_s
            found[name] = GivenUp(record.position, wall_s, event.restarts, event.period_s, event.error, "")
        elif record.type == _FAILED and name in found:
            one = found[name]
            found[name] = GivenUp(one.position, one.at_s, one.restarts, one.period_s, event.error, event.message)
            left.discard(name)
    return found
