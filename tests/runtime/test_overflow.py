"""What a full mailbox does: refuse, drop the oldest, or have the sender wait; and how old what waits is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from lrm_actors.domain.behavior import BLOCK, DROP_OLDEST
from lrm_actors.errors import ActorStopped, BadSpec, MailboxFull, MailboxWouldBlock, MessageDropped
from lrm_actors.runtime.clock import ManualClock
from lrm_actors.runtime.envelope import Envelope
from lrm_actors.runtime.mailbox import WAKE, Mailbox
from lrm_actors.runtime.overflow import BlockingMailbox, DroppingMailbox, mailbox_for
from lrm_actors.runtime.reply import Reply
from lrm_actors.runtime.system import ActorSystem
from tests.runtime.support import PATIENCE_S, Add, Look, Wait, counter, eventually, running


def messages(mailbox: Mailbox) -> list[Any]:
    """All that waits, in the order in which it would be handled."""
    found = []
    while (item := mailbox.get_more()) is not None:
        found.append("wake" if item is WAKE else item.message)
    return found


def a_dropping_mailbox_tells_everybody(make: Callable[[], Mailbox]) -> None:
    """Every message sent is handled, or its asker hears of it, or it is a dead letter."""
    mailbox = make()
    dead: list[Any] = []
    mailbox.on_dead_letter = lambda envelope, _why: dead.append(envelope.message)
    replies = [Reply() if number % 2 else None for number in range(20)]
    for number, reply in enumerate(replies):
        mailbox.put(Envelope(number, reply))
    handled = messages(mailbox)
    assert list(range(12, 20)) == handled, "the newest are handled, in order"
    for number, reply in enumerate(replies[:12]):
        if reply is None:
            assert number in dead, f"{number} was told, and is lost without a word"
        else:
            with pytest.raises(MessageDropped):
                reply.get(timeout=0.001)
    assert 12 == mailbox.dropped


def test_the_oldest_gives_way_and_its_sender_hears_of_it() -> None:
    """``drop_oldest`` keeps the newest, in order; asks that were dropped end, told ones are dead letters."""
    a_dropping_mailbox_tells_everybody(lambda: DroppingMailbox("small", 8))


def test_planted_bug_an_ask_dropped_in_silence_is_caught() -> None:
    """A mailbox that forgets the asker of what it drops."""

    class Silent(DroppingMailbox):
        def _drop(self, envelope: Any) -> None:
            self.dropped += 1
            if envelope.reply_to is None:
                self.bury(envelope, "dropped")

    with pytest.raises(Exception, match="did not answer"):
        a_dropping_mailbox_tells_everybody(lambda: Silent("small", 8))


def test_what_an_actor_sends_itself_is_not_dropped() -> None:
    """Timers, results of effects, wake-ups and what was put back stay; only then is the newcomer refused."""
    mailbox = DroppingMailbox("small", 3)
    mailbox.put_anyway(Envelope("timer"))
    mailbox.put(Envelope("told"))
    mailbox.wake()
    mailbox.put(Envelope("new"))
    assert ["timer", "wake", "new"] == messages(mailbox)
    mailbox.put_back([Envelope(number) for number in range(3)])
    with pytest.raises(MailboxFull):
        mailbox.put(Envelope("newer"))
    assert [0, 1, 2] == messages(mailbox)


def test_what_waits_for_the_storage_can_still_be_dropped() -> None:
    """Asks end when the storage goes; what was told stays where it was."""
    mailbox = DroppingMailbox("small", 3)
    asked = Reply()
    for message, reply in (("a", None), ("b", asked), ("c", None)):
        mailbox.put(Envelope(message, reply))
    mailbox.fail_waiting_asks(ActorStopped("no storage"))
    with pytest.raises(ActorStopped):
        asked.get(timeout=1)
    for message in ("d", "e"):
        mailbox.put(Envelope(message))
    assert ["c", "d", "e"] == messages(mailbox)


def test_nothing_is_lost_between_dropping_senders_and_a_reader() -> None:
    """Four threads send to a mailbox of ten while it is read: what is not handled was dropped, each exactly once."""
    mailbox = DroppingMailbox("racing", 10)
    dead: list[Any] = []
    mailbox.on_dead_letter = lambda envelope, _why: dead.append(envelope.message)
    handled: list[Any] = []

    def send(sender: int) -> None:
        for number in range(500):
            mailbox.put(Envelope((sender, number)))

    def read() -> None:
        while (item := mailbox.get()).message is not None:
            handled.append(item.message)

    senders = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    reader = threading.Thread(target=read)
    for thread in (*senders, reader):
        thread.start()
    for thread in senders:
        thread.join()
    mailbox.put_anyway(Envelope(None))
    reader.join()
    assert sorted((sender, number) for sender in range(4) for number in range(500)) == sorted(handled + dead)
    for sender in range(4):
        assert sorted(one for one in handled if one[0] == sender) == [one for one in handled if one[0] == sender]


def a_blocking_mailbox_ends_every_wait(make: Callable[[], Mailbox]) -> None:
    """A sender who finds no room waits for a bounded time, and is then refused."""
    mailbox = make()
    mailbox.put(Envelope(1))
    refused = threading.Event()

    def send() -> None:
        with pytest.raises(MailboxFull):
            mailbox.put(Envelope(2))
        refused.set()

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    try:
        assert refused.wait(0.5), "the sender waits for ever"
    finally:
        while not refused.is_set() and sender.is_alive():  # let a planted bug's thread end
            mailbox.close("the test is over")
            sender.join(0.05)
            refused.set()
        sender.join(PATIENCE_S)


def test_a_blocked_sender_is_refused_in_the_end() -> None:
    """``block`` has a deadline."""
    a_blocking_mailbox_ends_every_wait(lambda: BlockingMailbox("small", 1, block_s=0.01))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_planted_bug_a_wait_without_a_deadline_is_caught() -> None:
    """A mailbox that waits as long as it takes."""

    class Patient(BlockingMailbox):
        def _wait(self, call: Reply, for_s: float) -> None:
            super()._wait(call, for_s + 1_000.0)

    with pytest.raises(AssertionError, match="for ever"):
        a_blocking_mailbox_ends_every_wait(lambda: Patient("small", 1, block_s=0.01))


def test_blocked_senders_all_get_in_as_there_is_room() -> None:
    """Eight threads through a mailbox of two: everything arrives, each sender's messages in order."""
    mailbox = BlockingMailbox("narrow", 2, block_s=PATIENCE_S)

    def send(sender: int) -> None:
        for number in range(50):
            mailbox.put(Envelope((sender, number)))

    senders = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in senders:
        thread.start()
    seen: list[Any] = []
    deepest = 0
    while len(seen) < 400:
        deepest = max(deepest, mailbox.depth())
        seen += [item.message for item in mailbox.take(3)]
    for thread in senders:
        thread.join()
    assert deepest <= 2 + 8, "each sender may pass the limit by one"
    for sender in range(8):
        assert [(sender, number) for number in range(50)] == [one for one in seen if one[0] == sender]


def test_a_blocked_sender_hears_of_the_end_at_once() -> None:
    """Closing lets nobody wait any longer."""
    mailbox = BlockingMailbox("small", 1, block_s=PATIENCE_S)
    mailbox.put(Envelope(1))
    ended: list[BaseException] = []

    def send() -> None:
        try:
            mailbox.put(Envelope(2))
        except ActorStopped as error:
            ended.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    eventually(lambda: mailbox._callers)
    mailbox.close("gone")
    sender.join(PATIENCE_S)
    assert "gone" in str(ended[0])


def test_a_call_is_not_lost_with_a_sender_who_left() -> None:
    """Who stops waiting just as it is called passes the call on."""
    mailbox = BlockingMailbox("small", 1, block_s=PATIENCE_S)
    mailbox.put(Envelope(1))
    first, second = Reply(), Reply()
    assert mailbox._queue_up(first)
    assert mailbox._queue_up(second)
    mailbox.get_more()
    mailbox._leave(first)
    second.get(timeout=PATIENCE_S)


def test_a_coroutine_awaits_room_and_a_tell_on_a_loop_is_refused() -> None:
    """The loop of whoever asks goes on while the mailbox is full; telling there would block it, and says so."""
    with running(counter(mailbox_capacity=1, mailbox_policy=BLOCK, mailbox_block_s=PATIENCE_S)) as system:
        entered, release = threading.Event(), threading.Event()
        system.tell("counter", Wait(entered, release))
        assert entered.wait(PATIENCE_S)
        system.tell("counter", Add(1))

        async def main() -> list[int]:
            with pytest.raises(MailboxWouldBlock) as error:
                system.tell("counter", Add(10))
            assert "counter" == error.value.actor
            asks = [asyncio.create_task(system.ask("counter", Add(100), timeout_s=PATIENCE_S)) for _ in range(5)]
            for _ in range(10):
                await asyncio.sleep(0)  # the loop turns
            assert not any(ask.done() for ask in asks)
            release.set()
            return list(await asyncio.gather(*asks))

        assert [101, 201, 301, 401, 501] == sorted(asyncio.run(main()))


def test_awaiting_room_ends_with_the_deadline_with_the_actor_and_with_the_asker() -> None:
    """A full mailbox ends an ask with ``MailboxFull``; cancellation and closing end it at once, and leave nobody."""

    async def main(mailbox: BlockingMailbox) -> None:
        with pytest.raises(MailboxFull):
            await mailbox.put_when_room(Envelope(2), within_s=0.01)
        waiting = asyncio.create_task(mailbox.put_when_room(Envelope(3), within_s=PATIENCE_S))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not mailbox._callers
        waiting = asyncio.create_task(mailbox.put_when_room(Envelope(4), within_s=PATIENCE_S))
        await asyncio.sleep(0)
        mailbox.close("gone")
        with pytest.raises(ActorStopped, match="gone"):
            await waiting

    mailbox = BlockingMailbox("small", 1, block_s=PATIENCE_S)
    mailbox.put(Envelope(1))
    asyncio.run(main(mailbox))


def test_a_blocking_ask_takes_no_longer_than_its_timeout_says() -> None:
    """Waiting for room counts towards the timeout of an ask."""
    with running(counter(mailbox_capacity=1, mailbox_policy=BLOCK, mailbox_block_s=3_000.0)) as system:
        entered, release = threading.Event(), threading.Event()
        system.tell("counter", Wait(entered, release))
        assert entered.wait(PATIENCE_S)
        system.tell("counter", Add(1))
        with pytest.raises(MailboxFull):
            system.ask_blocking("counter", Look(), timeout_s=0.02)
        release.set()
        assert 1 == system.ask_blocking("counter", Look(), timeout_s=PATIENCE_S)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mailbox_policy": "backpressure"},
        {"mailbox_block_s": 0.0},
        {"mailbox_block_s": float("inf")},
        {"mailbox_capacity": 0},
        {"stash_capacity": -1},
        {"snapshot_every": 2.5},
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    """What could only go wrong later is refused when the spec is made, with the field and what it may be."""
    with pytest.raises(BadSpec) as error:
        counter(**wrong)
    assert next(iter(wrong)) == error.value.field


def test_the_policy_of_the_spec_makes_the_mailbox() -> None:
    """And its limits are the spec's."""
    made = [mailbox_for(counter(mailbox_policy=policy), lambda: 0.0) for policy in ("refuse", DROP_OLDEST, BLOCK)]
    assert [Mailbox, DroppingMailbox, BlockingMailbox] == [type(one) for one in made]
    assert {10_000} == {one.capacity for one in made}


# --- ages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Mailbox, DroppingMailbox, BlockingMailbox])
def test_the_age_of_the_oldest_message_is_known_without_a_stamp_on_each(kind: type[Mailbox]) -> None:
    """It grows while nothing is taken, is none when nothing waits, and never says less than the truth."""
    clock = ManualClock()
    mailbox = kind("a", monotonic=clock.monotonic)
    clock.advance(100)
    assert 0.0 == mailbox.oldest_age_s()
    mailbox.put(Envelope(0))
    for number in range(1, 10):
        clock.advance(1)
        mailbox.put(Envelope(number))
    assert 9.0 == mailbox.oldest_age_s()
    clock.advance(1)
    for taken in range(9):
        mailbox.take(1)
        true_age_s = 10.0 - (taken + 1)
        assert true_age_s <= mailbox.oldest_age_s() <= 10.0
    mailbox.take(1)
    assert 0.0 == mailbox.oldest_age_s()
    clock.advance(1_000)
    mailbox.put(Envelope("after a long calm"))
    clock.advance(2)
    assert 2.0 == mailbox.oldest_age_s()


def test_the_age_follows_a_mailbox_that_is_never_empty() -> None:
    """A steady flow in which each message waits ten seconds is not said to be an hour old."""
    clock = ManualClock()
    mailbox = Mailbox("busy", monotonic=clock.monotonic)
    for number in range(10):
        mailbox.put(Envelope(number))
        clock.advance(1)
    for number in range(3_600):
        mailbox.put(Envelope(number))
        mailbox.take(1)
        clock.advance(1)
    assert 10.0 <= mailbox.oldest_age_s() <= 21.0


def test_what_was_put_back_is_as_old_as_it_was() -> None:
    """A turn that took an hour and failed leaves messages that have waited at least as long."""
    clock = ManualClock()
    mailbox = Mailbox("slow", monotonic=clock.monotonic)
    mailbox.put(Envelope(1))
    items = mailbox.take(1)
    clock.advance(3_600)
    mailbox.put(Envelope(2))
    mailbox.put_back(items)
    assert 3_600.0 == mailbox.oldest_age_s()


def test_statistics_tell_depth_and_age() -> None:
    """Of what waits behind a handler that hangs, and of the turn in hand."""
    clock = ManualClock()
    with running(counter(), clock=clock) as system:
        entered, release = threading.Event(), threading.Event()
        system.tell("counter", Wait(entered, release))
        assert entered.wait(PATIENCE_S)
        clock.advance(5)
        system.tell("counter", Add(1))
        clock.advance(3)
        (one,) = system.statistics().actors
        release.set()
        assert (1, 3.0, 8.0) == (one.mailbox_depth, one.mailbox_age_s, one.busy_s)
        eventually(lambda: _calm(system))


def _calm(system: ActorSystem) -> bool:
    (one,) = system.statistics().actors
    return one.mailbox_depth == 0 and one.mailbox_age_s == 0.0
