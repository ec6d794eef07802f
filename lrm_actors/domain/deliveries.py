"""What the runtime itself puts on record about wired events that could not be delivered."""

from __future__ import annotations

from eventstore.events import event


@event("deliveries.skipped", 1)
class DeliverySkipped:
    """A consumer could not handle a wired event, or it was too far from the outside, and read on."""

    consumer: str
    position: int
    type: str
    attempts: int
    reason: str
