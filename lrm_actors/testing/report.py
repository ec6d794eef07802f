"""What a failing test shows of a log: its last events as a table, bounded."""

from __future__ import annotations

from collections.abc import Sequence

from eventstore.records import Record

MOST_EVENTS = 40
"""Events that are shown, the newest."""
MOST_CHARACTERS = 160
"""Characters of one line."""


def log_table(records: Sequence[Record], most: int = MOST_EVENTS) -> str:
    """The newest records, one a line: position, stream and version, cause, and the event."""
    shown = records[-most:]
    lines = [f"the log, {len(records)} events{f', the last {most}' if len(shown) < len(records) else ''}:"]
    for record in shown:
        cause = "" if record.cause is None else f" because of {record.cause}"
        events = ", ".join(map(repr, record.events)) or record.type
        line = f"  {record.position:>5} {record.stream} {record.version}: {events}{cause}"
        lines.append(line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…")
    return "\n".join(lines)
