"""What the runtime itself puts on record about wired events that could not be delivered."""

from __future__ import annotations

from eventstore.events import event

DELIVERIES = "deliveries"
"""The stream of wired events that were skipped. Nobody acquires it: each consumer writes its own skips."""

FAILED_AGAIN = "failed again and again"
"""Why a message is put aside: as many failures as its actor allows one message."""
RESUMED = "its actor goes on without it, as the supervisor said"
NOT_STORABLE = "what it leads to cannot be stored"
TOO_DEEP = "too deep: the wiring loops"


@event("deliveries.skipped", 1)
class DeliverySkipped:
    """A consumer could not handle a wired event, or it was too far from the outside, and read on."""

    consumer: str
    position: int
    type: str
    attempts: int
    reason: str
