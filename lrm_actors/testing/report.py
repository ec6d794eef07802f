"""What a failing test shows of a log: its last events as a table, bounded."""

from __future__ import annotations

from collections.abc import Sequence

from eventstore.errors import EventStoreError
from eventstore.protocol import EventReader
from eventstore.records import Record

MOST_EVENTS = 40
"""Events that are shown, the newest."""
MOST_CHARACTERS = 160
"""Characters of one line."""


def log_table(records: Sequence[Record], most: int = MOST_EVENTS, *, of: int | None = None) -> str:
    """The newest records, one a line: position, stream and version, cause, and the event.

    Args:
        records: in the order of the log.
        most: so many are shown.
        of: how many there are, where not all of them are given.
    """
    shown = records[-most:]
    all_of_them = len(records) if of is None else of
    lines = [f"the log, {all_of_them} events{f', the last {len(shown)}' if len(shown) < all_of_them else ''}:"]
    for record in shown:
        cause = "" if record.cause is None else f" because of {record.cause}"
        events = ", ".join(map(repr, record.events)) or record.type
        line = f"  {record.position:>5} {record.stream} {record.version}: {events}{cause}"
        lines.append(line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…")
    return "\n".join(lines)


def table_of(log: EventReader, most: int = MOST_EVENTS) -> str:
    """The newest records of a log that is open; what is wrong with it, where it cannot be read."""
    try:
        head = log.head
        return log_table(list(log.read(after=max(0, head - most), removed="skip")), most, of=head)
    except EventStoreError as error:
        return f"the log cannot be read: {error}"
