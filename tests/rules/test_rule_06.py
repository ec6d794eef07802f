"""Rule 6: every ask resolves, errors wrapped; every death is noticed once; one actor's failure touches nobody else."""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from lrm_actors.errors import ActorStopped, AskTimeout, HandlerFailed, LrmError
from lrm_actors.runtime import mailbox as mailboxes
from lrm_actors.runtime import shell as shells
from lrm_actors.runtime.clock import ManualClock
from lrm_actors.runtime.control import Stop
from lrm_actors.runtime.envelope import Envelope
from lrm_actors.runtime.reply import Reply
from lrm_actors.runtime.system import ActorSystem
from tests.rules.support import system_on_disk
from tests.runtime.support import PATIENCE_S, Add, Look, Raise, counter, eventually
from tests.runtime.test_deaths import Escape, Witness, watch

ASKS, ASKS_FOR_RELEASE = 2_000, 100_000
ASKS_IN_A_ROUND = 100
THREADS = 4
ENDS = ("stop", "thread dies", "given up", "restarted", "nothing")
ERRORS: tuple[type[BaseException], ...] = (ValueError, SystemExit, asyncio.CancelledError, KeyboardInterrupt)
SEED = 6


@attrs.define
class Outcomes:
    """How asks ended."""

    answered: int = 0
    errors: Counter[str] = attrs.Factory(Counter)
    failed: Counter[str] = attrs.Factory(Counter)
    """Handlers' failures as the askers were told of them, by the name of the error."""
    wrong: list[str] = attrs.Factory(list)
    """Asks that ended in no way that an ask may end."""
    raised: Counter[str] = attrs.Factory(Counter)
    """The same, as they were raised."""
    noticed: Counter[tuple[str, str]] = attrs.Factory(Counter)
    """Failures as the guardian was told of them, by kind and name."""
    lock: threading.Lock = attrs.Factory(threading.Lock)

    def answer(self) -> None:
        with self.lock:
            self.answered += 1

    def error(self, error: BaseException) -> None:
        with self.lock:
            self.errors[type(error).__name__] += 1
            if isinstance(error, AskTimeout):
                self.wrong.append(f"unresolved: {error}")
            elif not isinstance(error, LrmError):
                self.wrong.append(f"not wrapped: {error!r}")
            elif isinstance(error, HandlerFailed):
                self.failed[error.error] += 1

    def make(self, error: type[BaseException]) -> Callable[[], BaseException]:
        """What a handler is to raise: counted when it is made."""

        def one() -> BaseException:
            with self.lock:
                self.raised[error.__name__] += 1
            return error()

        return one

    @property
    def asks(self) -> int:
        return self.answered + sum(self.errors.values())


@contextmanager
def small_switch_interval() -> Iterator[None]:
    """Threads take turns so often that nearly every order comes up."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def time_going_by(clock: ManualClock) -> Iterator[None]:
    """Time that passes quickly, so that no restart is waited for."""
    over = threading.Event()

    def go_by() -> None:
        while not over.wait(0.001):
            clock.advance(1.0)

    thread = threading.Thread(target=go_by, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def race(directory: Path, end: str, seen: Outcomes, *, asks: int, chance: random.Random, timeout_s: float) -> None:
    """Ask one actor from threads and from a loop, with failing commands among them, while something happens to it."""
    clock = ManualClock()
    fails = chance.choice((0.0, 0.05))
    plan = [Raise(seen.make(chance.choice(ERRORS))) if chance.random() < fails else Add(1) for _ in range(asks)]
    share = asks // (THREADS + 1)
    with system_on_disk(directory, counter(), counter("sibling"), clock=clock) as system, time_going_by(clock):
        witness = watch(system)
        start = threading.Barrier(THREADS + 2)

        def ask(commands: list[Any]) -> None:
            start.wait()
            for command in commands:
                try:
                    system.ask_blocking("counter", command, timeout_s=timeout_s)
                except BaseException as error:
                    seen.error(error)
                else:
                    seen.answer()

        async def ask_all(commands: list[Any]) -> None:
            async def one(command: Any) -> None:
                try:
                    await system.ask("counter", command, timeout_s=timeout_s)
                except BaseException as error:
                    seen.error(error)
                else:
                    seen.answer()

            start.wait()
            await asyncio.gather(*(one(command) for command in commands))

        parts = [plan[index * share : (index + 1) * share] for index in range(THREADS)]
        threads = [threading.Thread(target=ask, args=(part,), daemon=True) for part in parts]
        threads.append(threading.Thread(target=lambda: asyncio.run(ask_all(plan[THREADS * share :])), daemon=True))
        for thread in threads:
            thread.start()
        start.wait()
        # Anywhere among the asks: after so many of them were dealt with.
        mark = chance.randrange(asks)
        before = seen.asks
        for _ in itertools.takewhile(lambda _: seen.asks - before < mark and _alive(threads), itertools.count()):
            pass
        _bring_on(system, end)
        for thread in threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "an asker hangs"
        if end == "thread dies":
            eventually(lambda: system.phase("counter") == "running")
    _count(witness, seen)


def _alive(threads: list[threading.Thread]) -> bool:
    return any(thread.is_alive() for thread in threads)


def _bring_on(system: ActorSystem, end: str) -> None:
    match end:
        case "stop":
            system.stop(deadline_s=PATIENCE_S)
        case "thread dies":
            system._mailboxes["counter"].command(Escape(MemoryError()))
        case "given up":
            system.stop_actor("counter", "given up")
        case "restarted":
            try:
                system.restart_actor("counter")
            except LrmError:
                return  # it had just failed by itself


def _count(witness: Witness, seen: Outcomes) -> None:
    seen.noticed.update((kind, error) for _, kind, error in witness.notices)


def races(root: Path, asks: int, *, ends: tuple[str, ...] = ENDS, timeout_s: float = PATIENCE_S) -> Outcomes:
    """Round after round."""
    seen, chance = Outcomes(), random.Random(SEED)
    with small_switch_interval():
        for number, end in zip(range(asks // ASKS_IN_A_ROUND), itertools.cycle(ends), strict=False):
            race(root / str(number), end, seen, asks=ASKS_IN_A_ROUND, chance=chance, timeout_s=timeout_s)
    return seen


def objections(seen: Outcomes) -> list[str]:
    """What is wrong with how asks ended, and with what was noticed."""
    wrong = list(seen.wrong)
    for name in {error.__name__ for error in ERRORS}:
        told, raised, noticed = seen.failed[name], seen.raised[name], seen.noticed["asked", name]
        if raised != noticed:
            wrong.append(f"{name} was raised {raised} times and noticed {noticed} times")
        if told > raised:  # less is fine: an asker may have been told that the actor was given up
            wrong.append(f"{told} askers were told of {name}, which was raised {raised} times")
    return wrong


def test_rule_06_holds_every_ask_resolves_and_every_death_is_noticed_once(tmp_path: Path, release: bool) -> None:
    """Thousands of asks race with stops, dying threads, restarts and failing handlers: none hangs, none leaks."""
    asks = ASKS_FOR_RELEASE if release else ASKS
    seen = races(tmp_path, asks)
    print(seen.answered, seen.errors, seen.noticed)
    assert [] == objections(seen)
    assert asks == seen.asks
    assert seen.answered > asks / 10
    assert {"HandlerFailed", "ActorStopped"} <= seen.errors.keys()
    assert seen.noticed["thread", "MemoryError"] > 0


def test_rule_06_holds_every_thread_that_dies_is_noticed_once(tmp_path: Path) -> None:
    """Ten deaths of one actor's thread, one after the other, are ten notices, and the mailbox goes on."""
    clock = ManualClock()
    with system_on_disk(tmp_path, counter(), clock=clock) as system, time_going_by(clock):
        witness = watch(system)
        for number in range(1, 11):
            system._mailboxes["counter"].command(Escape(SystemExit()))
            eventually(lambda number=number: len(witness.notices) >= number)  # type: ignore[misc]
            assert number == system.ask_blocking("counter", Add(1), timeout_s=PATIENCE_S)
        assert [("counter", "thread", "SystemExit")] * 10 == witness.notices


def test_rule_06_planted_an_ask_that_is_dropped_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mailbox that forgets what waits in it when it closes leaves askers without an answer."""

    def forget(mailbox: mailboxes.Mailbox) -> None:
        while mailbox.get_more() is not None:
            mailbox.dead_letters += 1
        if mailbox._control.qsize():
            mailbox._ordinary.put(mailboxes.WAKE)

    monkeypatch.setattr(mailboxes.Mailbox, "_drain", forget)
    seen = races(tmp_path, 5 * ASKS_IN_A_ROUND, ends=("given up",), timeout_s=0.2)
    assert any("unresolved" in one for one in objections(seen))


def test_rule_06_planted_a_bare_error_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An asker who gets the handler's own SystemExit would be ended by it."""
    monkeypatch.setattr("lrm_actors.runtime.failing.wrapped", lambda _actor, error, _envelope: error)
    seen = races(tmp_path, 5 * ASKS_IN_A_ROUND, ends=("nothing",))
    assert any("not wrapped" in one for one in objections(seen))


def test_rule_06_planted_a_death_told_twice_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that reports each failure in two places."""
    fail = shells.Shell._fail

    def chatty(shell: shells.Shell, kind: str, error: BaseException, handling: str) -> None:
        fail(shell, kind, error, handling)
        shell._services.funnel.actor_failed(shell.spec.name, kind, error, handling)

    monkeypatch.setattr(shells.Shell, "_fail", chatty)
    seen = races(tmp_path, 5 * ASKS_IN_A_ROUND, ends=("nothing",))
    assert any("noticed" in one for one in objections(seen))


# --- nobody else --------------------------------------------------------------------------------------------------


def touched_by_a_failure(root: Path, error: type[BaseException]) -> list[str]:
    """Who notices that one actor failed: its sibling, and an actor of another system in this process."""
    touched = []
    with (
        system_on_disk(root / "one", counter(), counter("sibling")) as system,
        system_on_disk(root / "two", counter("stranger")) as other,
    ):
        for name, where in (("sibling", system), ("stranger", other)):
            where.ask_blocking(name, Add(1))
        for _ in range(3):
            with pytest.raises(LrmError):
                system.ask_blocking("counter", Raise(error), timeout_s=PATIENCE_S)
        for name, where in (("sibling", system), ("stranger", other)):
            statistics = next(one for one in where.statistics().actors if one.name == name)
            try:
                total = where.ask_blocking(name, Look())
            except LrmError as trouble:
                touched.append(f"{name}: {trouble}")
                continue
            if (1, 0, "running") != (total, statistics.failures, statistics.phase):
                touched.append(f"{name}: {statistics}")
    return touched


@pytest.mark.parametrize("error", ERRORS)
def test_rule_06_holds_a_failure_touches_nobody_else(error: type[BaseException], tmp_path: Path) -> None:
    """Not a sibling, and not another system in the process, whatever was raised."""
    assert [] == touched_by_a_failure(tmp_path, error)


def test_rule_06_planted_a_shared_registry_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopping everything that is registered in the process, as bare pykka does on SystemExit, is seen."""
    registry: list[shells.Shell] = []
    launch, fail = shells.Shell.launch, shells.Shell._fail

    def registered(shell: shells.Shell, thread_name: str) -> None:
        registry.append(shell)
        launch(shell, thread_name)

    def stop_all(shell: shells.Shell, kind: str, error: BaseException, handling: str) -> None:
        fail(shell, kind, error, handling)
        for other in registry:
            if other is not shell:
                other.mailbox.close("everything stops")
                other.mailbox.command(Stop())

    monkeypatch.setattr(shells.Shell, "launch", registered)
    monkeypatch.setattr(shells.Shell, "_fail", stop_all)
    touched = touched_by_a_failure(tmp_path, SystemExit)
    assert {"sibling", "stranger"} == {one.partition(":")[0] for one in touched}


# --- where an ask could be forgotten ------------------------------------------------------------------------------


def test_rule_06_holds_an_ask_that_comes_back_to_a_closed_mailbox_ends() -> None:
    """An actor that is given up just as it has taken a message out puts it back where nobody reads any more."""
    mailbox, reply = mailboxes.Mailbox("counter"), Reply("counter")
    mailbox.put(Envelope(Add(1), reply))
    taken = mailbox.get()
    mailbox.close("given up")
    mailbox.put_back([taken])
    with pytest.raises(ActorStopped):
        reply.get(timeout=PATIENCE_S)
    assert mailbox.get_more() is None


def test_rule_06_holds_a_reader_is_woken_whatever_is_drained() -> None:
    """Somebody who puts a message into a closed mailbox must not take the wake-up of its reader away."""
    mailbox = mailboxes.Mailbox("counter")
    mailbox.close("given up")
    mailbox.command("stop")
    mailbox.put_anyway(Envelope(Add(1)))
    assert mailboxes.WAKE is mailbox.get_more()
    assert "stop" == mailbox.next_command()
