"""Calls of the host on the thread of its loop, while that waits for us."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from lrm_actors.errors import NotCapturable
from lrm_actors.hosting import held_loop
from lrm_actors.hosting.held_loop import HeldLoop


async def gives() -> int:
    """Called on the host's loop."""
    return 7


def refused(called: Future[int]) -> bool:
    """Whether a call was, at once."""
    return called.done() and isinstance(called.exception(), NotCapturable)


def test_who_calls_when_the_wait_is_over_does_not_wait() -> None:
    """A capture that comes too late would stand for as long as a call may take, and nobody would ever do it."""
    held = HeldLoop()
    assert 7 == held.wait_for(lambda: held.call(gives(), "gives").result(30))
    assert refused(held.call(gives(), "gives"))


def test_a_wait_that_is_interrupted_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second Ctrl-C, say, while calls of the host wait for their turn."""
    held = HeldLoop()
    called: list[Future[int]] = []

    class Done:
        def add_done_callback(self, _: object) -> None:
            called.append(held.call(gives(), "gives"))
            raise KeyboardInterrupt

    monkeypatch.setattr(held_loop, "start_thread", lambda *_, **__: Done())
    with pytest.raises(KeyboardInterrupt):
        held.wait_for(lambda: None)
    assert refused(called[0])


def test_where_no_thread_can_be_had_the_work_is_done_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has too many threads must be able to let go of its log. It only cannot be called meanwhile."""
    held = HeldLoop()

    def none_left(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(held_loop, "start_thread", none_left)
    assert held.wait_for(lambda: refused(held.call(gives(), "gives")))
