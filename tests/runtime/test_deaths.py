"""One funnel for every kind of death: each is told to the guardian exactly once, and the actor comes back."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import attrs
import pytest

from eventstore.memory import MemoryStore
from eventstore.records import Appended, Batch
from lrm_actors.domain import supervisor
from lrm_actors.domain.behavior import Context, Decision, Spec, Wire, then
from lrm_actors.errors import HandlerFailed
from lrm_actors.runtime import shell as shells
from lrm_actors.runtime.clock import ManualClock
from lrm_actors.runtime.committing import CURSOR_LAG
from lrm_actors.runtime.control import Funnel
from lrm_actors.runtime.system import ActorSystem
from tests.runtime.support import (
    PATIENCE_S,
    Add,
    Added,
    Count,
    Look,
    Raise,
    Shout,
    ShoutLoud,
    Wait,
    counter,
    eventually,
    running,
)


class Escape:
    """A control message that the shell's own loop trips over."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    @property
    def __class__(self) -> type:  # looked at by every ``case``
        raise self._error

    @__class__.setter
    def __class__(self, _value: type) -> None: ...


@attrs.define
class Witness:
    """A funnel that remembers what it passes on."""

    inner: Funnel
    notices: list[tuple[str, str, str]] = attrs.Factory(list)

    def actor_failed(self, name: str, kind: str, error: BaseException, handling: str) -> None:
        self.notices.append((name, kind, type(error).__name__))
        self.inner.actor_failed(name, kind, error, handling)

    def storage_failed(self, name: str, error: BaseException) -> None:
        self.inner.storage_failed(name, error)

    def fenced(self, name: str, error: BaseException) -> None:
        self.notices.append((name, "fenced", type(error).__name__))
        self.inner.fenced(name, error)

    def ended_normally(self, name: str, reason: str) -> None:
        self.notices.append((name, "ended", reason))
        self.inner.ended_normally(name, reason)

    def thread_ended(self, name: str, death: BaseException | None) -> None:
        if death is not None:
            self.notices.append((name, "thread", type(death).__name__))
        self.inner.thread_ended(name, death)


def watch(system: ActorSystem) -> Witness:
    """See what the shells of a system report."""
    witness = Witness(system._services.funnel)
    for shell in system._shells.values():
        shell._services = attrs.evolve(shell._services, funnel=witness)
    system._services = attrs.evolve(system._services, funnel=witness)
    return witness


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_a_told_and_an_asked_failure_are_told_once_each(error: type[BaseException]) -> None:
    """Each failure makes one notice, of its kind; the last of a told message puts it aside, and its actor goes on."""
    with running(counter()) as system:
        witness = watch(system)
        system.tell("counter", Raise(error))
        assert 1 == system.ask_blocking("counter", Add(1))
        with pytest.raises(Exception, match=error.__name__):
            system.ask_blocking("counter", Raise(error))
        assert 2 == system.ask_blocking("counter", Add(1))
        assert ["told", "told", "asked"] == [kind for _, kind, _ in witness.notices]
        assert {("counter", error.__name__)} == {(name, text) for name, _, text in witness.notices}
        assert 3 + 1 == system.statistics().actors[0].failures


def test_an_escape_from_the_loop_itself_is_told_once_and_the_mailbox_lives_on() -> None:
    """Even when the thread dies, a new one takes the same mailbox: nothing that waited is lost."""
    entered, release = threading.Event(), threading.Event()
    with running(counter()) as system:
        witness = watch(system)
        system.ask_blocking("counter", Add(1))
        system.tell("counter", Wait(entered, release))
        entered.wait()
        for _ in range(5):
            system.tell("counter", Add(1))
        system._mailboxes["counter"].command(Escape(SystemExit()))
        release.set()
        eventually(lambda: system.state("counter").total == 6)
        assert [("counter", "thread", "SystemExit")] == witness.notices
        assert 6 == system.ask_blocking("counter", Look())


DEATHS = (ValueError, SystemExit, asyncio.CancelledError, KeyboardInterrupt)


@pytest.mark.parametrize("error", DEATHS)
def test_every_kind_of_death_is_noticed_once(error: type[BaseException]) -> None:
    """In start-up, in a told and in an asked handler, in an effect, and in the loop itself."""
    failing: list[str] = ["start"]

    def recover(_state: Count, _ctx: Context) -> Decision:
        if failing:
            failing.pop()
            raise error
        return then()

    def shout(_effect: Shout) -> None:
        raise error

    system = ActorSystem(MemoryStore(), [counter(recover=recover)], handlers={Shout: shout})
    witness = watch(system)
    system.start()
    try:
        assert 1 == system.ask_blocking("counter", Add(1))
        expected = [("counter", "start", error.__name__)]
        assert expected == witness.notices
        with pytest.raises(HandlerFailed):
            system.ask_blocking("counter", Raise(error))
        expected += [("counter", "asked", error.__name__)]
        assert 2 == system.ask_blocking("counter", Add(1))
        assert expected == witness.notices
        system.tell("counter", Raise(error))
        expected += 2 * [("counter", "told", error.__name__)]  # the third try puts it aside, and nobody dies
        assert 3 == system.ask_blocking("counter", Add(1))
        assert expected == witness.notices
        system.ask_blocking("counter", ShoutLoud("hey"))
        expected += [("counter", "effect", error.__name__)]
        eventually(lambda: expected == witness.notices)
        assert 4 == system.ask_blocking("counter", Add(1))
        system._mailboxes["counter"].command(Escape(error()))
        expected += [("counter", "thread", error.__name__)]
        eventually(lambda: expected == witness.notices)
        assert 5 == system.ask_blocking("counter", Add(1))
    finally:
        report = system.stop()
    assert report.clean
    assert expected == witness.notices


@pytest.mark.parametrize("error", DEATHS)
def test_a_death_in_stop_is_noticed_once_and_holds_nothing_up(error: type[BaseException]) -> None:
    """Whatever the last append raises, the thread ends within the deadline, and is not told of twice."""

    class FailsAtStop(MemoryStore):
        stopping = False

        def append(self, batch: Batch) -> Appended:
            if self.stopping:
                raise error
            return super().append(batch)

    store = FailsAtStop()
    with running(counter(), store=store) as system:
        witness = watch(system)
        system.ask_blocking("counter", Add(1))
        store.stopping = True
        system.stop(1.0)
        assert system._shells["counter"].actor_stopped.wait(PATIENCE_S)
    at_most_once = [[], [("counter", "thread", error.__name__)]]
    assert witness.notices in at_most_once


def test_a_failing_effect_is_a_failure_of_its_actor() -> None:
    """What an effect's handler raises, SystemExit too, restarts the actor that decided it."""

    def shout(_effect: Shout) -> None:
        raise SystemExit

    with running(counter(), handlers={Shout: shout}) as system:
        witness = watch(system)
        system.ask_blocking("counter", ShoutLoud("hey"))
        eventually(lambda: witness.notices)
        assert [("counter", "effect", "SystemExit")] == witness.notices
        assert ("hey",) == eventually(lambda: system.state("counter").notes)
        assert 1 == system.ask_blocking("counter", Add(1))


def test_an_effect_without_a_handler_is_told() -> None:
    """A missing handler is not silence."""
    with running(counter()) as system:
        witness = watch(system)
        system.ask_blocking("counter", ShoutLoud("hey"))
        eventually(lambda: witness.notices)
        assert [("counter", "effect", "BadDecision")] == witness.notices


def test_a_fenced_actor_ends_itself_and_is_never_restarted() -> None:
    """Somebody newer took the stream: the zombie stores nothing, its asks end, and it stays down."""
    with running(counter(), counter("sibling")) as system:
        witness = watch(system)
        system.ask_blocking("counter", Add(1))
        system.store.acquire("counter")
        with pytest.raises(Exception, match="belongs to epoch"):
            system.ask_blocking("counter", Add(1))
        eventually(lambda: witness.notices)
        assert [("counter", "fenced", "Fenced")] == witness.notices
        assert ["stopped", "running"] == [actor.phase for actor in system.statistics().actors]
        assert 1 == len(list(system.store.read_stream("counter")))
        assert 1 == system.ask_blocking("sibling", Add(1))


def test_a_restart_that_fails_is_tried_again() -> None:
    """An actor whose recovery fails during its restart is restarted again until it comes up."""
    failing = [0]

    def recover(_state: Count, _ctx: Context) -> Decision:
        if failing[0] > 0:
            failing[0] -= 1
            msg = "not yet"
            raise RuntimeError(msg)
        return then()

    with running(counter(recover=recover)) as system:
        failing[0] = 3
        system.tell("counter", Raise(ValueError))
        assert 1 == system.ask_blocking("counter", Add(1), timeout_s=10)
        assert 0 == failing[0]


def test_planted_bug_a_death_told_twice_is_caught() -> None:
    """A shell that reports in two places shows up as two notices."""

    class Chatty(shells.Shell):
        def _fail(self, kind: str, error: BaseException, handling: str) -> None:
            super()._fail(kind, error, handling)
            self._services.funnel.actor_failed(self.spec.name, kind, error, handling)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lrm_actors.runtime.roster.Shell", Chatty)
        with running(counter()) as system:
            witness = watch(system)
            system.tell("counter", Raise(ValueError))
            assert 1 == system.ask_blocking("counter", Add(1))
            assert 2 * 2 == len(witness.notices), "the planted bug went unseen"


def test_the_supervisor_decides_on_every_other_actor() -> None:
    """With a supervisor in the system, a failing actor's restart goes through it and is in the log."""

    def types() -> list[Any]:
        return [record.type for record in system.store.read_stream("supervisor")]

    with running(supervisor.spec(), counter()) as system:
        system.ask_blocking("supervisor", supervisor.StartSupervising(("actor:counter",), 1))
        with pytest.raises(HandlerFailed):
            system.ask_blocking("counter", Raise(ValueError))
        assert 1 == system.ask_blocking("counter", Add(1), timeout_s=10)
        eventually(lambda: "supervisor.child_restarted" in types())
        expected = ["child_failed", "restart_scheduled", "restart_started", "child_restarted"]
        assert [f"supervisor.{name}" for name in expected] == types()[-4:]


def test_a_failure_reported_before_the_process_was_announced_is_not_forgotten() -> None:
    """An actor that fails in start-up, before the supervisor knows of this process, is restarted all the same."""
    store = MemoryStore()
    clock = ManualClock()
    tries: list[int] = []

    def recover(_state: Count, _ctx: Context) -> Decision:
        tries.append(1)
        if len(tries) == 1:
            msg = "not yet"
            raise RuntimeError(msg)
        return then()

    with running(supervisor.spec(), store=store) as first:
        first.ask_blocking("supervisor", supervisor.StartSupervising((), 1))
        first.ask_blocking("supervisor", supervisor.StopSupervising(clean=True))
    with running(supervisor.spec(), counter(recover=recover), store=store, clock=clock) as system:
        eventually(lambda: system.state("supervisor").children.get("actor:counter"))
        system.ask_blocking("supervisor", supervisor.StartSupervising(("actor:counter",), 2))

        def runs_as_time_goes_by() -> bool:
            clock.advance(1.0)
            return system.phase("counter") == "running"

        eventually(runs_as_time_goes_by)
        assert 1 == system.ask_blocking("counter", Add(1))


def test_a_fenced_consumer_cannot_even_move_its_cursor() -> None:
    """A zombie that has nothing but a cursor to store is refused like one with events."""

    def silent(_state: Count, _command: Any, _ctx: Context) -> Decision:
        return then()

    store = MemoryStore()
    consumer = Spec("silent", Count(), silent, lambda state, _fact: state)
    wire = Wire(Added, to="silent", make=lambda _fact, _record: Look())
    with running(counter(), consumer, store=store, wires=[wire]) as system:
        store.acquire("silent")
        for _ in range(CURSOR_LAG + 1):
            system.tell("counter", Add(1))
        eventually(lambda: system.phase("silent") == "stopped")
    assert store.cursor("silent") is None
