"""Takeovers at random moments, over a real file: no row of a zombie, nothing lost and nothing twice.

Half of the zombies are held back by the lock between them and the watchdog, as they always are. The other half are let
past it on purpose, as if there were none: then the store's own fence has to refuse what they append.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.errors import Fenced
from eventstore.events import event
from eventstore.opening import open_store
from eventstore.records import Appended, Batch, Grant, StreamWrite
from eventstore.store import SqliteStore
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, then
from lrm_actors.runtime.clock import ManualClock
from lrm_actors.runtime.hand import Hand
from lrm_actors.runtime.mailbox import WAKE
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.runtime.takeover import look_at, take_over
from lrm_actors.runtime.watchdog import OFF
from tests.runtime.support import PATIENCE_S, eventually

TAKEOVERS, TAKEOVERS_RELEASE = 300, 10_000
AT_ONCE = 25
"""Zombies that are let go together."""


@event("takeovers.done", 1)
class Done:
    number: int
    thread: str
    """Whose decision it was: told apart from a successor's."""


@attrs.frozen
class Do(Command):
    number: int
    hang: bool = False


@attrs.frozen
class Seen:
    numbers: tuple[int, ...] = ()


@attrs.define
class Gate:
    """Where handlers hang, and who did."""

    entered: threading.Semaphore = attrs.Factory(lambda: threading.Semaphore(0))
    open: threading.Event = attrs.Factory(threading.Event)
    hung: set[int] = attrs.Factory(set)
    """Numbers that have hung once; the next time they do not."""
    zombies: set[str] = attrs.Factory(set)


def worker(gate: Gate) -> Spec[Seen]:
    """Does what it is told, and hangs the first time where it is told so."""

    def decide(_state: Seen, command: Do, _ctx: Context) -> Decision:
        me = str(threading.get_ident())
        if command.hang and command.number not in gate.hung:
            gate.hung.add(command.number)
            me = f"zombie {command.number}"
            gate.entered.release()
            gate.open.wait(PATIENCE_S)
        return then(Done(command.number, me), reply=command.number)

    def evolve(state: Seen, fact: Done) -> Seen:
        return Seen((*state.numbers[-3:], fact.number))

    return Spec("worker", Seen(), decide, evolve, snapshot_every=7)


@contextmanager
def walls(*, down: bool) -> Iterator[None]:
    """Let every second zombie past the first wall, when it is down: it goes on to commit what it decided."""
    leave = Hand.leave
    flips = iter(range(1 << 60))

    def let_through(hand: Hand) -> None:
        if hand.abandoned and next(flips) % 2:
            hand.since_s = None
            return
        leave(hand)

    with pytest.MonkeyPatch.context() as patch:
        if down:
            patch.setattr(Hand, "leave", let_through)
        yield


@attrs.define
class Tally:
    takeovers: int = 0
    zombie_rows: int = 0
    told: int = 0
    lost: int = 0
    twice: int = 0


def storm(store: Any, takeovers: int, seed: int) -> Tally:
    """Messages, some of which hang; each hang is taken over at once; the zombies come back in crowds."""
    chance, tally, gate = random.Random(seed), Tally(), Gate()
    system = ActorSystem(store, [worker(gate)], clock=ManualClock(), watch=OFF)
    system.start()
    zombies: list[Any] = []
    try:
        number = 0
        while tally.takeovers < takeovers:
            hang_at = chance.randrange(4)
            for place in range(4):
                number += 1
                system.tell("worker", Do(number, hang=place == hang_at))
            assert gate.entered.acquire(timeout=PATIENCE_S)
            shell = system._shells["worker"]
            stay = look_at(shell, shell.hand.entries, 1.0)
            assert take_over(stay, system) == 1
            tally.takeovers += 1
            zombies.append(shell)
            if chance.random() < 0.5:  # else the zombies may come back while the stream is only being taken
                eventually(lambda: system._shells["worker"].epoch)
            if len(zombies) >= AT_ONCE or tally.takeovers == takeovers:
                gate.open.set()
                settle(system, zombies)
                gate.open = threading.Event()
        tally.told = number
    finally:
        gate.open.set()
        settle(system, zombies)
        system.stop(2.0)
    rows = [fact for record in store.read_stream("worker") for fact in record.events]
    tally.zombie_rows = sum(fact.thread.startswith("zombie") for fact in rows)
    numbers = [fact.number for fact in rows if fact.number]
    tally.lost = tally.told - len(set(numbers))
    tally.twice = len(numbers) - len(set(numbers))
    return tally


def settle(system: ActorSystem, zombies: list[Any]) -> None:
    """Wait until the zombies have ended and the mailbox is empty; one that reads on, as none should, is woken."""
    for zombie in zombies:
        while not zombie.actor_stopped.wait(0.01):
            system._mailboxes["worker"].put_anyway(WAKE)
    zombies.clear()
    system.ask_blocking("worker", Do(0), timeout_s=PATIENCE_S)


def test_no_row_of_a_zombie_is_ever_stored(tmp_path: Path, *, release: bool) -> None:
    """Whichever wall it meets; and what it had in hand is done once, by its successor."""
    takeovers = TAKEOVERS_RELEASE if release else TAKEOVERS
    with open_store(tmp_path / "lrm.db") as store, walls(down=True):
        refused = Refusals(store)
        tally = storm(refused, takeovers, seed=1)
    print(
        f"{tally.takeovers} takeovers over a file: {tally.zombie_rows} rows of zombies, {refused.count} refused;"
        f" of {tally.told} messages {tally.lost} lost, {tally.twice} done twice"
    )
    assert refused.count > takeovers / 4, "too few zombies came as far as the store"
    assert (takeovers, 0, 0, 0) == (tally.takeovers, tally.zombie_rows, tally.lost, tally.twice)


def test_planted_a_missing_fence_is_caught(tmp_path: Path) -> None:
    """A store that does not look at the epoch lets in what the zombies append."""
    with open_store(tmp_path / "lrm.db") as store, walls(down=True):
        tally = storm(Unfenced(store), 40, seed=2)
    assert tally.zombie_rows > 0, "the planted bug went unseen"


class Refusals:
    """A store, and how often it refused an append for its epoch."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.count = 0

    def append(self, batch: Batch) -> Appended:
        try:
            return self._store.append(batch)
        except Fenced:
            self.count += 1
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Unfenced(Refusals):
    """Takes an append of any epoch, at whatever version the stream is."""

    def __init__(self, store: SqliteStore) -> None:
        super().__init__(store)
        self._epochs: dict[str, int] = {}

    def acquire(self, stream: str) -> Grant:
        grant = self._store.acquire(stream)
        self._epochs[stream] = grant.epoch
        return grant

    def append(self, batch: Batch) -> Appended:
        writes = tuple(
            StreamWrite(write.stream, write.events, epoch=self._epochs.get(write.stream))
            for write in batch.writes
            if write.events
        )
        return self._store.append(Batch(writes, batch.cursors, batch.receipts))
