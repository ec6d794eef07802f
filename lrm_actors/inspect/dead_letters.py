"""The messages that nobody handled, as a log has them. Reads the log only."""

from __future__ import annotations

from typing import Any

import attrs

from eventstore.protocol import EventReader
from lrm_actors.domain.dead_letters import KEPT, STREAM, DeadLetterAdded, DeadLetters, Letter, evolve

DELIVERIES = "deliveries"


@attrs.frozen
class Listed:
    """One letter with where it stands in the log."""

    letter: Letter
    position: int
    """Of the event that put it aside, the last time."""
    wall_s: float


@attrs.frozen
class Listing:
    """All that is kept, oldest first, and what is not."""

    letters: tuple[Listed, ...]
    skipped: tuple[tuple[int, float, Any], ...]
    """Wired events that a consumer went on without: position of the record of it, time, the event."""
    dropped: int


def dead_letters(reader: EventReader, *, every: bool = False) -> Listing:
    """The letters that wait for somebody; with ``every`` also those that were sent again."""
    state = DeadLetters()
    stood: dict[str, tuple[int, float]] = {}
    for record in reader.read_stream(STREAM):
        for event in record.events:
            state = evolve(state, event)
            if isinstance(event, DeadLetterAdded):
                stood[event.letter] = (record.position, record.recorded_at.wall_s)
    letters = [Listed(letter, *stood[name]) for name, letter in state.letters.items() if every or letter.status == KEPT]
    skipped = [
        (record.position, record.recorded_at.wall_s, event)
        for record in reader.read_stream(DELIVERIES)
        for event in record.events
    ]
    return Listing(tuple(letters), tuple(skipped), state.dropped)


def letter_in(reader: EventReader, letter_id: str) -> Letter | None:
    """One letter; None when the log has none of this id."""
    state: DeadLetters = reader.fold(STREAM, evolve, DeadLetters()).state
    return state.letters.get(letter_id)
