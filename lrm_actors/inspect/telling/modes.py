"""What events say: those of the operation modes."""

from __future__ import annotations

from typing import Any

from lrm_actors.domain.signals import size_text
from lrm_actors.inspect.telling.words import says, tells, with_reason

says("modes.restart_asked", "the process is to be replaced before memory runs out: {reason}")


@tells("modes.memory_reclaimed")
def _(event: Any) -> str:
    if event.error:
        return with_reason(f"{event.name} could not give memory back", event.error)
    missing = f", {size_text(event.needed_bytes)} are missing still" if event.needed_bytes else ", which is enough"
    return f"{event.name} gave {size_text(event.freed_bytes)} of memory back{missing}"


@tells("modes.configured")
def _(event: Any) -> str:
    return "the mode follows the health" if event.enabled else "the mode stays normal"


@tells("modes.health_considered")
def _(event: Any) -> str:
    return with_reason(f"the mode is chosen for health {event.status}", event.cause)


@tells("modes.load_reduced")
def _(event: Any) -> str:
    return with_reason("the load is to be reduced", event.reason) if event.reason else "the load is reduced no more"


@tells("modes.pinned")
def _(event: Any) -> str:
    return with_reason(
        "the mode is let go" if event.mode is None else f"the mode is held at {event.mode}", event.reason
    )


@tells("modes.changed")
def _(event: Any) -> str:
    return with_reason(f"the mode went from {event.previous} to {event.mode}", event.cause)
