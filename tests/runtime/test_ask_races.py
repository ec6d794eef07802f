"""Asks from threads and from event loops that race with stop, crash, takeover and cancellation: each ends, in time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import threading
from collections import Counter
from typing import Any

import attrs
import pytest

from eventstore.memory import MemoryStore
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, then
from lrm_actors.errors import AskError, LrmError
from lrm_actors.runtime.mailbox import Mailbox
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.runtime.takeover import look_at, take_over
from lrm_actors.runtime.watchdog import OFF
from tests.runtime.support import PATIENCE_S

ASKS, ASKS_RELEASE = 20_000, 1_000_000
BY_LOOP, BY_THREAD = 1_600, 200
"""Asks of one round: at once from a loop, and one after the other from each of two threads."""
TIMEOUT_S = 20.0
"""What every ask may take; an ask that only ends by it has lost its answer."""


@attrs.frozen
class Plain(Command):
    pass


@attrs.frozen
class Crash(Command):
    pass


@attrs.frozen
class Hang(Command):
    entered: threading.Event
    release: threading.Event


def decide(_state: int, command: Any, _ctx: Context) -> Decision:
    """Answers, crashes or hangs; stores nothing, for this is about answers."""
    match command:
        case Crash():
            raise SystemExit
        case Hang(entered=entered, release=release):
            entered.set()
            release.wait(PATIENCE_S)
    return then(reply=1)


SPEC = Spec("answering", 0, decide, lambda state, _fact: state, mailbox_capacity=100_000)


@attrs.define
class Round:
    """One system from start to stop, and how its asks ended."""

    number: int
    outcomes: Counter[str] = attrs.Factory(Counter)
    untyped: list[BaseException] = attrs.Factory(list)
    events: Counter[str] = attrs.Factory(Counter)
    _lock: threading.Lock = attrs.Factory(threading.Lock)

    def run(self) -> None:
        """All of it, on four threads."""
        system = ActorSystem(MemoryStore(), [SPEC], watch=OFF)
        system.start()
        asking = (lambda: asyncio.run(self._from_a_loop(system)), *(2 * [lambda: self._from_a_thread(system)]))
        threads = [threading.Thread(target=one) for one in (*asking, lambda: self._trouble(system))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        system.stop(2.0)

    async def _from_a_loop(self, system: ActorSystem) -> None:
        chance = random.Random(self.number)
        tasks = [asyncio.create_task(system.ask("answering", Plain(), timeout_s=TIMEOUT_S)) for _ in range(BY_LOOP)]
        for one, task in enumerate(tasks):
            if one % 400 == 0:
                await asyncio.sleep(0)
            if chance.random() < 0.05:
                task.cancel()
        for end in await asyncio.gather(*tasks, return_exceptions=True):
            self._count(end)

    def _from_a_thread(self, system: ActorSystem) -> None:
        for _ in range(BY_THREAD):
            try:
                self._count(system.ask_blocking("answering", Plain(), timeout_s=TIMEOUT_S))
            except Exception as error:
                self._count(error)

    def _trouble(self, system: ActorSystem) -> None:
        chance = random.Random(-self.number)
        for _ in range(chance.randrange(2, 12)):
            kind = chance.choice(["crash", "takeover", "restart"])
            self.events[kind] += 1
            with contextlib.suppress(AskError):
                getattr(self, f"_{kind}")(system)
        if chance.random() < 0.7:
            enough, pause = chance.randrange(BY_LOOP + 2 * BY_THREAD), threading.Event()
            for _ in range(2_000):
                if sum(self.outcomes.values()) >= enough:
                    break
                pause.wait(0.0005)
            self.events["stop"] += 1
            system.stop(2.0)

    @staticmethod
    def _crash(system: ActorSystem) -> None:
        system.ask_blocking("answering", Crash(), timeout_s=TIMEOUT_S)

    @staticmethod
    def _restart(system: ActorSystem) -> None:
        system.restart_actor("answering")

    @staticmethod
    def _takeover(system: ActorSystem) -> None:
        entered, release = threading.Event(), threading.Event()
        system.tell("answering", Hang(entered, release))
        if entered.wait(PATIENCE_S):
            shell = system._shells["answering"]
            take_over(look_at(shell, shell.hand.entries, 1.0), system)
            entered.clear()
            entered.wait(0.05)  # told, so it hangs once more with the successor, who is released
            release.set()
            assert shell.actor_stopped.wait(PATIENCE_S)

    def _count(self, end: Any) -> None:
        with self._lock:
            self.outcomes[type(end).__name__] += 1
            if not isinstance(end, (int, LrmError, asyncio.CancelledError)):
                self.untyped.append(end)


def race(asks: int, first: int = 0) -> tuple[Counter[str], Counter[str], list[BaseException]]:
    """Rounds until there were as many asks, with threads that take turns as often as they can."""
    outcomes, events, untyped = Counter[str](), Counter[str](), list[BaseException]()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for number in range(-(-asks // (BY_LOOP + 2 * BY_THREAD))):
            one = Round(first + number)
            one.run()
            outcomes += one.outcomes
            events += one.events
            untyped += one.untyped
    finally:
        sys.setswitchinterval(interval)
    return outcomes, events, untyped


def test_every_ask_ends_in_time_with_a_typed_outcome(*, release: bool) -> None:
    """An answer, a typed error, or the cancellation that was asked for; none waits for its timeout."""
    asks = ASKS_RELEASE if release else ASKS
    outcomes, events, untyped = race(asks)
    print(f"{sum(outcomes.values())} asks ended: {dict(outcomes)}; among {dict(events)}")
    assert asks <= sum(outcomes.values())
    assert [] == untyped
    assert 0 == outcomes["AskTimeout"], "an answer was lost"


def test_planted_an_ask_that_is_forgotten_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mailbox that is closed and keeps what comes afterwards, as pykka's does."""
    monkeypatch.setattr("tests.runtime.test_ask_races.TIMEOUT_S", 0.3)
    monkeypatch.setattr(Mailbox, "_drain", lambda _mailbox: None)
    rounds = (race(BY_LOOP, number)[0] for number in range(30))
    assert any(outcomes["AskTimeout"] for outcomes in rounds), "the planted bug went unseen"
