"""Tests of the actors in reading_list.py: ``pytest test_reading_list.py``. The machine finds what nobody thought of."""

from __future__ import annotations

from reading_list import READING_LIST, SHELF, WIRES, AddBook, BookAdded

from eventstore import EventStore
from lrm_actors import ActorSystem
from lrm_actors.runtime.clock import Clock
from lrm_actors.testing import BehaviorKit, RecoveryStateMachine


def test_a_book_is_added_once() -> None:
    """The second time nothing happens, and a restart changes nothing."""
    kit = BehaviorKit(READING_LIST)
    assert kit.run(AddBook("Walden")).events == (BookAdded("Walden"),)
    assert kit.run(AddBook("Walden")).events == ()
    assert kit.restart().state.books == ("Walden",)


class ReadingMachine(RecoveryStateMachine):
    """Both actors, through crashes, power cuts and failing disks."""

    def make(self, store: EventStore, clock: Clock) -> ActorSystem:
        """Called once for each life of the process."""
        return ActorSystem(store, [READING_LIST, SHELF], wires=WIRES, clock=clock)


TestReadingList = ReadingMachine.TestCase
