"""A reply is set once, never raises at the setter, and cannot hang or kill anyone."""

from __future__ import annotations

import asyncio
import threading

import pytest

from lrm_actors.errors import AskTimeout, OutcomeUnknown
from lrm_actors.runtime.loops import Waker
from lrm_actors.runtime.reply import AsyncReply, Reply


def test_the_first_answer_wins_and_a_second_harms_nobody() -> None:
    """Setting twice, in any mix of value and error, keeps the first."""
    reply = Reply()
    reply.set(1)
    reply.set(2)
    reply.fail(ValueError())
    reply.set_exception()
    assert 1 == reply.get(timeout=1)
    assert 1 == reply.get(timeout=1)


def test_an_error_is_raised_at_every_get() -> None:
    """Whoever waits gets the error."""
    reply = Reply()
    reply.fail(ValueError("no"))
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            reply.get(timeout=1)


def test_a_timeout_says_whether_the_outcome_is_unknown() -> None:
    """Before a failed commit is settled, the timeout is OutcomeUnknown."""
    reply = Reply("actor", "id-1")
    with pytest.raises(AskTimeout) as timeout:
        reply.get(timeout=0.001)
    assert "id-1" == timeout.value.command_id
    reply.unsettled = True
    with pytest.raises(OutcomeUnknown):
        reply.get(timeout=0.001)


def test_many_threads_can_wait_for_one_answer() -> None:
    """All of them get it."""
    reply = Reply()
    answers: list[int] = []
    waiting = [threading.Thread(target=lambda: answers.append(reply.get(timeout=10))) for _ in range(5)]
    for thread in waiting:
        thread.start()
    reply.set(3)
    for thread in waiting:
        thread.join()
    assert [3] * 5 == answers


def test_an_answer_to_a_closed_loop_harms_nobody() -> None:
    """The setter notices nothing when the asker's event loop is gone."""

    async def make() -> AsyncReply:
        return AsyncReply(asyncio.get_running_loop())

    reply = asyncio.run(make())
    reply.set(1)
    reply.set(2)


def test_an_answer_to_a_cancelled_asker_is_dropped() -> None:
    """A cancelled await leaves a reply that can still be set."""

    async def main() -> None:
        reply = AsyncReply(asyncio.get_running_loop())
        reply.future.cancel()
        reply.set(1)
        await asyncio.sleep(0)
        assert reply.future.cancelled()

    asyncio.run(main())


def test_many_answers_are_one_wake_up_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred answers posted while the loop is busy wake it once."""
    wake_ups: list[int] = []
    original = Waker.wake

    def counting(waker: Waker, loop: asyncio.AbstractEventLoop) -> None:
        wake_ups.append(1)
        original(waker, loop)

    monkeypatch.setattr(Waker, "wake", counting)

    async def main() -> None:
        replies = [AsyncReply(asyncio.get_running_loop()) for _ in range(100)]

        def answer() -> None:
            for number, reply in enumerate(replies):
                reply.set(number)

        thread = threading.Thread(target=answer)
        thread.start()
        thread.join()  # on the loop's own thread: it cannot turn meanwhile
        assert list(range(100)) == [await reply.future for reply in replies]

    asyncio.run(main())
    assert 1 == len(wake_ups)
