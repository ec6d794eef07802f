"""One turn of several commands is one transaction, and leaves what they would have left one by one."""

from __future__ import annotations

import pytest

from eventstore.events import event
from eventstore.frozen import frozen
from eventstore.memory import MemoryStore
from eventstore.records import Attachment, Instant
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, then
from lrm_actors.runtime.envelope import Envelope
from lrm_actors.runtime.turn import Turn

NOW = Instant(0.0, 0.0, "boot")


@frozen
class ChangeFile(Command):
    """Write it, or remove it."""

    key: str
    write: bool = True


@event("turned.changed", 1)
class FileChanged:
    key: str


@frozen
class Files:
    """How many changes there were."""

    changes: int = 0


def decide(state: Files, command: ChangeFile, ctx: Context) -> Decision:
    """Store an attachment, or discard it."""
    if command.write:
        return then(FileChanged(command.key), attachments=(Attachment(command.key, b"bytes"),))
    return then(FileChanged(command.key), discard=(command.key,))


@pytest.mark.parametrize("already_there", [False, True])
@pytest.mark.parametrize(
    ("writes", "left"), [((True, False), []), ((False, True), ["one"]), ((True, False, True), ["one"])]
)
def test_what_was_brought_and_discarded_in_one_turn_is_gone(
    writes: tuple[bool, ...], left: list[str], *, already_there: bool
) -> None:
    """Whether it was there before the turn or not; and what was discarded and then brought is there."""
    store, spec = MemoryStore(), Spec("turned", Files(), decide, lambda state, _: Files(state.changes + 1))
    epoch = store.acquire(spec.name).epoch
    version = 0
    for commands in (((True,),) if already_there else ()) + (writes,):
        turn = Turn(spec, Files(), version, now=NOW, new_id=lambda: "id", random=lambda: 0.5)
        for write in commands:
            turn.decide(Envelope(ChangeFile("one", write)))
        batch = turn.batch(epoch, 0, 0)
        assert batch is not None
        store.append(batch)
        version = turn.version
    assert left == list(store.attachment_keys())


def test_what_a_decision_folded_already_is_not_folded_again() -> None:
    """Its first event; those after it, and those of the next decision, are."""
    folds: list[str] = []

    def fold(state: Files, fact: FileChanged) -> Files:
        folds.append(fact.key)
        return Files(state.changes + 1)

    def two(state: Files, command: ChangeFile, ctx: Context) -> Decision:
        first = FileChanged(command.key)
        return then(first, FileChanged("and another"), folded=fold(state, first))

    turn = Turn(Spec("turned", Files(), two, fold), Files(), 0, now=NOW, new_id=lambda: "id", random=lambda: 0.5)
    turn.decide(Envelope(ChangeFile("one")))
    turn.decide(Envelope(ChangeFile("two")))
    assert ["one", "and another", "two", "and another"] == folds
    assert (Files(4), 4) == (turn.state, turn.version)
