"""The messages that nobody handled, as a log has them. Reads the log only."""

from __future__ import annotations

from typing import Any

from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from lrm_actors.domain.dead_letters import KEPT, STREAM, DeadLetterAdded, DeadLetters, Gathered, Letter
from lrm_actors.domain.deliveries import DELIVERIES


@frozen
class Listed:
    """One letter with where it stands in the log."""

    letter: Letter
    position: int
    """Of the event that put it aside, the last time."""
    wall_s: float


@frozen
class Listing:
    """All that is kept, oldest first, and what is not."""

    letters: tuple[Listed, ...]
    skipped: tuple[tuple[int, float, Any], ...]
    """Wired events that a consumer went on without: position of the record of it, time, the event."""
    dropped: int


def dead_letters(reader: EventReader, *, every: bool = False) -> Listing:
    """The letters that wait for somebody; with ``every`` also those that were sent again."""
    gathered = Gathered()
    stood: dict[str, tuple[int, float]] = {}
    for record in reader.read_stream(STREAM, removed="skip"):
        for event in record.events:
            gathered.add(event)
            if isinstance(event, DeadLetterAdded):
                stood[event.letter] = (record.position, record.recorded_at.wall_s)
    state = gathered.done()
    letters = [Listed(letter, *stood[name]) for name, letter in state.letters.items() if every or letter.status == KEPT]
    skipped = [
        (record.position, record.recorded_at.wall_s, event)
        for record in reader.read_stream(DELIVERIES, removed="skip")
        for event in record.events
    ]
    return Listing(tuple(letters), tuple(skipped), state.dropped)


def letter_in(reader: EventReader, letter_id: str) -> Letter | None:
    """One letter; None when the log has none of this id."""
    return letters_of(reader).letters.get(letter_id)


def letters_of(reader: EventReader) -> DeadLetters:
    """The letters that the log still holds. Not by a fold, which wants all events: retention may have taken some."""
    gathered = Gathered()
    for record in reader.read_stream(STREAM, removed="skip"):
        for event in record.events:
            gathered.add(event)
    return gathered.done()
