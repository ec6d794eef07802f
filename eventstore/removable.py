"""The one rule of which events may go: of a log's oldest, those that no limit, no reader and no recovery still needs.

Pure, so that every store keeps exactly the same events.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Any

from eventstore.errors import BadRequest
from eventstore.naming import check_names
from eventstore.prepare import check_name
from eventstore.records import Retention
from eventstore.shaping.limits import INT_MAX


def check_retention(retention: Retention) -> None:
    """Refuse limits that make no sense.

    Raises:
        BadRequest: there is no limit, or one is negative or not finite, or a name could not be that of anything.
    """
    if not isinstance(retention, Retention):
        raise BadRequest("retention", retention, "it is none", hint="give a Retention")
    if retention.max_age_s is None and retention.max_events is None:
        hint = "give max_age_s, max_events or both"
        raise BadRequest("retention", None, "without a limit nothing may go", hint=hint)
    check_names("consumers", retention.consumers)
    check_names("expendable", retention.expendable)
    _check_limit("max_age_s", retention.max_age_s, int | float, math.inf)
    _check_limit("max_events", retention.max_events, int, INT_MAX + 1)
    _check_limit("keep_after", retention.keep_after, int, INT_MAX + 1)
    if not isinstance(retention.newest_snapshot, bool):
        raise BadRequest("newest_snapshot", retention.newest_snapshot, "it must be true or false")
    for consumer in () if retention.consumers is None else retention.consumers:
        check_name("consumer", consumer)
    for category in retention.expendable:
        check_name("category", category)


def young_after_us(retention: Retention, now_wall_s: float) -> int | None:
    """Events recorded later than this, in microseconds since the epoch, are too young to go; None: age keeps nothing.

    Clocks jump, so a young event may stand before an old one: the first young one in the log is what counts.
    """
    if retention.max_age_s is None:
        return None
    return round(now_wall_s * 1e6) - round(min(retention.max_age_s * 1e6, INT_MAX / 2))


def removable_up_to(
    retention: Retention,
    *,
    first: int,
    head: int,
    first_young: int | None,
    needed: Iterable[tuple[str, int]],
    cursors: Mapping[str, int],
) -> tuple[int, str]:
    """Up to which position events may be removed, and what keeps the next one.

    Args:
        retention: what was asked for, checked.
        first: position of the oldest event kept.
        head: position of the newest.
        first_young: position of the first event recorded after ``young_after_us``; None where there is none.
        needed: by stream, the position of its first event after its oldest intact snapshot, or after the newest where
            that is asked for; of its first event kept where it has no snapshot. Streams without such an event are left
            out; those that are expendable need not be.
        cursors: how far each consumer has read.

    Returns:
        The position, ``first - 1`` where nothing may go; and ``policy``, ``cursor NAME`` or ``stream NAME``.
    """
    end = head + 1
    kept = [end if first_young is None else first_young] if retention.max_age_s is not None else []
    kept += [end - retention.max_events] if retention.max_events is not None else []
    kept += [retention.keep_after + 1] if retention.keep_after is not None else []
    holding, held_by = min(end, *kept), "policy"
    for consumer in sorted(cursors) if retention.consumers is None else retention.consumers:
        unread = cursors.get(consumer, 0) + 1  # one that was named and never stored a cursor has read nothing
        if unread < holding:
            holding, held_by = unread, f"cursor {consumer}"
    for stream, position in needed:
        if position < holding and not is_expendable(stream, retention.expendable):
            holding, held_by = position, f"stream {stream}"
    return max(holding, first) - 1, held_by


def is_expendable(stream: str, expendable: Iterable[str]) -> bool:
    """Whether a stream is of one of these categories."""
    return any(f"{stream}/".startswith(f"{category}/") for category in expendable)


def _check_limit(field: str, limit: object, kind: UnionType | type, end: float) -> None:
    if limit is None:
        return
    number: Any = limit if isinstance(limit, kind) and not isinstance(limit, bool) else -1
    if not 0 <= number < end:
        raise BadRequest(field, limit, "it must be a finite number, at least 0; a number of events is a whole one")
