"""What each event says, in one plain sentence; events nobody here knows are told by their fields."""

from __future__ import annotations

import json
from typing import Any

from eventstore.events import LOCKED, UnknownEvent
from eventstore.records import Record
from lrm_actors.inspect.plain import plain
from lrm_actors.inspect.telling import (  # noqa: F401 - each declares what its events say
    analyzer,
    breakers,
    checkpointer,
    journal,
    modes,
    monitor,
    outer,
    runtime,
    supervisor,
)
from lrm_actors.inspect.telling.words import TELLERS, short


def sentence(record: Record) -> str:
    """What a record says: one line, and nothing in it that commands a terminal."""
    if not record.events:
        return "nothing any more: this form of the event was dropped"
    return plain("; ".join(_tell(record, event) for event in record.events))


def fields(record: Record) -> dict[str, Any]:
    """A record's payload exactly as it is stored."""
    payload = json.loads(record.data)
    return payload if isinstance(payload, dict) else {"": payload}


def _tell(record: Record, event: Any) -> str:
    teller = TELLERS.get(record.type)
    if isinstance(event, UnknownEvent) and event.reason == LOCKED:
        return LOCKED
    if isinstance(event, UnknownEvent) or teller is None:
        return _by_fields(fields(record))
    try:
        return teller(event)
    except (AttributeError, TypeError, ValueError):  # a form of the event that is not the one we know
        return _by_fields(fields(record))


def _by_fields(payload: dict[str, Any]) -> str:
    told = (f"{name} {short(json.dumps(value, ensure_ascii=False), 40)}" for name, value in payload.items())
    return short(", ".join(told)) or "no fields"
