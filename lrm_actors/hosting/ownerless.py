"""Has one of our actors decide on commands while no process owns its log: with new epochs, in one transaction.

Talks to the log. What the decision would have done outside is left to the next process, which looks after it itself.
"""

from __future__ import annotations

from typing import Any, TypeVar

from eventstore.opening import system_instant
from eventstore.protocol import EventStore
from eventstore.records import Attachment, Batch, NewEvent, StreamWrite
from lrm_actors.domain.behavior import Command, Context, Spec
from lrm_actors.inspect.replay import folded_at_head
from lrm_actors.runtime.ids import Ids

S = TypeVar("S")


def decide_alone(store: EventStore, spec: Spec[S], *commands: Command) -> Any:
    """Decide on one command after the other, and put on record what was decided. The reply is that to the last.

    Args:
        store: the log, owned by this process; nothing runs on it.
        spec: the actor.
        commands: each needs no effect to be carried out.

    Raises:
        CommandRefused: the actor refuses one of them; nothing changed.
        FoldFailed: its state cannot be known.
        AppendFailed, OutcomeUnknown: it cannot be stored.
    """
    epoch = store.acquire(spec.name).epoch
    replayed = folded_at_head(store, spec.name)
    state: S = replayed.state if replayed.folded else spec.initial
    ids, reply = Ids(), None
    events: list[NewEvent] = []
    attachments: tuple[Attachment, ...] = ()
    discard: tuple[str, ...] = ()
    for command in commands:
        command_id = ids.next()
        ctx = Context(system_instant(), command_id, command_id, new_id=ids.next)
        decision = spec.decide(state, command, ctx)
        for event in decision.events:
            state = spec.evolve(state, event)
        events += [NewEvent(event, command_id=command_id, correlation_id=command_id) for event in decision.events]
        attachments += decision.attachments
        discard += decision.discard
        reply = decision.reply
    if events:
        write = StreamWrite(spec.name, tuple(events), replayed.version, epoch)
        store.append(Batch(writes=(write,), attachments=attachments, discard=discard))
    return reply
