"""What a batch is made of, and what a newcomer is told who makes it of something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eventstore import Batch, Cursor, MemoryStore, NewEvent, StreamWrite, open_store
from eventstore.errors import BadRequest, Fenced, NotAnEvent
from tests.eventstore.support import Counted

WRITE = StreamWrite("a", (NewEvent(Counted(1)),))


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        (None, "batch = None: it must be a Batch, and is a NoneType"),
        (WRITE, "it must be a Batch, and is a StreamWrite"),
        (Batch(WRITE), "it must be a tuple, and is a StreamWrite"),  # type: ignore[arg-type]
        (Batch((Counted(1),)), "one of writes = .*it must be a StreamWrite, and is a Counted"),  # type: ignore[arg-type]
        (Batch((StreamWrite("a", (Counted(1),)),)), "one of events = .*a NewEvent, and is a Counted"),  # type: ignore[arg-type]
        (Batch((StreamWrite("a", NewEvent(Counted(1))),)), "events = .*it must be a tuple"),  # type: ignore[arg-type]
        (Batch((WRITE,), cursors=Cursor("c", 1)), "cursors = .*it must be a tuple"),  # type: ignore[arg-type]
        (Batch((WRITE,), receipts=("r",)), "one of receipts = 'r': it must be a Receipt"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_batch_is_named(batch: Any, told: str) -> None:
    """With what it should be, and nothing is stored."""
    with MemoryStore() as store:
        with pytest.raises(BadRequest, match=told) as caught:
            store.append(batch)
        assert "make it a" in caught.value.hint
        assert 0 == store.head


def test_what_is_no_event_is_told_as_such() -> None:
    """Whatever is wrapped must be of a declared class."""
    with MemoryStore() as store, pytest.raises(NotAnEvent):
        store.append(Batch((StreamWrite("a", (NewEvent("text"),)),)))


def test_a_write_without_the_epoch_it_needs_is_told_to_give_one() -> None:
    """It is not taken for a zombie, which has an epoch, an old one."""
    with MemoryStore() as store:
        grant = store.acquire("a")
        with pytest.raises(Fenced, match="no epoch was given") as caught:
            store.append(Batch((WRITE,)))
        assert "give the epoch" in caught.value.hint
        store.acquire("a")
        with pytest.raises(Fenced, match="belongs to epoch 2, not 1"):
            store.append(Batch((StreamWrite("a", (NewEvent(Counted(1)),), epoch=grant.epoch),)))


@pytest.mark.parametrize("depth", [False, True, -1, 1.0, "0"])
def test_a_depth_is_a_whole_number_and_nothing_like_one(depth: Any) -> None:
    """A truth value equals a number, and would come back as one."""
    with MemoryStore() as store, pytest.raises(BadRequest, match="depth"):
        store.append(Batch((StreamWrite("a", (NewEvent(Counted(1), depth=depth),)),)))


def test_a_cause_that_is_yet_to_come_is_told_with_where_the_event_will_be(tmp_path: Path) -> None:
    """So that whoever chose it sees by how much it is wrong."""
    with open_store(tmp_path / "lrm.db") as store:
        for _ in range(5):
            store.append(Batch((WRITE,)))
        late = (NewEvent(Counted(1)), NewEvent(Counted(2)), NewEvent(Counted(3), cause=8))
        with pytest.raises(BadRequest, match="cause = 8: the event itself will be at position 8"):
            store.append(Batch((StreamWrite("a", late),)))
