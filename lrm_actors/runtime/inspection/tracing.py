"""The last messages, events and replies of actors, kept in memory while somebody wants them.

Talks to nobody. Off, it costs an actor one look at a flag for each turn. Types and ids are kept; what a message or an
event holds, which may be a secret, only when that is asked for.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

from eventstore.events import name_of
from eventstore.frozen import frozen

if TYPE_CHECKING:
    from lrm_actors.runtime.envelope import Envelope
    from lrm_actors.runtime.turn import Turn

TRACE_KEPT, MAX_TRACE_KEPT = 256, 10_000
"""Entries that are kept by default, and at most."""
BODY_LIMIT = 500
"""Characters of a body that are kept."""


@frozen
class TraceEntry:
    """One thing that an actor was given or did."""

    number: int
    """Counts up from 1 since the trace began; a gap at the front is what the bound let go."""
    at_s: float
    """When, on the system's monotonic clock."""
    actor: str
    kind: str
    """``message``, ``event``, ``reply``, ``refused``, ``effect``, ``failed``."""
    type: str
    """Class of a message, a reply, an error or an effect; stored name of an event."""
    command_id: str | None = None
    position: int | None = None
    """Where in the log: of an event; of the event that a message was wired from."""
    body: str | None = None
    """As much of what it holds as ``repr`` gives, where that was asked for."""


class Tracer:
    """Follows the actors of one system, all or some. ``active`` is what they look at."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.active = False
        self._monotonic = monotonic
        self._ring: deque[TraceEntry] = deque(maxlen=TRACE_KEPT)
        self._actors: Collection[str] | None = None
        self._bodies = False
        self._numbers = itertools.count(1)

    def start(self, actors: Iterable[str] | None, *, keep: int, bodies: bool) -> None:
        """Begin anew; see ``Inspection.trace``."""
        self.active = False
        self._ring = deque(maxlen=keep)
        self._actors = None if actors is None else frozenset(actors)
        self._bodies = bodies
        self._numbers = itertools.count(1)
        self.active = True

    def stop(self) -> None:
        """Follow nobody. What was kept stays until the next start."""
        self.active = False

    def entries(self, last: int | None = None) -> tuple[TraceEntry, ...]:
        """What is kept, oldest first; at most the ``last`` so many."""
        while True:
            try:
                kept = tuple(self._ring)
            except RuntimeError:  # an actor added one meanwhile
                continue
            return kept if last is None else kept[max(0, len(kept) - last) :]

    # --- called by the actors, only while active ------------------------------------------------------------------

    def received(self, actor: str, batch: Iterable[Envelope]) -> None:
        """These were taken in hand."""
        if self._wants(actor):
            for envelope in batch:
                self._add(actor, "message", envelope.message, envelope.command_id, envelope.wired_at)

    def adopted(self, actor: str, turn: Turn) -> None:
        """This took effect."""
        if not self._wants(actor):
            return
        first = turn.first_position
        for index, new in enumerate(turn.events):
            position = None if first is None else first + index
            self._add(actor, "event", new.event, new.command_id, position, name=_stored_name(new.event))
        for outcome in turn.outcomes:
            command_id = outcome.envelope.command_id
            if outcome.envelope.reply_to is not None:
                refused = outcome.refused
                kind, body = ("reply", outcome.reply) if refused is None else ("refused", refused)
                self._add(actor, kind, body, command_id)
            for effect in outcome.effects:
                self._add(actor, "effect", effect, command_id)

    def failed(self, actor: str, error: BaseException) -> None:
        """It failed."""
        if self._wants(actor):
            self._add(actor, "failed", error)

    def _wants(self, actor: str) -> bool:
        return self._actors is None or actor in self._actors

    def _add(
        self,
        actor: str,
        kind: str,
        thing: Any,
        command_id: str | None = None,
        position: int | None = None,
        *,
        name: str = "",
    ) -> None:
        body = _shown(thing) if self._bodies else None
        entry = TraceEntry(
            next(self._numbers),
            self._monotonic(),
            actor,
            kind,
            name or type(thing).__name__,
            command_id,
            position,
            body,
        )
        self._ring.append(entry)


def _stored_name(event: object) -> str:
    try:
        return name_of(type(event))
    except Exception:  # noqa: BLE001 - a trace must not be what an actor fails on
        return type(event).__name__


def _shown(thing: Any) -> str:
    try:
        text = repr(thing)
    except BaseException:  # noqa: BLE001 - as above
        return "<no text: its __repr__ failed>"
    return text if len(text) <= BODY_LIMIT else text[:BODY_LIMIT] + "…"
