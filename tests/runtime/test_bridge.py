"""The bridge from threads to an event loop loses no answer, whatever the loop, the answer or a signal does."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import weakref
from typing import Any

import pytest

from lrm_actors.errors import ActorStopped
from lrm_actors.runtime import reply as reply_module
from lrm_actors.runtime.reply import ANSWERS_AT_ONCE, AsyncReply, LoopBridge
from tests.runtime.support import PATIENCE_S


def every_answer_arrives(rounds: int) -> None:
    """Threads answer while the loop drains, at a tiny switch interval: every await ends."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(rounds):
            replies = [AsyncReply(loop) for _ in range(40)]

            def answer(mine: list[AsyncReply]) -> None:
                for number, reply in enumerate(mine):
                    reply.set(number)

            threads = [threading.Thread(target=answer, args=(replies[start::4],)) for start in range(4)]
            for thread in threads:
                thread.start()
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*(reply.future for reply in replies))
            for thread in threads:
                thread.join()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        asyncio.run(main())
    finally:
        sys.setswitchinterval(interval)


def test_no_answer_is_lost_between_a_post_and_a_drain(release: bool) -> None:
    """However the answering threads and the loop take turns."""
    every_answer_arrives(2_000 if release else 40)


def test_planted_bug_a_drain_that_says_it_is_over_too_late_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """It empties the line first and says so afterwards: who posts in between wakes nobody."""

    class LastWord(threading.local):
        """Lets a post come exactly then."""

        posted = False

    word = LastWord()

    def late(bridge: LoopBridge) -> None:
        while bridge._answers:
            reply_module._give(*bridge._answers.popleft())
        if waiting and not word.posted:
            word.posted = True
            waiting[0].set("in between")
        bridge._scheduled = False

    waiting: list[AsyncReply] = []

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        first, second = AsyncReply(loop), AsyncReply(loop)
        waiting.append(second)
        first.set("first")
        await first.future
        async with asyncio.timeout(0.05):
            return await second.future

    monkeypatch.setattr(LoopBridge, "_drain", late)
    with pytest.raises(TimeoutError):
        asyncio.run(main())


def test_many_answers_leave_the_loop_to_others_in_between() -> None:
    """Ten thousand answers at once are given some at a time: another callback gets its turn long before the end."""

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        replies = [AsyncReply(loop) for _ in range(10_000)]
        for reply in replies:
            reply.set(None)
        given: list[int] = []
        while not given or given[-1] < len(replies):
            await asyncio.sleep(0)
            given.append(sum(reply.future.done() for reply in replies))
        return given

    given = asyncio.run(main())
    assert max(after - before for before, after in zip([0, *given], given, strict=False)) <= 2 * ANSWERS_AT_ONCE


def test_an_answer_that_no_future_takes_ends_its_ask_and_no_other() -> None:
    """``StopIteration`` cannot be raised out of an await; it comes wrapped, and the answers behind it come too."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        odd, behind = AsyncReply(loop, "actor"), AsyncReply(loop)
        odd.fail(StopIteration(3))
        behind.set("behind")
        with pytest.raises(ActorStopped, match=r"StopIteration\(3\)"):
            await odd.future
        return await behind.future

    assert "behind" == asyncio.run(main())


def test_a_future_that_refuses_an_answer_costs_the_others_nothing() -> None:
    """Whatever it raises is logged, and the next one gets its answer."""

    class Odd:
        def done(self) -> bool:
            raise RuntimeError("odd")

    async def main() -> Any:
        reply = AsyncReply(asyncio.get_running_loop())
        reply._bridge.post(Odd(), 1, None)  # type: ignore[arg-type]  # that is the point
        reply.set("behind")
        return await reply.future

    assert "behind" == asyncio.run(main())


def test_a_signal_in_the_middle_costs_nobody_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exception of a signal handler goes to whoever runs the loop; run again, it gives what is left."""
    loop = asyncio.new_event_loop()
    try:
        before, cut, behind = AsyncReply(loop), AsyncReply(loop), AsyncReply(loop)
        give, signals = reply_module._give, [KeyboardInterrupt()]

        def interrupted(future: Any, *answer: Any) -> None:
            if future is cut.future and signals:
                raise signals.pop()
            give(future, *answer)

        monkeypatch.setattr(reply_module, "_give", interrupted)
        for reply in (before, cut, behind):
            reply.set("answer")
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(behind.future)
        assert "answer" == loop.run_until_complete(behind.future)
        assert ["answer"] * 2 == [before.future.result(), cut.future.result()]
    finally:
        loop.close()


def test_a_loop_that_was_stopped_and_goes_on_gives_what_came_meanwhile() -> None:
    """Answers to a loop that does not run are given when it runs again."""
    loop = asyncio.new_event_loop()
    try:
        first = AsyncReply(loop)
        first.set(1)  # the wake-up is under way, and the loop does not run
        thread = threading.Thread(target=lambda: second.set(2))
        second = AsyncReply(loop)
        thread.start()
        thread.join()
        assert [1, 2] == loop.run_until_complete(asyncio.wait_for(_both(first, second), PATIENCE_S))
    finally:
        loop.close()


async def _both(first: AsyncReply, second: AsyncReply) -> list[Any]:
    return [await first.future, await second.future]


def test_a_loop_closed_with_a_wake_up_under_way_is_let_go_of() -> None:
    """With the next loop that comes, at the latest; though the wake-up that was under way never comes."""
    loop = asyncio.new_event_loop()
    replies = [AsyncReply(loop) for _ in range(3)]
    replies[0].set(0)
    loop.close()
    for reply in replies[1:]:
        reply.set(1)
    gone = weakref.ref(loop)
    del loop, reply, replies
    following = asyncio.new_event_loop()
    AsyncReply(following)
    following.close()
    gc.collect()
    assert gone() is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_forked_while_another_thread_asks_can_ask_in_its_own_loop() -> None:
    """A guard that was held at the fork by a thread that the child does not have holds nobody up there."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with LoopBridge._guard:
            held.set()
            release.wait(PATIENCE_S)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(PATIENCE_S)
    child = os.fork()
    if not child:
        try:

            async def ask() -> Any:
                reply = AsyncReply(asyncio.get_running_loop())
                reply.set("answer")
                return await reply.future

            os._exit(0 if asyncio.run(ask()) == "answer" else 1)
        finally:
            os._exit(2)
    release.set()
    holder.join()
    pause = threading.Event()
    for _ in range(1_000):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        pause.wait(0.01)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert 0 == status
