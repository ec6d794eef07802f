"""From a stream to a state by the shortest way: the columns that events are decoded from, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eventstore.connections import ReaderPool
from eventstore.decoding import Decoding
from eventstore.errors import EventsRemoved
from eventstore.records import Folded
from eventstore.schema import PAGE_ROWS

_STREAM = "SELECT id, removed_version FROM streams WHERE name = ?"
_PAGE = (
    "SELECT version, type_id, schema_version, data, position FROM events"
    " WHERE stream_id = ? AND version > ? AND version <= ? ORDER BY version LIMIT ?"
)


def fold(
    pool: ReaderPool,
    decoding: Decoding,
    stream: str,
    evolve: Callable[[Any, Any], Any],
    state: Any,
    *,
    after: int,
    up_to: int,
) -> Folded:
    """Fold a state over a stream's events, versions in ``(after, up_to]``."""
    with pool.lend() as connection:
        known: tuple[int, int] | None = connection.execute(_STREAM, (stream,)).fetchone()
    if known is None:
        return Folded(state, max(after, 0))
    stream_id, _ = known
    version = after = max(after, 0)
    direct = decoding.direct
    while True:
        with pool.lend() as connection:
            rows = connection.execute(_PAGE, (stream_id, version, up_to, PAGE_ROWS)).fetchall()
            if not rows or rows[0][0] != version + 1:  # retention may have come in between
                removed = connection.execute(_STREAM, (stream,)).fetchone()[1]
                if version < min(removed, up_to):
                    raise EventsRemoved(stream, version, removed)
        if decoding.opens:
            rows = [(*row[:3], decoding.opened(row[4], stream, *row[1:4]), row[4]) for row in rows]
        for version, type_id, schema_version, data, position in rows:  # noqa: B007 - the next page's start
            decode = direct.get((type_id, schema_version))
            if decode is None:
                for event in decoding.decode(position, type_id, schema_version, data):
                    state = evolve(state, event)
                continue
            try:
                event = decode(data)
            except Exception:  # noqa: BLE001 - whatever it was, the long way gives it its typed error
                (event,) = decoding.decode(position, type_id, schema_version, data)
            state = evolve(state, event)
        if len(rows) < PAGE_ROWS:
            return Folded(state, version)
