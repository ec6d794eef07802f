"""When the log cannot be written: asks end, what was told is kept, nobody is answered early, and all comes back."""

from __future__ import annotations

import threading

import attrs
import pytest

from eventstore.errors import OutcomeUnknown as StoreOutcomeUnknown
from eventstore.errors import StorageFull
from eventstore.records import Appended, Batch
from lrm_actors.domain.behavior import Command
from lrm_actors.errors import OutcomeUnknown, StorageUnavailable
from lrm_actors.runtime import shell as shells
from lrm_actors.runtime.committing import CURSOR_LAG
from lrm_actors.runtime.turn import Turn
from tests.runtime.support import PATIENCE_S, Add, FailingStore, Look, Wait, counter, eventually, running


def test_a_full_disk_ends_asks_keeps_what_was_told_and_heals_by_itself() -> None:
    """With no space: typed errors at once. With space again: the told commands are carried out, once each."""
    store = FailingStore()
    with running(counter(), counter("sibling"), store=store) as system:
        assert 1 == system.ask_blocking("counter", Add(1))
        store.full = True
        with pytest.raises(StorageUnavailable, match="nothing was stored"):
            system.ask_blocking("counter", Add(100))
        with pytest.raises(StorageUnavailable):
            system.ask_blocking("counter", Add(100))
        for _ in range(3):
            system.tell("counter", Add(1))
        system.tell("sibling", Add(7))
        store.full = False
        eventually(lambda: system.state("counter").total == 4)
        eventually(lambda: system.state("sibling").total == 7)
        assert 5 == system.ask_blocking("counter", Add(1), timeout_s=PATIENCE_S)
        assert (1, 1, 1, 1, 1) == system.state("counter").history


def test_a_full_disk_at_start_up_heals_too() -> None:
    """Actors that could not even take their streams come up when space returns."""
    store = FailingStore()
    store.full = True
    with running(counter(), store=store) as system:
        system.tell("counter", Add(2))
        assert store.failed.wait(PATIENCE_S)
        store.full = False
        eventually(lambda: system.state("counter").total == 2)


@pytest.mark.parametrize("kept", ["stored", "lost"])
def test_an_unknown_outcome_is_settled_before_anyone_is_answered(kept: str) -> None:
    """An ask in a turn of unknown outcome ends with the truth once it is known: its reply, or 'nothing was stored'."""
    store = FailingStore()
    with running(counter(), store=store) as system:
        store.unknown = kept
        if kept == "stored":
            assert 3 == system.ask_blocking("counter", Add(3), timeout_s=PATIENCE_S)
        else:
            with pytest.raises(StorageUnavailable, match="nothing was stored"):
                system.ask_blocking("counter", Add(3), timeout_s=PATIENCE_S)
        expected = 3 if kept == "stored" else 0
        assert expected == system.ask_blocking("counter", Look(), timeout_s=PATIENCE_S)
        assert expected == sum(record.event.amount for record in store.read_stream("counter"))


@pytest.mark.parametrize("kept", ["stored", "lost"])
def test_told_commands_of_an_unknown_outcome_are_applied_exactly_once(kept: str) -> None:
    """Whether the failed commit happened or not, each told command counts once."""
    store = FailingStore()
    with running(counter(), store=store) as system:
        store.unknown = kept
        for amount in (1, 2, 3):
            system.tell("counter", Add(amount))
        eventually(lambda: system.state("counter").total == 6)
        assert (1, 2, 3) == system.state("counter").history


@attrs.frozen
class Large(Add):
    """Too large for a disk that is nearly full."""

    def where_nothing_fits(self, message: str) -> Command:
        """A smaller one, which fits."""
        assert "disk is full" in message
        return Add(1)


class NearlyFull(FailingStore):
    """Takes small events, and none of 100 and more; says so for certain, or leaves it open."""

    def __init__(self, *, certain: bool) -> None:
        super().__init__()
        self._certain = certain
        self.refused = 0
        self.roomy = False
        """Takes everything."""

    def append(self, batch: Batch) -> Appended:
        amounts = [getattr(new.event, "amount", 0) for write in batch.writes for new in write.events]
        if self.roomy or max(amounts, default=0) < 100:
            return super().append(batch)
        self.refused += 1
        if self._certain:
            raise StorageFull("database or disk is full")
        self.unsettled = True
        raise StoreOutcomeUnknown("database or disk is full")


@pytest.mark.parametrize("certain", [True, False])
def test_what_does_not_fit_gives_way_to_what_does(certain: bool) -> None:
    """Told, the smaller command is handled in its place, once; asked, there is an error and no command."""
    with running(counter(), store=NearlyFull(certain=certain)) as system:
        system.tell("counter", Large(100))
        system.tell("counter", Add(2))
        eventually(lambda: system.state("counter").total == 3)
        with pytest.raises(StorageUnavailable):
            system.ask_blocking("counter", Large(100), timeout_s=PATIENCE_S)
        eventually(lambda: system.phase("counter") == "running")
        assert 3 == system.ask_blocking("counter", Look(), timeout_s=PATIENCE_S)


@attrs.frozen
class Clumsy(Add):
    """Planted: says no smaller one, but fails, or names something that is no command."""

    fails: bool = True

    def where_nothing_fits(self, message: str) -> Command:
        """Wrong in either way."""
        if self.fails:
            raise ValueError(message)
        return message  # type: ignore[return-value]


@pytest.mark.parametrize("fails", [True, False])
def test_a_command_that_names_no_smaller_one_waits_for_room(fails: bool) -> None:
    """Its own mistake costs neither the actor nor the command."""
    store = NearlyFull(certain=True)
    with running(counter(), store=store) as system:
        system.tell("counter", Clumsy(100, fails))
        eventually(lambda: store.refused)
        store.roomy = True
        eventually(lambda: system.state("counter").total == 100)


class HoldsBack(FailingStore):
    """Has something to give up once, as a log has its reserve."""

    def __init__(self) -> None:
        super().__init__()
        self.rooms = 0

    def make_room(self) -> bool:
        """Give it up."""
        self.rooms += 1
        self.full = False
        return self.rooms == 1


def test_a_full_disk_has_the_log_give_up_what_it_held_back() -> None:
    """Once it is used, whoever can make more room is told, and everything goes on."""
    store, told = HoldsBack(), threading.Event()
    with running(counter(), store=store) as system:
        system.on_full = lambda reason: told.set() if "no space left" in reason else None
        store.full = True
        system.tell("counter", Add(2))
        eventually(lambda: system.state("counter").total == 2)
        assert told.wait(PATIENCE_S)
        assert 1 == store.rooms


class NeverSettles(FailingStore):
    """The disk never comes back."""

    def settle(self) -> int:
        raise StoreOutcomeUnknown("still failing")


def test_an_ask_that_waits_for_a_log_that_stays_away_ends_as_outcome_unknown() -> None:
    """Its timeout says that the outcome is unknown, and with which id to ask again."""
    store = NeverSettles()
    with running(counter(), store=store) as system:
        store.unknown = "lost"
        with pytest.raises(OutcomeUnknown) as caught:
            system.ask_blocking("counter", Add(1), timeout_s=0.2)
        assert caught.value.command_id
        with pytest.raises(StorageUnavailable):
            system.ask_blocking("counter", Look(), timeout_s=0.2)


def test_asks_waiting_behind_the_failed_turn_end_too() -> None:
    """When the storage goes, asks that only wait in the mailbox get the typed error, at once."""
    store = FailingStore()
    entered, release = threading.Event(), threading.Event()
    errors: list[Exception] = []

    def ask() -> None:
        try:
            system.ask_blocking("counter", Add(1), timeout_s=PATIENCE_S)
        except StorageUnavailable as error:
            errors.append(error)

    with running(counter(), store=store) as system:
        system.tell("counter", Wait(entered, release))
        entered.wait()
        threads = [threading.Thread(target=ask) for _ in range(5)]
        for thread in threads:
            thread.start()
        eventually(lambda: system.statistics().actors[0].mailbox_depth >= 5)
        store.full = True
        release.set()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert 5 == len(errors)


def test_planted_bug_answering_before_the_append_is_caught() -> None:
    """An actor shell that replies first shows an acknowledged command that the log does not have."""

    class Eager(shells.Shell):
        def _append(self, turn: Turn, flush_cursor_after: int = CURSOR_LAG) -> None:
            for outcome in turn.outcomes:
                if outcome.envelope.reply_to is not None:
                    outcome.envelope.reply_to.set(outcome.reply)
            super()._append(turn, flush_cursor_after)

    store = FailingStore()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lrm_actors.runtime.roster.Shell", Eager)
        with running(counter(), store=store) as system:
            store.full = True
            acknowledged = system.ask_blocking("counter", Add(3))  # the planted bug: no error
            assert 3 == acknowledged
            assert [] == list(store.read_stream("counter")), "the planted bug went unseen"
            store.full = False
