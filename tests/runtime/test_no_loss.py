"""Messages among crashes of every kind at random points: each told one is applied once, each ask tells the truth.

The actor dies of its handler, of its thread, of a hang that is taken over, and of appends that fail before or after
they took effect. Most seeds run over a store in memory that can be made to fail; some over a real file, whose appends
do not fail here: ``tests/faults`` has the disks that do.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.errors import OutcomeUnknown, StorageFull
from eventstore.memory import MemoryStore
from eventstore.opening import open_store
from eventstore.records import Appended, Batch
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, then
from lrm_actors.errors import AskError, HandlerFailed, MailboxFull, StorageUnavailable
from lrm_actors.runtime.clock import ManualClock
from lrm_actors.runtime.envelope import Envelope
from lrm_actors.runtime.failing import Failing
from lrm_actors.runtime.reply import Reply
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.runtime.takeover import look_at, take_over
from lrm_actors.runtime.watchdog import OFF
from tests.runtime.support import PATIENCE_S, Added, Count
from tests.runtime.test_deaths import Escape

MESSAGES = 2_000
SEEDS, SEEDS_RELEASE = 6, 200
FILE_EVERY = 20
"""One seed in so many runs over a file, in the full run; the default run has one of its few on a file."""
WAITING = 40
"""Messages that may wait when more are sent."""
ASKED = 0.1
"""Share of the messages whose sender wants an answer."""


@attrs.frozen
class Do(Command):
    number: int


@attrs.define
class Trouble:
    """Crashes by chance, on whichever thread asks for one."""

    chance: random.Random
    often: float = 0.02
    store_share: int = 8
    crashes: Counter[str] = attrs.Factory(Counter)
    failures: Counter[int] = attrs.Factory(Counter)
    hanging: threading.Event = attrs.Factory(threading.Event)
    go_on: threading.Event = attrs.Factory(threading.Event)

    def store_often(self) -> float:
        """An append, which holds many messages, fails more often than one of them."""
        return self.store_share * self.often

    def in_handler(self, number: int) -> None:
        """A message fails or hangs twice at most: the third time it would be put aside, which is no loss either."""
        if self.chance.random() >= self.often or self.failures[number] >= 2:
            return
        self.failures[number] += 1
        kind = self.chance.choice(["raise", "raise", "exit", "hang"])
        self.crashes[kind] += 1
        if kind == "hang":
            gate = self.go_on
            self.hanging.set()
            gate.wait(PATIENCE_S)
        elif kind == "exit":
            raise SystemExit
        else:
            raise ValueError(number)


class Failing_(MemoryStore):  # noqa: N801 - the other Failing is a part of a shell
    """Its appends fail by chance: for certain, or leaving it open whether they happened."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__()
        self._trouble = trouble
        self._unsettled = False

    def append(self, batch: Batch) -> Appended:
        if self._unsettled:
            raise OutcomeUnknown("not settled")
        if batch.writes and batch.writes[0].events and self._trouble.chance.random() < self._trouble.store_often():
            kind = self._trouble.chance.choice(["full", "stored", "lost"])
            self._trouble.crashes[kind] += 1
            if kind == "full":
                raise StorageFull("no space left on device")
            if kind == "stored":
                super().append(batch)
            self._unsettled = True
            raise OutcomeUnknown("fsync failed")
        return super().append(batch)

    def settle(self) -> int:
        self._unsettled = False
        return super().settle()


@attrs.define
class Tally:
    told: int = 0
    asked: int = 0
    lost: int = 0
    twice: int = 0
    lies: int = 0
    """Asks whose outcome is not what the log says."""
    crashes: Counter[str] = attrs.Factory(Counter)


def worker(trouble: Trouble) -> Spec[Count]:
    """Applies each number, when nothing happens to it."""

    def decide(_state: Count, command: Do, _ctx: Context) -> Decision:
        trouble.in_handler(command.number)
        return then(Added(command.number), reply=command.number)

    return Spec("worker", Count(), decide, lambda state, fact: Count(state.total + fact.amount), snapshot_every=50)


def live(seed: int, store: Any, trouble: Trouble, messages: int = MESSAGES) -> Tally:
    """Send the messages in bursts among the crashes, wait until all is quiet, and compare with the log."""
    chance, clock, asks = random.Random(seed), ManualClock(), dict[int, Reply]()
    system = ActorSystem(store, [worker(trouble)], clock=clock, watch=OFF)
    system.start()
    zombies: list[Any] = []
    number, tally = 0, Tally(crashes=trouble.crashes)
    try:
        while number < messages:
            for _ in range(min(messages - number, chance.randrange(1, 60))):
                number += 1
                _send(system, number, asks, asked=chance.random() < ASKED)
            if chance.random() < 0.1:
                trouble.crashes["thread"] += 1
                system._mailboxes["worker"].command(Escape(MemoryError()))
            _until_at_most(WAITING if number < messages else 0, system, clock, trouble, zombies)
        trouble.often = 0.0
        ended = Reply("worker")
        _put(system, Envelope(Do(0), ended))
        for _ in range(int(PATIENCE_S / 0.001)):
            _go_on(system, clock, trouble, zombies)
            if _outcome(ended, 0.001) == 0:
                break
            if ended._ready.acquire(blocking=False):  # it ended with an error, in the middle of the trouble
                ended = Reply("worker")
                _put(system, Envelope(Do(0), ended))
    finally:
        trouble.go_on.set()
        for zombie in zombies:
            assert zombie.actor_stopped.wait(PATIENCE_S)
        system.stop(2.0)
    applied = Counter(fact.amount for record in store.read_stream("worker") for fact in record.events)
    told = [one for one in range(1, messages + 1) if one not in asks]
    tally.told, tally.asked = len(told), len(asks)
    tally.lost = sum(not applied[one] for one in told)
    tally.twice = sum(times > 1 for one, times in applied.items() if one)
    tally.lies = sum(applied[one] != (_outcome(reply, 0.0) == one) for one, reply in asks.items())
    return tally


def _until_at_most(waiting: int, system: ActorSystem, clock: ManualClock, trouble: Trouble, zombies: list[Any]) -> None:
    """Let it work until no more messages wait than this."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.0005)):
        _go_on(system, clock, trouble, zombies)
        if system._mailboxes["worker"].depth() <= waiting:
            return
        pause.wait(0.0005)


def _send(system: ActorSystem, number: int, asks: dict[int, Reply], *, asked: bool) -> None:
    envelope = Envelope(Do(number))
    if asked:
        envelope.reply_to = asks[number] = Reply("worker", f"id-{number}")
        envelope.command_id = f"id-{number}"
    _put(system, envelope)


def _put(system: ActorSystem, envelope: Envelope) -> None:
    system._mailboxes["worker"].put(envelope)


def _go_on(system: ActorSystem, clock: ManualClock, trouble: Trouble, zombies: list[Any]) -> None:
    """Let time go by, so that restarts and the storage's return come about, and take over who hangs."""
    if trouble.hanging.is_set():
        trouble.hanging.clear()
        gate, trouble.go_on = trouble.go_on, threading.Event()  # before: the successor may hang at once
        shell = system._shells["worker"]
        assert take_over(look_at(shell, shell.hand.entries, 1.0), system)
        zombies.append(shell)
        gate.set()
    clock.advance(5.0)


def _outcome(reply: Reply, timeout_s: float) -> Any:
    """The number that was answered; None when nothing was stored for certain."""
    try:
        return reply.get(timeout=timeout_s)
    except (HandlerFailed, StorageUnavailable, MailboxFull):
        return None
    except AskError as error:
        return type(error).__name__


def test_nothing_told_is_lost_or_applied_twice(tmp_path: Path, *, release: bool) -> None:
    """Whatever the actor dies of, and however often."""
    total, files = Tally(), 0
    for seed in range(SEEDS_RELEASE if release else SEEDS):
        trouble = Trouble(random.Random(1_000 + seed))
        if seed % FILE_EVERY == 0:
            files += 1
            with open_store(tmp_path / f"{seed}.db") as store:
                tally = live(seed, store, trouble)
        else:
            tally = live(seed, Failing_(trouble), trouble)
        for field in ("told", "asked", "lost", "twice", "lies"):
            setattr(total, field, getattr(total, field) + getattr(tally, field))
        total.crashes += tally.crashes
        assert (0, 0, 0) == (tally.lost, tally.twice, tally.lies), f"seed {seed}: {tally}"
    seeds = SEEDS_RELEASE if release else SEEDS
    print(
        f"{seeds} seeds ({files} of them over a file) of {MESSAGES} messages: {total.told} told, {total.lost} lost,"
        f" {total.twice} twice; {total.asked} asked, {total.lies} not as answered; crashes: {dict(total.crashes)}"
    )
    assert {"raise", "exit", "hang", "thread", "full", "stored", "lost"} <= total.crashes.keys()


@pytest.mark.parametrize("plant", ["drops", "doubles"])
def test_planted_bugs_are_caught(plant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that forgets what failed, or that does again what is stored."""
    if plant == "drops":
        monkeypatch.setattr(Failing, "_return_to_senders", lambda *_rest: None)
    else:
        monkeypatch.setattr(Failing, "_answer_unsettled", _redo_all)
    trouble = Trouble(random.Random(5), store_share=25)
    tally = live(5, Failing_(trouble), trouble, 800)
    assert (tally.lost if plant == "drops" else tally.twice) > 0, f"the planted bug went unseen: {tally}"


def _redo_all(shell: Any, _version: int) -> None:
    turn, shell._unsettled = shell._unsettled, None
    if turn is not None:
        shell.mailbox.put_back([outcome.envelope for outcome in turn.outcomes])
