"""The mailbox: bounded, a control lane ahead, and nothing lost in silence when it closes."""

from __future__ import annotations

import contextlib
import sys
import threading

import pytest

from lrm_actors.errors import ActorStopped, MailboxFull
from lrm_actors.runtime.envelope import Envelope
from lrm_actors.runtime.mailbox import WAKE, Mailbox
from lrm_actors.runtime.reply import Reply


def test_messages_come_out_in_order_and_put_back_ones_first() -> None:
    """What is put back is handled again before what waits."""
    mailbox = Mailbox()
    for number in range(3):
        mailbox.put(Envelope(number))
    first = mailbox.get()
    mailbox.put_back([first])
    assert [0, 1, 2] == [mailbox.get().message for _ in range(3)]
    assert mailbox.get_more() is None


def test_the_control_lane_is_seen_before_the_messages() -> None:
    """A command is there at once, and a wake-up makes the reader look."""
    mailbox = Mailbox()
    mailbox.put(Envelope("message"))
    mailbox.command("control")
    assert "control" == mailbox.next_command()
    assert mailbox.next_command() is None
    assert "message" == mailbox.get().message
    assert mailbox.get() is WAKE


def test_many_wakes_are_one() -> None:
    """A hundred commits put one wake-up into the mailbox."""
    mailbox = Mailbox()
    for _ in range(100):
        mailbox.wake()
    assert 1 == mailbox.depth()
    assert mailbox.take_wake()
    assert not mailbox.take_wake()
    mailbox.wake()
    assert mailbox.take_wake()


def test_capacity_refuses_senders_but_not_timers() -> None:
    """A full mailbox refuses ``put``; what must not be lost still goes in."""
    mailbox = Mailbox("small", capacity=2)
    mailbox.put(Envelope(1))
    mailbox.put(Envelope(2))
    with pytest.raises(MailboxFull, match="small has 2"):
        mailbox.put(Envelope(3))
    mailbox.put_anyway(Envelope(3))
    assert 3 == mailbox.depth()


def test_closing_ends_asks_and_counts_what_was_told() -> None:
    """Asks get ActorStopped, told messages are counted as dead letters, later ones are refused."""
    mailbox = Mailbox("actor")
    reply = Reply()
    mailbox.put(Envelope("asked", reply))
    mailbox.put(Envelope("told"))
    mailbox.close("gone")
    with pytest.raises(ActorStopped, match="gone"):
        reply.get(timeout=1)
    assert 1 == mailbox.dead_letters
    with pytest.raises(ActorStopped):
        mailbox.put(Envelope("late"))


def test_no_ask_is_lost_between_a_put_and_a_close() -> None:
    """Asks that race with the end of the actor all resolve, thousands of times at a tiny switch interval."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(300):
            mailbox = Mailbox("racing")
            replies = [Reply() for _ in range(8)]
            start = threading.Barrier(2)

            def ask(
                mailbox: Mailbox = mailbox, replies: list[Reply] = replies, start: threading.Barrier = start
            ) -> None:
                start.wait()
                for reply in replies:
                    try:
                        mailbox.put(Envelope("ask", reply))
                    except ActorStopped as error:
                        reply.fail(error)

            asking = threading.Thread(target=ask, args=(mailbox, replies, start))
            asking.start()
            start.wait()
            mailbox.close("gone")
            asking.join()
            for reply in replies:
                with pytest.raises(ActorStopped):
                    reply.get(timeout=5)
    finally:
        sys.setswitchinterval(interval)


def test_failing_the_waiting_asks_keeps_what_was_told_in_order() -> None:
    """Only asks end when the storage goes; told messages wait for it."""
    mailbox = Mailbox()
    reply = Reply()
    for message, reply_to in (("a", None), ("b", reply), ("c", None)):
        mailbox.put(Envelope(message, reply_to))
    mailbox.fail_waiting_asks(ActorStopped("no storage"))
    with pytest.raises(ActorStopped):
        reply.get(timeout=1)
    assert ["a", "c"] == [mailbox.get().message for _ in range(2)]


def test_what_was_put_back_counts_towards_the_capacity() -> None:
    """A storage that fails again and again cannot make the mailbox grow, turn by turn."""
    mailbox = Mailbox("a", capacity=2)
    for _ in range(3):
        with contextlib.suppress(MailboxFull):
            for _ in range(3):
                mailbox.put(Envelope("told"))
        mailbox.fail_waiting_asks(MailboxFull("the log cannot be written"))
    assert 2 == mailbox.depth()
