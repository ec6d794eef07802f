"""What becomes of a command whose asker is cancelled or times out, and that every ask ends."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter

import pytest

from eventstore.memory import MemoryStore
from lrm_actors.errors import AskError, AskTimeout, LrmError
from lrm_actors.runtime.reply import AsyncReply
from lrm_actors.runtime.system import ActorSystem
from tests.runtime.support import PATIENCE_S, Add, Look, Wait, counter, running


class Busy:
    """Holds the counter in a handler while a test asks it."""

    def __init__(self, system: ActorSystem) -> None:
        self.entered, self.release = threading.Event(), threading.Event()
        system.tell("counter", Wait(self.entered, self.release))
        assert self.entered.wait(PATIENCE_S)


def cancelled_before_it_was_begun() -> int:
    """What the counter stands at after an ask was cancelled while another message was in hand, and asked again."""

    async def main(system: ActorSystem) -> int:
        busy = Busy(system)
        asking = asyncio.create_task(system.ask("counter", Add(10), timeout_s=PATIENCE_S))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        busy.release.set()
        return int(await system.ask("counter", Look(), timeout_s=PATIENCE_S))

    with running(counter()) as system:
        return asyncio.run(main(system))


def test_a_cancelled_ask_that_was_not_begun_is_not_carried_out() -> None:
    """As with a call that a pool of threads has not begun."""
    assert 0 == cancelled_before_it_was_begun()


def test_planted_bug_a_cancelled_ask_that_is_carried_out_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """An asker who goes without a word."""
    monkeypatch.setattr(AsyncReply, "withdraw", lambda _reply: None)
    assert 10 == cancelled_before_it_was_begun()


def test_a_cancelled_ask_that_was_begun_is_carried_out_and_can_be_asked_again() -> None:
    """With the same ``command_id``, once in all, whether the first was begun or not."""

    async def main(system: ActorSystem) -> tuple[int, int]:
        entered, release = threading.Event(), threading.Event()
        asking = asyncio.create_task(system.ask("counter", Wait(entered, release), timeout_s=PATIENCE_S))
        await asyncio.sleep(0)
        assert await asyncio.to_thread(entered.wait, PATIENCE_S)
        second = asyncio.create_task(system.ask("counter", Add(1), timeout_s=PATIENCE_S, command_id="once"))
        await asyncio.sleep(0)
        asking.cancel()
        second.cancel()
        await asyncio.gather(asking, second, return_exceptions=True)
        release.set()
        for _ in range(3):
            await system.ask("counter", Add(1), timeout_s=PATIENCE_S, command_id="once")
        (statistics,) = system.statistics().actors
        return system.state("counter").total, statistics.failures

    with running(counter()) as system:
        assert (1, 0) == asyncio.run(main(system))


def test_an_ask_that_timed_out_is_carried_out_when_its_turn_comes() -> None:
    """From a thread and from a loop: a timeout says that it is not known, and means it."""
    with running(counter()) as system:
        busy = Busy(system)
        with pytest.raises(AskTimeout):
            system.ask_blocking("counter", Add(1), timeout_s=0.01)
        with pytest.raises(AskTimeout):
            asyncio.run(system.ask("counter", Add(1), timeout_s=0.01))
        busy.release.set()
        assert 2 == system.ask_blocking("counter", Look(), timeout_s=PATIENCE_S)


def test_every_ask_ends_whatever_it_races_with(release: bool) -> None:
    """Asks from loops and threads that race with cancellation, timeouts, restarts and the stop: each has an outcome."""
    rounds = 200 if release else 6
    outcomes: Counter[str] = Counter()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for number in range(rounds):
            outcomes.update(_race(number))
    finally:
        sys.setswitchinterval(interval)
    print(f"{sum(outcomes.values())} asks ended: {dict(outcomes)}")
    assert rounds * 150 == sum(outcomes.values())


def _race(number: int) -> list[str]:
    system = ActorSystem(_store(), [counter(), counter("narrow", mailbox_capacity=2, mailbox_policy="block")])
    system.start()
    outcomes: list[str] = []

    async def asks() -> None:
        tasks = [
            asyncio.create_task(
                system.ask("narrow" if one % 4 == 0 else "counter", Add(1), timeout_s=0.001 if one % 7 == 0 else 5.0)
            )
            for one in range(100)
        ]
        for one, task in enumerate(tasks):
            if one % 5 == 0:
                await asyncio.sleep(0)
                task.cancel()
        for end in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(end, (int, LrmError, asyncio.CancelledError)), repr(end)
            outcomes.append(type(end).__name__)

    def threads() -> None:
        for _ in range(50):
            try:
                system.ask_blocking("counter", Add(1), timeout_s=5.0)
                outcomes.append("int")
            except LrmError as error:
                outcomes.append(type(error).__name__)

    def trouble() -> None:
        for _ in range(number % 3):
            try:
                system.restart_actor("counter")
            except AskError:
                return
        system.stop(deadline_s=2.0)

    workers = [threading.Thread(target=one) for one in (lambda: asyncio.run(asks()), threads, trouble)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    system.stop()
    return outcomes


def _store() -> MemoryStore:
    return MemoryStore()
