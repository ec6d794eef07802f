"""Commands that an actor puts off, refuses as not its own, or ends with: what becomes of them and of their askers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from eventstore.errors import OutcomeUnknown
from eventstore.events import event
from eventstore.memory import MemoryStore
from eventstore.records import Appended, Batch, NewEvent, StreamWrite
from lrm_actors.domain.behavior import (
    Command,
    Context,
    Decision,
    Next,
    RecoveryContext,
    Spec,
    Wire,
    must_reply,
    stash,
    then,
    unhandled,
)
from lrm_actors.domain.dead_letters import STREAM as DEAD_LETTERS
from lrm_actors.errors import (
    ActorStopped,
    AskTimeout,
    CommandUnhandled,
    HandlerFailed,
    StashFull,
    StorageUnavailable,
)
from lrm_actors.runtime.mailbox import Mailbox
from lrm_actors.runtime.reply import Reply
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.runtime.takeover import look_at, take_over
from tests.runtime.support import PATIENCE_S, FailingStore, counter, eventually, running


@event("door.opened", 1)
class Opened:
    pass


@event("door.closed", 1)
class Closed:
    pass


@event("door.passed", 1)
class Passed:
    who: str


@attrs.frozen
class Door:
    open: bool = False
    passed: tuple[str, ...] = ()


@attrs.frozen
class Open(Command):
    pass


@attrs.frozen
class Close(Command):
    pass


@attrs.frozen
class Pass(Command):
    who: str


@attrs.frozen
class Demolish(Command):
    pass


@attrs.frozen
class Kick(Command):
    pass


@attrs.frozen
class Look(Command):
    pass


@attrs.frozen
class Hold(Command):
    entered: threading.Event
    release: threading.Event


def decide(state: Door, command: Any, _ctx: Context) -> Decision:
    """Whoever comes to a closed door waits until it is opened."""
    match command:
        case Open() if not state.open:
            return then(Opened(), reply="opened", unstash=True)
        case Close() if state.open:
            return then(Closed(), reply="closed")
        case Pass() if not state.open:
            return stash()
        case Pass(who=who):
            return then(Passed(who), reply=len(state.passed) + 1)
        case Demolish():
            return then(Closed(), reply="rubble", stop="demolished")
        case Kick():
            raise ValueError("ouch")
        case Look():
            return then(reply=state.passed)
        case Hold(entered=entered, release=release):
            entered.set()
            release.wait(PATIENCE_S)
            return then(reply="held")
    return unhandled(f"the door is {'open' if state.open else 'closed'}")


def evolve(state: Door, fact: Any) -> Door:
    """Open, closed, and who has passed."""
    match fact:
        case Opened():
            return attrs.evolve(state, open=True)
        case Closed():
            return attrs.evolve(state, open=False)
        case Passed(who=who):
            return attrs.evolve(state, passed=(*state.passed, who))
    return state


def door(**options: Any) -> Spec[Door]:
    """A door's spec."""
    return Spec("door", Door(), decide, evolve, **options)


def send(system: ActorSystem, who: str) -> Reply:
    """Ask without waiting for the answer."""
    reply = Reply("door", who)
    system._mailboxes["door"].put(system._to_ask("door", Pass(who), reply, PATIENCE_S, retry=False)[1])
    return reply


def held_together(system: ActorSystem, *commands: Command) -> None:
    """Have the actor find all of these in its mailbox at once."""
    entered, release = threading.Event(), threading.Event()
    system.tell("door", Hold(entered, release))
    assert entered.wait(PATIENCE_S)
    for command in commands:
        system.tell("door", command)
    release.set()


def in_order(store: Any = None) -> tuple[str, ...]:
    """Who passes in which order, when three wait for the door, and others come just as it is opened."""
    with running(door(), store=store) as system:
        for who in "abc":
            system.tell("door", Pass(who))
        held_together(system, Open(), Pass("d"), Pass("e"))
        return tuple(eventually(lambda: len(system.state("door").passed) == 5 and system.state("door").passed))


def test_what_was_put_off_comes_next_in_its_order_and_before_what_waits() -> None:
    """However many messages the actor takes in one turn."""
    assert tuple("abcde") == in_order()


def test_planted_bug_a_stash_that_reorders_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stash whose last comes first, and one that comes after what waits."""

    def reversed_stash(mailbox: Mailbox) -> None:
        kept = list(mailbox.stashed)
        mailbox.stashed.clear()
        mailbox.put_back(reversed(kept))

    def late_stash(mailbox: Mailbox) -> None:
        kept = list(mailbox.stashed)
        mailbox.stashed.clear()
        for envelope in kept:
            mailbox.put_anyway(envelope)

    for bug in (reversed_stash, late_stash):
        monkeypatch.setattr(Mailbox, "unstash", bug)
        assert tuple("abcde") != in_order()


def test_a_turn_ends_with_what_lets_out_the_stash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what waits would be decided in the same turn, before what was put off; as a planted bug does."""
    from lrm_actors.runtime.turn import Turn

    monkeypatch.setattr(Turn, "ended", property(lambda _: False, lambda _turn, _value: None), raising=False)
    assert tuple("abcde") != in_order()


def test_an_asker_of_what_was_put_off_waits_and_gets_its_answer() -> None:
    """Only its own timeout ends it sooner; the command is then carried out all the same."""
    with running(door()) as system:
        replies = [send(system, who) for who in "ab"]
        with pytest.raises(AskTimeout):
            system.ask_blocking("door", Pass("c"), timeout_s=0.01)
        eventually(lambda: system.statistics().actors[0].stashed == 3)
        assert "opened" == system.ask_blocking("door", Open())
        assert [1, 2] == [reply.get(timeout=PATIENCE_S) for reply in replies]
        assert tuple("abc") == eventually(lambda: len(system.state("door").passed) == 3 and system.state("door").passed)
        assert 0 == system.statistics().actors[0].stashed


def test_the_stash_outlives_a_restart_in_place() -> None:
    """What an actor has put off is none of the failure's."""
    with running(door()) as system:
        reply = send(system, "a")
        system.tell("door", Pass("b"))
        eventually(lambda: system.statistics().actors[0].stashed == 2)
        system.tell("door", Kick())
        eventually(lambda: system.statistics().actors[0].failures == 3 and system.phase("door") == "running")
        system.tell("door", Open())
        assert 1 == reply.get(timeout=PATIENCE_S)
        assert ("a", "b") == eventually(lambda: len(system.state("door").passed) == 2 and system.state("door").passed)


def test_a_full_stash_ends_the_ask_and_buries_what_was_told() -> None:
    """Bounded, with a typed error, and nobody is restarted."""
    with running(door(stash_capacity=2)) as system:
        dead: list[str] = []
        system._mailboxes["door"].on_dead_letter = lambda envelope, why: dead.append(f"{envelope.message.who}: {why}")
        for who in "ab":
            system.tell("door", Pass(who))
        with pytest.raises(StashFull):
            system.ask_blocking("door", Pass("c"))
        system.tell("door", Pass("d"))
        eventually(lambda: dead)
        assert ["d: the stash is full"] == dead
        assert 0 == system.statistics().actors[0].failures


def test_stopping_ends_the_asks_that_were_put_off() -> None:
    """And what was told is a dead letter."""
    with running(door()) as system:
        reply = send(system, "a")
        system.tell("door", Pass("b"))
        eventually(lambda: system.statistics().actors[0].stashed == 2)
    with pytest.raises(ActorStopped):
        reply.get(timeout=PATIENCE_S)
    assert 1 == system._mailboxes["door"].dead_letters


def test_without_storage_the_asks_that_were_put_off_end_and_the_told_ones_stay() -> None:
    """As with everything that waits."""
    store = FailingStore()
    with running(door(), store=store) as system:
        reply = send(system, "a")
        system.tell("door", Pass("b"))
        eventually(lambda: system.statistics().actors[0].stashed == 2)
        store.full = True
        with pytest.raises(StorageUnavailable):
            system.ask_blocking("door", Open())
        with pytest.raises(StorageUnavailable):
            reply.get(timeout=PATIENCE_S)
        store.full = False
        eventually(lambda: system.phase("door") == "running")
        system.ask_blocking("door", Open())
        assert ("b",) == eventually(lambda: system.state("door").passed)


@pytest.mark.parametrize("outcome", ["stored", "lost"])
def test_a_stash_is_let_out_only_once_the_log_says_so(outcome: str) -> None:
    """The append that opens the door ends in doubt: whoever waits passes if it was stored, and else waits on."""
    store = FailingStore()
    with running(door(), store=store) as system:
        for who in "ab":
            system.tell("door", Pass(who))
        eventually(lambda: system.statistics().actors[0].stashed == 2)
        store.unknown = outcome
        system.tell("door", Open())  # told: in doubt it is tried again, and is then no news if it was stored
        passed = eventually(lambda: len(system.state("door").passed) == 2 and system.state("door").passed)
        assert ("a", "b") == passed


def test_a_stash_that_comes_with_events_is_a_failure() -> None:
    """A command is put off or carried out; both would do it twice."""

    def both(state: Door, command: Any, ctx: Context) -> Decision:
        decision = decide(state, command, ctx)
        return attrs.evolve(decision, next=Next(stash=True)) if decision.events else decision

    with running(Spec("door", Door(), both, evolve)) as system, pytest.raises(HandlerFailed, match="not both"):
        system.ask_blocking("door", Open())


# --- what is wired --------------------------------------------------------------------------------------------------


@event("street.arrived", 1)
class Arrived:
    who: str


WIRES = (Wire(Arrived, to="door", make=lambda fact, _record: Pass(fact.who)),)


def arrive(store: MemoryStore, *names: str) -> None:
    """Have somebody come down the street, whom the door hears of through the wiring."""
    store.append(Batch((StreamWrite("street", tuple(NewEvent(Arrived(name)) for name in names)),)))


def test_a_wired_event_that_is_put_off_stays_in_the_log() -> None:
    """Neither it nor those behind it are passed over, in this process or the next, and none comes twice."""
    store = MemoryStore()
    with running(door(), store=store, wires=WIRES) as system:
        arrive(store, "a", "b")
        assert () == system.ask_blocking("door", Look())
    assert 0 == (store.cursor("door") or 0), "its place is still before the event that it has put off"
    with running(door(), store=store, wires=WIRES) as system:
        system.ask_blocking("door", Open())
        assert ("a", "b") == eventually(lambda: len(system.state("door").passed) == 2 and system.state("door").passed)
        system.ask_blocking("door", Close())
        arrive(store, "c")
        assert ("a", "b") == system.ask_blocking("door", Look())
        system.ask_blocking("door", Open())
        assert tuple("abc") == eventually(lambda: len(system.state("door").passed) == 3 and system.state("door").passed)
        assert 0 == system.statistics().actors[0].failures


def test_planted_bug_a_wired_event_put_off_in_memory_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer that reads on past what the actor has put off loses it with the process."""
    from lrm_actors.runtime.consumer import Consumer

    def read_on(consumer: Consumer) -> None:
        consumer.position = consumer._reader.head

    monkeypatch.setattr(Consumer, "hold", read_on)
    with pytest.raises(AssertionError):
        test_a_wired_event_that_is_put_off_stays_in_the_log()


# --- what is not handled --------------------------------------------------------------------------------------------


def test_what_an_actor_has_no_use_for_is_refused_and_nobody_restarts() -> None:
    """An asker gets a typed error with the reason, a told command is a dead letter, and the log gets nothing."""
    store = MemoryStore()
    with running(door(), store=store) as system:
        dead: list[str] = []
        system._mailboxes["door"].on_dead_letter = lambda _envelope, why: dead.append(why)
        with pytest.raises(CommandUnhandled, match="Close: the door is closed"):
            system.ask_blocking("door", Close())
        system.tell("door", Close())
        system.ask_blocking("door", Look())
        assert ["the door is closed"] == dead
        assert 0 == system.statistics().actors[0].failures
    assert 0 == store.head


def test_a_reply_that_was_forgotten_is_a_failure() -> None:
    """With ``must_reply`` an answer of None is a mistake; putting off and refusing are not."""

    def forgetful(_state: Door, command: Any, _ctx: Context) -> Decision:
        return then(Opened()) if isinstance(command, Open) else unhandled() if isinstance(command, Close) else stash()

    with running(Spec("door", Door(), must_reply(forgetful), evolve)) as system:
        with pytest.raises(HandlerFailed, match=r"ReplyMissing: the decision on Open has no reply"):
            system.ask_blocking("door", Open())
        with pytest.raises(CommandUnhandled):
            system.ask_blocking("door", Close())
        with pytest.raises(AskTimeout):
            system.ask_blocking("door", Pass("a"), timeout_s=0.01)


# --- an end of its own ----------------------------------------------------------------------------------------------


def test_an_actor_ends_itself_after_its_commit() -> None:
    """Its asker is answered, what waits ends with ``ActorStopped``, its thread goes, and that is no failure."""
    store = MemoryStore()
    ended: list[tuple[str, str]] = []
    with running(door(), counter(), store=store) as system:
        thread = next(one for one in threading.enumerate() if one.name == "lrm-door")
        told = system._services.funnel.ended_normally
        system._services.funnel.ended_normally = lambda *how: (ended.append(how), told(*how))  # type: ignore[method-assign, assignment, func-returns-value]
        waiting = send(system, "a")
        held_together(system, Demolish(), Open(), Pass("late"))
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        assert "stopped" == system.phase("door")
        with pytest.raises(ActorStopped, match="demolished"):
            waiting.get(timeout=PATIENCE_S)
        with pytest.raises(ActorStopped, match="demolished"):
            system.ask_blocking("door", Look())
        with pytest.raises(ActorStopped):
            system.restart_actor("door")
        assert [("door", "demolished")] == ended
        assert 0 == system.statistics().actors[0].failures
        report = system.stop()
    assert report.clean
    assert ["door.closed"] == [record.type for record in store.read_stream("door")]
    assert {"Open", "Pass"} == {record.event.command for record in store.read_stream(DEAD_LETTERS)}


def test_a_restart_that_races_with_the_end_is_answered() -> None:
    """A command to an actor that has just ended does not wait for its timeout."""
    with running(door()) as system:
        system.ask_blocking("door", Demolish())
        eventually(lambda: system._mailboxes["door"]._unheard)
        from lrm_actors.runtime.control import Restart, Stop

        restart, stop = Reply(), Reply()
        system.command("door", Restart(restart))
        system.command("door", Stop(stop))
        with pytest.raises(ActorStopped):
            restart.get(timeout=PATIENCE_S)
        assert stop.get(timeout=PATIENCE_S) is None


def test_an_actor_that_ended_itself_begins_again_with_the_next_process() -> None:
    """Its state is what it was at its end."""
    store = MemoryStore()
    with running(door(), store=store) as system:
        system.ask_blocking("door", Open())
        system.ask_blocking("door", Demolish())
    with running(door(), store=store) as system:
        assert Door() == system.state("door")
        assert "opened" == system.ask_blocking("door", Open())


def test_an_end_that_was_not_stored_is_none() -> None:
    """An actor whose last append failed goes on, and its asker is told that nothing was stored."""
    store = FailingStore()
    with running(door(), store=store) as system:
        store.full = True
        with pytest.raises(StorageUnavailable):
            system.ask_blocking("door", Demolish())
        store.full = False
        eventually(lambda: system.phase("door") == "running")
        assert "opened" == system.ask_blocking("door", Open())


def test_a_recovery_may_end_the_actor_or_let_out_its_stash() -> None:
    """What is decided at recovery counts as any decision."""

    def over(_state: Door, _ctx: RecoveryContext) -> Decision:
        return then(stop="there is nothing to do")

    with running(door(recover=over)) as system:
        eventually(lambda: system.phase("door") == "stopped")

    def let_out(state: Door, ctx: RecoveryContext) -> Decision:
        return then(Opened(), unstash=True) if ctx.why == "restart" and not state.open else then()

    with running(door(recover=let_out)) as system:
        reply = send(system, "a")
        eventually(lambda: system.statistics().actors[0].stashed == 1)
        system.restart_actor("door")
        assert 1 == reply.get(timeout=PATIENCE_S)


# --- append failures ------------------------------------------------------------------------------------------------


class Doubtful(MemoryStore):
    """Its next append happens, and nobody can say so; then the log is settled."""

    def __init__(self) -> None:
        super().__init__()
        self.doubt = False
        self.folds: list[str] = []

    def append(self, batch: Batch) -> Appended:
        appended = super().append(batch)
        if self.doubt and batch.writes and batch.writes[0].events:
            self.doubt = False
            raise OutcomeUnknown("fsync failed")
        return appended

    def fold(self, stream: str, evolve: Callable[[Any, Any], Any], state: Any, **options: Any) -> Any:
        self.folds.append(stream)
        return super().fold(stream, evolve, state, **options)


def test_an_actor_never_goes_on_from_memory_after_a_failed_append() -> None:
    """It loads its state from the settled log, is told why, and answers what the log says."""
    store = Doubtful()
    why: list[str] = []

    def note(_state: Door, ctx: RecoveryContext) -> Decision:
        why.append(ctx.why)
        return then()

    with running(door(recover=note), store=store) as system:
        store.folds.clear()
        store.doubt = True
        assert "opened" == system.ask_blocking("door", Open())
        assert ["door"] == store.folds
        assert ["start", "storage"] == why
        system.restart_actor("door")
        assert ["start", "storage", "restart"] == why
        assert Door(open=True) == system.state("door")


def test_a_takeover_keeps_the_stash_and_says_why_the_successor_recovers() -> None:
    """What a hung actor had put off is its successor's."""
    why: list[str] = []

    def note(_state: Door, ctx: RecoveryContext) -> Decision:
        why.append(ctx.why)
        return then()

    with running(door(recover=note)) as system:
        reply = send(system, "a")
        eventually(lambda: system.statistics().actors[0].stashed == 1)
        entered, release = threading.Event(), threading.Event()
        hanging, asked = system._shells["door"], Reply("door", "hold")  # told, its successor would hang on it again
        holding = system._to_ask("door", Hold(entered, release), asked, PATIENCE_S, retry=False)[1]
        system._mailboxes["door"].put(holding)
        assert entered.wait(PATIENCE_S)
        assert take_over(look_at(hanging, hanging.hand.entries, 1.0), system) == 1
        assert "opened" == system.ask_blocking("door", Open(), timeout_s=PATIENCE_S)
        assert 1 == reply.get(timeout=PATIENCE_S)
        assert ["start", "takeover"] == why
        release.set()
        eventually(hanging.actor_stopped.is_set)
        system.restart_actor("door")
        assert ["start", "takeover", "restart"] == why
