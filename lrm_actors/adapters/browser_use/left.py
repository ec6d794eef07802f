"""What the actions of a step that is not committed left in the browser, found in the log.

Reads the log only. A browser that is started anew in the middle of a step has to be as those actions left it, not as
the step before did: what they did is on record, and not done again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventstore.protocol import EventReader
from eventstore.records import Record

COMMITTED, DONE = "journal.step_committed", "journal.effect_done"
BROWSER = "browser"
"""Key of an action's result for what it changed in the browser."""
WINDOW = 256
"""Positions that are looked through first, from the end of the log on backwards; then twice as many, and so on."""


def left_in_browser(reader: EventReader) -> dict[str, Any]:
    """What the actions since the last committed step changed: keys of a browser's state, with their newest values."""
    left: dict[str, Any] = {}
    for record in _since_commit(reader):
        result = getattr(record.event, "result", None) if record.type == DONE else None
        if isinstance(result, Mapping) and isinstance(result.get(BROWSER), Mapping):
            left.update(result[BROWSER])
    return left


def _since_commit(reader: EventReader) -> list[Record]:
    found: list[Record] = []
    up_to, size = reader.head, WINDOW
    while up_to > 0:
        after = max(0, up_to - size)
        found[:0] = reader.read(after=after, up_to=up_to, types=(COMMITTED, DONE), removed="skip")
        committed = [place for place, record in enumerate(found) if record.type == COMMITTED]
        if committed:
            return found[committed[-1] + 1 :]
        up_to, size = after, 2 * size
    return found
