"""What fails again and again, and what a closed mailbox held, is a letter on record; sent again, it happens once."""

from __future__ import annotations

import random
import threading
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.memory import MemoryStore
from eventstore.opening import open_store
from eventstore.records import Appended, Batch, NewEvent, Retention, StreamWrite
from lrm_actors.domain import dead_letters
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, then, unhandled
from lrm_actors.domain.dead_letters import STREAM, DeadLetterAdded, DeadLetters, Resent
from lrm_actors.errors import ActorStopped, DeadLetterNotFound, NotResendable, StorageUnavailable
from lrm_actors.inspect.dead_letters import letter_in, letters_of
from lrm_actors.runtime import dead_letters as office
from lrm_actors.runtime.envelope import Envelope, Own
from lrm_actors.runtime.system import ActorSystem
from tests.runtime.support import (
    PATIENCE_S,
    Add,
    Added,
    AddLater,
    Count,
    FailingStore,
    Look,
    Raise,
    Wait,
    counter,
    decide,
    eventually,
    evolve,
    running,
)


@attrs.frozen
class Fragile(Command):
    """Fails while its number is among the broken ones."""

    number: int


BROKEN: set[int] = set()


def fragile(state: Count, command: Any, ctx: Context) -> Decision:
    """The counter's decisions, and one that may fail."""
    if isinstance(command, Fragile):
        if command.number in BROKEN:
            msg = f"{command.number} is broken"
            raise ValueError(msg)
        return then(Added(command.number))
    return decide(state, command, ctx)


def fragile_counter(**options: Any) -> Spec[Count]:
    """A counter that has it."""
    return Spec("counter", Count(), fragile, evolve, **options)


@pytest.fixture(autouse=True)
def broken() -> None:
    """Only 13 is broken at first."""
    BROKEN.clear()
    BROKEN.add(13)


def letters(store: Any) -> list[DeadLetterAdded]:
    """Those that were put aside, in order."""
    return [event for event in events(store) if isinstance(event, DeadLetterAdded)]


def events(store: Any) -> list[Any]:
    """Everything on record about letters."""
    return [event for record in store.read_stream(STREAM) for event in record.events]


def status(store: Any) -> dict[str, str]:
    """What became of each letter."""
    state: DeadLetters = store.fold(STREAM, dead_letters.evolve, DeadLetters()).state
    return {letter.letter: letter.status for letter in state.letters.values()}


def test_a_told_message_is_tried_three_times_and_then_put_aside() -> None:
    """In its place in the order each time; the messages around it are handled once."""
    with running(fragile_counter()) as system:
        entered, release = threading.Event(), threading.Event()
        system.tell("counter", Wait(entered, release))
        assert entered.wait(PATIENCE_S)
        for number in (1, 13, 2):
            system.tell("counter", Fragile(number))
        release.set()
        eventually(lambda: system.state("counter").history == (1, 2))
        (letter,) = letters(system.store)
        assert ("counter", "Fragile", 3, '{"number":13}') == (letter.to, letter.command, letter.attempts, letter.body)
        assert ("failed again and again", "ValueError") == (letter.reason, letter.error)


def test_a_message_that_fails_beside_one_that_cannot_be_stored_is_tried_again() -> None:
    """What cannot be stored is put aside at once; the others of its turn are handled one by one, each in its place."""
    tries: list[int] = []

    def moody(state: Count, command: Any, ctx: Context) -> Decision:
        match command:
            case Add(2):
                return then(Added(2**70))
            case Add(3):
                tries.append(1)
                if len(tries) < 3:
                    raise ConnectionError
        return decide(state, command, ctx)

    with running(Spec("counter", Count(), moody, evolve)) as system:
        entered, release = threading.Event(), threading.Event()
        system.tell("counter", Wait(entered, release))
        assert entered.wait(PATIENCE_S)
        for amount in (1, 2, 3, 4):
            system.tell("counter", Add(amount))
        release.set()
        eventually(lambda: system.state("counter").history == (1, 3, 4))
        assert [("Add", 1)] == [(letter.command, letter.attempts) for letter in letters(system.store)]
        assert 3 == len(tries)


def test_a_message_that_fails_for_a_while_is_not_lost() -> None:
    """Mended before its third try, it is handled, once."""
    tries: list[int] = []

    def moody(state: Count, command: Any, ctx: Context) -> Decision:
        if isinstance(command, Add) and command.amount == 5:
            tries.append(1)
            if len(tries) < 3:
                raise ConnectionError
        return decide(state, command, ctx)

    with running(Spec("counter", Count(), moody, evolve)) as system:
        system.tell("counter", Add(5))
        system.tell("counter", Add(6))
        eventually(lambda: system.state("counter").history == (5, 6))
        assert [] == letters(system.store)


def test_a_letter_sent_again_is_handled_once() -> None:
    """Mended, it is carried out and marked in one transaction; a second time it is refused."""
    with running(fragile_counter()) as system:
        system.tell("counter", Fragile(13))
        (letter,) = eventually(lambda: letters(system.store))
        BROKEN.clear()
        system.resend(letter.letter)
        eventually(lambda: system.state("counter").history == (13,))
        assert {letter.letter: dead_letters.RESENT} == status(system.store)
        with pytest.raises(NotResendable, match="handled already"):
            system.resend(letter.letter)
        with pytest.raises(DeadLetterNotFound):
            system.resend("no such letter")
        resent = next(r for r in system.store.read() if Resent(letter.letter) in r.events)
        assert resent.position == system.store.get(resent.position - 1).position + 1
        assert Added(13) == system.store.get(resent.position - 1).event


def test_a_letter_that_fails_again_is_the_same_letter() -> None:
    """It does not multiply."""
    with running(fragile_counter()) as system:
        system.tell("counter", Fragile(13))
        (letter,) = eventually(lambda: letters(system.store))
        system.resend(letter.letter)
        eventually(lambda: len(letters(system.store)) == 2)
        assert {letter.letter: dead_letters.KEPT} == status(system.store)


def test_what_was_asked_for_while_nobody_ran_is_sent_again_at_the_next_start(tmp_path: Path) -> None:
    """Once; the start after that has nothing left to do."""
    path = tmp_path / "lrm.db"
    with open_store(path) as store, running(fragile_counter(), store=store) as system:
        system.tell("counter", Fragile(13))
        (letter,) = eventually(lambda: letters(store))
    with open_store(path) as store:
        store.append(_request(letter.letter))
    BROKEN.clear()
    for _ in range(2):
        with open_store(path) as store, running(fragile_counter(), store=store) as system:
            eventually(partial(_has_handled, system, 13))
            assert 13 == system.ask_blocking("counter", Look())
            assert {letter.letter: dead_letters.RESENT} == status(store)


def test_a_letter_of_an_actor_that_is_gone_says_so() -> None:
    """Asked for while nobody ran, it goes back to the letters that wait, with the reason."""
    store = MemoryStore()
    with running(fragile_counter(), store=store) as system:
        system.tell("counter", Fragile(13))
        (letter,) = eventually(lambda: letters(store))
    store.append(_request(letter.letter))
    with running(counter("another"), store=store):
        assert {letter.letter: dead_letters.KEPT} == status(store)
        assert "there is no actor counter" in events(store)[-1].problem


def test_a_command_that_cannot_be_stored_is_kept_as_text() -> None:
    """It is listed, and cannot be sent again."""
    with running(counter()) as system:
        system.tell("counter", Raise(ValueError))
        (letter,) = eventually(lambda: letters(system.store))
        assert ("Raise", "") == (letter.command, letter.body)
        assert "ValueError" in letter.shown
        with pytest.raises(NotResendable, match="text"):
            system.resend(letter.letter)


def test_data_never_names_code() -> None:
    """A letter that names what is no command of its actor makes nothing."""
    forged = DeadLetterAdded("forged", "counter", "ActorSystem", "by hand", "", "", 0, "{}", "")
    store = MemoryStore()
    store.append(Batch(writes=(StreamWrite(STREAM, (NewEvent(forged),)),)))
    with running(counter(), store=store) as system, pytest.raises(NotResendable, match="knows no command ActorSystem"):
        system.resend("forged")


def test_what_a_given_up_actor_still_held_becomes_letters() -> None:
    """Told messages are on record; who asked got an error."""
    with running(counter()) as system:
        entered, release = threading.Event(), threading.Event()
        system.tell("counter", Wait(entered, release))
        assert entered.wait(PATIENCE_S)
        for amount in range(3):
            system.tell("counter", Add(amount))
        system.stop_actor("counter", "gave up")
        release.set()
        eventually(lambda: len(letters(system.store)) == 3)
        assert {"gave up"} == {letter.reason for letter in letters(system.store)}
        with pytest.raises(ActorStopped):
            system.tell("counter", Add(9))


def test_what_an_actor_sent_itself_is_no_letter_at_its_end() -> None:
    """Its timers are started again by its recovery; a letter for each would bury the others."""
    with running(counter()) as system:
        system.ask_blocking("counter", AddLater(1, 0.0))
        system._mailboxes["counter"].refuse_new("stopping")
        mailbox = system._mailboxes["counter"]
        mailbox.close("stopping")
        mailbox.put_anyway(Own(Add(1)))
        mailbox.put_anyway(Envelope(Add(2)))
        eventually(lambda: letters(system.store))
    assert ["Add(amount=2)"] == [letter.shown for letter in letters(system.store)]


def test_more_than_may_be_kept_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound holds, and the number of those that are gone is on record."""
    monkeypatch.setattr(office, "WAITING_MAX", 4)
    store = MemoryStore()
    system = ActorSystem(store, [counter()])
    system.start()
    entered, release = threading.Event(), threading.Event()
    system.tell("counter", Wait(entered, release))
    assert entered.wait(PATIENCE_S)
    system._office._asked = True  # nobody stores them before the end
    for amount in range(10):
        system.tell("counter", Add(amount))
    system._mailboxes["counter"].close("gave up")
    system.stop(0.2)
    release.set()
    assert (4, 6) == (len(letters(store)), store.fold(STREAM, dead_letters.evolve, DeadLetters()).state.dropped)


def test_a_letter_that_cannot_be_stored_yet_waits_for_the_log() -> None:
    """The disk is full at the third failure: the message stays, and is put aside when there is room again."""

    class FullForLetters(FailingStore):
        def append(self, batch: Batch) -> Appended:
            if any(write.stream == STREAM for write in batch.writes) and not self.failed.is_set():
                self.full = True
            return super().append(batch)

    store = FullForLetters()
    with running(fragile_counter(), store=store) as system:
        system.tell("counter", Fragile(13))
        assert store.failed.wait(PATIENCE_S)
        store.full = False
        eventually(lambda: letters(store))
        system.tell("counter", Fragile(1))
        eventually(lambda: system.state("counter").history == (1,))
        assert 1 == len(status(store))


def test_the_letters_that_are_remembered_are_bounded() -> None:
    """Those that were sent again go first, then the oldest."""
    state = DeadLetters()
    for number in range(dead_letters.MAX_KEPT + 10):
        state = dead_letters.evolve(state, DeadLetterAdded(str(number), "a", "C", "why", "", "", 1, "", ""))
        if number == 500:
            state = dead_letters.evolve(state, Resent("500"))
    assert dead_letters.MAX_KEPT == len(state.letters)
    assert "500" not in state.letters
    assert ["9", "10"] == list(state.letters)[:2]


def test_letters_wait_for_a_log_that_cannot_be_written() -> None:
    """A full disk costs none of them, as long as they are not too many; they are stored when it is well again."""
    store = FailingStore()
    unheard = Spec("deaf", Count(), lambda _state, _command, _ctx: unhandled(), evolve)
    with running(unheard, counter(), store=store) as system:
        store.full = True
        system.tell("deaf", Add(1))
        assert store.failed.wait(PATIENCE_S)
        eventually(lambda: not system._office._storing.locked() and system._office.pending, "it waits")
        with pytest.raises(StorageUnavailable):
            system.ask_blocking("counter", Add(1))  # so that the guardian looks after the log
        assert [] == letters(store)
        store.full = False
        eventually(lambda: [letter.to for letter in letters(store)] == ["deaf"], "the letter")
        assert 0 == system._office.lost


def test_letters_that_wait_too_long_are_counted() -> None:
    """As many wait as may, the oldest; of the others there is a number."""
    store = FailingStore()
    kept = office.DeadLetterOffice(store, iter(map(str, range(10_000))).__next__, lambda: 0.0, lambda _function: None)
    store.full = True
    for number in range(office.WAITING_MAX):
        kept.take(counter(), Envelope(Add(number)), "why")
    kept.store()
    for number in range(5):
        kept.take(counter(), Envelope(Add(number)), "why")
    store.full = False
    kept.store()
    assert office.WAITING_MAX == len(letters(store))
    assert (5, 5) == (kept.lost, letters_of(store).dropped)
    assert not kept.pending


def test_a_flood_of_dead_letters_does_not_fill_the_log() -> None:
    """As many letters as are ever listed within some seconds, however fast they are stored; the rest is a number."""
    store, now_s = MemoryStore(), [0.0]
    kept = office.DeadLetterOffice(
        store, iter(map(str, range(10_000))).__next__, lambda: now_s[0], lambda function: function()
    )
    for number in range(3 * office.WAITING_MAX):
        kept.take(counter(), Envelope(Add(number)), "a newer message took its place")
    assert office.WAITING_MAX == store.version(STREAM)
    now_s[0] = office.WINDOW_S
    kept.take(counter(), Envelope(Add(1)), "a newer message took its place")
    assert office.WAITING_MAX + 1 == len(letters(store))
    assert 2 * office.WAITING_MAX == letters_of(store).dropped


def test_letters_are_the_same_read_at_once_and_one_by_one() -> None:
    """Whichever are asked for, sent again and added once more, with more of them than are kept."""
    chance = random.Random(5)
    names = [str(number) for number in range(3 * dead_letters.MAX_KEPT)]
    state, gathered = DeadLetters(), dead_letters.Gathered()
    for number, name in enumerate(names):
        seen = chance.choice(names[: number + 1])
        for fact in (
            DeadLetterAdded(name, "a", "C", "why", "", "", 1, "", ""),
            chance.choice(
                (
                    dead_letters.ResendRequested(seen),
                    Resent(seen),
                    dead_letters.ResendFailed(seen, "no"),
                    DeadLetterAdded(seen, "a", "C", "again", "", "", 1, "", ""),
                )
            ),
        ):
            state = dead_letters.evolve(state, fact)
            gathered.add(fact)
    assert list(state.letters.items()) == list(gathered.done().letters.items())


def test_what_retention_took_does_not_keep_a_letter_from_being_sent_again() -> None:
    """The oldest letters are gone from the log, with whatever was theirs; those that are left are as good as before."""
    store = MemoryStore()
    for number in (1, 2):
        fact = DeadLetterAdded(f"l{number}", "counter", "Fragile", "why", "", "", 3, f'{{"number":{number}}}', "")
        store.append(Batch(writes=(StreamWrite(STREAM, (NewEvent(fact),)),)))
    assert 1 == store.retain(Retention(max_events=1, expendable=(STREAM,))).removed
    with running(fragile_counter(), store=store) as system:
        with pytest.raises(DeadLetterNotFound):
            system.resend("l1")
        system.resend("l2")
        eventually(lambda: system.state("counter").history == (2,))
    left = letter_in(store, "l2")
    assert left is not None
    assert dead_letters.RESENT == left.status


def _has_handled(system: ActorSystem, amount: int) -> bool:
    return bool(system.state("counter").history == (amount,))


def _request(letter: str) -> Batch:
    fact = dead_letters.ResendRequested(letter)
    return Batch(writes=(StreamWrite(STREAM, (NewEvent(fact),)),))
