"""Has one of our actors decide on a command while no process owns its log: with new epochs, in one transaction.

Talks to the log. What the decision would have done outside is left to the next process, which looks after it itself.
"""

from __future__ import annotations

from typing import Any, TypeVar

from eventstore.opening import system_instant
from eventstore.protocol import EventStore
from eventstore.records import Batch, NewEvent, StreamWrite
from lrm_actors.domain.behavior import Command, Context, Spec
from lrm_actors.inspect.replay import folded_at_head
from lrm_actors.runtime.ids import Ids

S = TypeVar("S")


def decide_alone(store: EventStore, spec: Spec[S], command: Command) -> Any:
    """Decide, and put on record what was decided. The reply is the actor's.

    Args:
        store: the log, owned by this process; nothing runs on it.
        spec: the actor.
        command: one that needs no effect to be carried out.

    Raises:
        CommandRefused: the actor refuses it; nothing changed.
        FoldFailed: its state cannot be known.
        AppendFailed, OutcomeUnknown: it cannot be stored.
    """
    epoch = store.acquire(spec.name).epoch
    replayed = folded_at_head(store, spec.name)
    ids = Ids()
    command_id = ids.next()
    ctx = Context(system_instant(), command_id, command_id, new_id=ids.next)
    decision = spec.decide(replayed.state if replayed.folded else spec.initial, command, ctx)
    events = tuple(NewEvent(event, command_id=command_id, correlation_id=command_id) for event in decision.events)
    if events:
        write = StreamWrite(spec.name, events, replayed.version, epoch)
        store.append(Batch(writes=(write,), attachments=decision.attachments, discard=decision.discard))
    return decision.reply
