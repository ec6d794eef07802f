"""Asking, telling, and what one actor's failure does to the others: nothing."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest

from eventstore.memory import MemoryStore
from lrm_actors.domain.behavior import Context, Decision, Spec, then
from lrm_actors.errors import (
    AskInsideDecide,
    AskTimeout,
    CommandRefused,
    HandlerFailed,
    MailboxFull,
    NoSuchActor,
    NotRunning,
    WiringError,
)
from lrm_actors.runtime.clock import ManualClock
from lrm_actors.runtime.system import ActorSystem
from tests.runtime.support import (
    Add,
    AddLater,
    Count,
    Look,
    Note,
    Raise,
    Refuse,
    Wait,
    counter,
    eventually,
    evolve,
    running,
)

DEATHS = [ValueError, SystemExit, asyncio.CancelledError, KeyboardInterrupt, GeneratorExit]


def test_an_asked_command_is_answered_after_it_is_in_the_log() -> None:
    """The reply comes, the event is stored, and the state is published."""
    with running(counter()) as system:
        assert 3 == system.ask_blocking("counter", Add(3))
        assert [3] == [record.event.amount for record in system.store.read_stream("counter")]
        assert 3 == system.state("counter").total


def test_a_coroutine_may_ask_without_blocking_its_loop() -> None:
    """While a handler holds the actor, the loop that awaits it goes on turning."""
    entered, release = threading.Event(), threading.Event()

    async def main(system: ActorSystem) -> tuple[int, int]:
        asked = asyncio.ensure_future(system.ask("counter", Wait(entered, release), timeout_s=30))
        turns = 0
        while not entered.is_set() or turns < 10:
            await asyncio.sleep(0)
            turns += 1
        assert not asked.done()
        release.set()
        await asked
        return turns, await system.ask("counter", Add(1))

    with running(counter()) as system:
        turns, total = asyncio.run(main(system))
    assert turns >= 10
    assert 1 == total


def test_thousands_of_coroutines_ask_at_once() -> None:
    """Every one of 2,000 concurrent asks gets its own answer."""

    async def main(system: ActorSystem) -> list[int]:
        return list(await asyncio.gather(*(system.ask("counter", Add(1), timeout_s=30) for _ in range(2000))))

    with running(counter()) as system:
        assert list(range(1, 2001)) == asyncio.run(main(system))


@pytest.mark.parametrize("error", DEATHS)
@pytest.mark.parametrize("asked", [True, False])
def test_any_exception_restarts_the_actor_in_place(error: type[BaseException], *, asked: bool) -> None:
    """Whatever a handler raises, queued messages survive, siblings and a second system notice nothing."""
    entered, release = threading.Event(), threading.Event()
    with running(counter(), counter("sibling")) as system, running(counter()) as other:
        system.tell("counter", Wait(entered, release))
        entered.wait()
        if asked:
            asking = threading.Thread(target=lambda: failures.append(_failure_of(system, error)))
            failures: list[HandlerFailed] = []
            asking.start()
            eventually(lambda: system.statistics().actors[0].mailbox_depth >= 1)
        else:
            system.tell("counter", Raise(error))
        for amount in range(1, 6):
            system.tell("counter", Add(amount))
        release.set()
        eventually(lambda: system.state("counter").total == 15, "all queued messages")
        if asked:
            asking.join()
            assert [error.__name__] == [failure.error for failure in failures]
        assert (1, 2, 3, 4, 5) == system.state("counter").history
        assert 1 == system.ask_blocking("sibling", Add(1))
        assert 1 == other.ask_blocking("counter", Add(1))
        # Who asked is told at once. What was told is tried three times, and then put aside.
        assert [1 if asked else 3, 0] == [actor.failures for actor in system.statistics().actors]
        assert [0] == [actor.failures for actor in other.statistics().actors]


def _failure_of(system: ActorSystem, error: type[BaseException]) -> HandlerFailed:
    with pytest.raises(HandlerFailed) as caught:
        system.ask_blocking("counter", Raise(error))
    return caught.value


@pytest.mark.parametrize("error", DEATHS)
def test_an_exception_in_start_up_is_retried(error: type[BaseException]) -> None:
    """An actor whose recovery fails twice comes up at the third try, with its mailbox."""
    tries: list[int] = []

    def recover(_state: Count, _ctx: Context) -> Decision:
        tries.append(1)
        if len(tries) < 3:
            raise error
        return then()

    with running(counter(recover=recover), counter("sibling")) as system:
        assert 1 == system.ask_blocking("sibling", Add(1))
        assert 2 == system.ask_blocking("counter", Add(2), timeout_s=10)
        assert 3 == len(tries)


def test_what_came_before_the_failing_message_of_a_turn_is_committed() -> None:
    """A turn's first messages are stored and answered although a later one fails."""
    entered, release = threading.Event(), threading.Event()
    with running(counter()) as system:
        system.tell("counter", Wait(entered, release))
        entered.wait()
        system.tell("counter", Add(1))
        system.tell("counter", Raise(ValueError))
        system.tell("counter", Add(2))
        release.set()
        eventually(lambda: system.state("counter").total == 3)
        assert [1, 2] == [record.event.amount for record in system.store.read_stream("counter")]


def test_an_event_that_cannot_be_folded_is_never_stored() -> None:
    """A failing ``evolve`` fails the command, and the log stays as it was."""

    def bad_evolve(state: Count, fact: Any) -> Count:
        if fact.amount == 13:
            msg = "no thirteen"
            raise ValueError(msg)
        return evolve(state, fact)

    spec = Spec("counter", Count(), counter().decide, bad_evolve)
    with running(spec) as system:
        system.ask_blocking("counter", Add(1))
        with pytest.raises(HandlerFailed, match="no thirteen"):
            system.ask_blocking("counter", Add(13))
        assert 3 == system.ask_blocking("counter", Add(2))
        assert [1, 2] == [record.event.amount for record in system.store.read_stream("counter")]


def test_an_event_that_cannot_be_stored_fails_only_its_own_command() -> None:
    """In a turn of several messages, one unstorable event is found and the others are committed."""
    entered, release = threading.Event(), threading.Event()
    with running(counter()) as system:
        system.tell("counter", Wait(entered, release))
        entered.wait()
        system.tell("counter", Note("a"))
        system.tell("counter", Note("\ud800"))
        system.tell("counter", Note("b"))
        release.set()
        eventually(lambda: system.state("counter").notes == ("a", "b"))
        assert 1 == system.statistics().actors[0].failures


def test_a_refused_command_restarts_nothing() -> None:
    """A refusal is an answer."""
    with running(counter()) as system:
        with pytest.raises(CommandRefused, match="refuses"):
            system.ask_blocking("counter", Refuse())
        assert 0 == system.statistics().actors[0].failures


def test_a_command_id_sent_twice_is_carried_out_once() -> None:
    """The retry of a command gets the first reply, also after a restart of the whole system."""
    store = MemoryStore()
    with running(counter(), store=store) as system:
        assert 5 == system.ask_blocking("counter", Add(5), command_id="mine")
        assert 6 == system.ask_blocking("counter", Add(1))
        assert 5 == system.ask_blocking("counter", Add(5), command_id="mine")
        system.tell("counter", Add(4), command_id="told")
        system.tell("counter", Add(4), command_id="told")
        assert 10 == system.ask_blocking("counter", Look())
    with running(counter(), store=store) as system:
        assert 5 == system.ask_blocking("counter", Add(5), command_id="mine")
        assert 10 == system.state("counter").total


def test_a_reply_that_need_not_be_kept_is_not_stored() -> None:
    """Unless the asker gives the command's id, which says that it may ask again."""
    store = MemoryStore()
    with running(counter(), store=store) as system:
        system.ask_blocking("counter", Add(1), keep_reply=False)
        asyncio.run(system.ask("counter", Add(1), keep_reply=False))
        forgotten = [record.command_id for record in store.read(streams=("counter",))]
        assert [None, None] == [store.receipt(command_id) for command_id in forgotten if command_id]
        assert 3 == system.ask_blocking("counter", Add(1), command_id="mine", keep_reply=False)
        assert 3 == system.ask_blocking("counter", Add(1), command_id="mine", keep_reply=False)


def test_state_comes_back_from_snapshot_and_events() -> None:
    """A second system over the same log has the same state, however many snapshots there are."""
    store = MemoryStore()
    with running(counter(snapshot_every=7), store=store) as system:
        for amount in range(50):
            system.ask_blocking("counter", Add(amount))
        expected = system.state("counter")
    assert store.snapshot("counter") is not None
    for every in (0, 7):
        with running(counter(snapshot_every=every), store=store) as system:
            assert expected == system.state("counter")


def test_an_ask_times_out_with_the_id_to_retry_with() -> None:
    """A timeout is typed, names the command, and a cancelled or late reply harms nobody."""
    entered, release = threading.Event(), threading.Event()
    with running(counter()) as system:
        system.tell("counter", Wait(entered, release))
        entered.wait()
        with pytest.raises(AskTimeout) as caught:
            system.ask_blocking("counter", Add(1), timeout_s=0.01)
        with pytest.raises(AskTimeout):
            asyncio.run(system.ask("counter", Add(1), timeout_s=0.01))
        release.set()
        assert 1 == system.ask_blocking("counter", Add(1), command_id=caught.value.command_id)
        assert 2 == system.state("counter").total


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf"), float("nan")])
def test_an_ask_must_have_a_finite_timeout(timeout_s: float) -> None:
    """No ask waits for ever."""
    with running(counter()) as system, pytest.raises(ValueError, match="finite"):
        system.ask_blocking("counter", Look(), timeout_s=timeout_s)


def test_a_full_mailbox_refuses() -> None:
    """One message more than the capacity is refused with a typed error, and the rest are handled."""
    entered, release = threading.Event(), threading.Event()
    with running(counter(mailbox_capacity=10)) as system:
        system.tell("counter", Wait(entered, release))
        entered.wait()
        for _ in range(10):
            system.tell("counter", Add(1))
        with pytest.raises(MailboxFull, match="10 messages"):
            system.tell("counter", Add(1))
        release.set()
        eventually(lambda: system.state("counter").total == 10)


def test_timers_follow_the_clock() -> None:
    """A timer fires when the clock that the test owns has come far enough, not before."""
    clock = ManualClock()
    with running(counter(), clock=clock) as system:
        system.tell("counter", AddLater(7, 60.0))
        eventually(lambda: system.statistics().actors[0].handled == 1)
        clock.advance(59.9)
        assert 0 == system.ask_blocking("counter", Look())
        clock.advance(0.2)
        assert 7 == system.ask_blocking("counter", Look())


def test_asking_from_inside_decide_is_refused() -> None:
    """Pure code that reaches for another actor gets a typed error, and its command fails."""
    holder: list[ActorSystem] = []

    def nosy(state: Count, _command: Any, _ctx: Context) -> Decision:
        return then(reply=holder[0].ask_blocking("counter", Look()) + state.total)

    with running(counter(), Spec("nosy", Count(), nosy, evolve)) as system:
        holder.append(system)
        with pytest.raises(HandlerFailed) as caught:
            system.ask_blocking("nosy", Look())
        assert AskInsideDecide.__name__ == caught.value.error


def test_misuse_is_told_with_typed_errors() -> None:
    """Unknown actors, systems not running, and specs that cannot work together."""
    with running(counter()) as system:
        with pytest.raises(NoSuchActor, match="nobody"):
            system.tell("nobody", Look())
        with pytest.raises(NoSuchActor):
            system.state("nobody")
    with pytest.raises(NotRunning):
        system.tell("counter", Look())
    with pytest.raises(NotRunning):
        system.start()
    with pytest.raises(WiringError, match="counter"):
        ActorSystem(MemoryStore(), [counter(), counter()])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # forking among threads is what is tried here
def test_a_forked_child_is_told_that_nothing_runs_there() -> None:
    """After ``os.fork`` the child has no actor threads; asking there ends at once with a typed error."""
    with running(counter()) as system:
        pid = os.fork()
        if pid == 0:
            try:
                system.ask_blocking("counter", Look(), timeout_s=30)
            except NotRunning:
                os._exit(42)
            os._exit(1)
        assert 42 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
