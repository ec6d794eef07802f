"""How late an event loop is, on a loop that answers when the test says."""

from __future__ import annotations

from collections.abc import Callable

from lrm_actors.actors.sampling.lag import LoopLag


class Loop:
    """Answers when it is told to; may be closed."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.closed = False
        self.calls: list[Callable[[], object]] = []

    def call_soon_threadsafe(self, callback: Callable[[], object], /) -> object:
        """As a real one."""
        if self.closed:
            raise RuntimeError("Event loop is closed")
        self.calls.append(callback)
        return None

    def answer(self, after_s: float) -> None:
        """Do what was asked, so much later."""
        self.now_s += after_s
        for call in self.calls:
            call()
        self.calls.clear()


def test_the_worst_of_all_answers_is_told_once() -> None:
    """And what was not asked is not known."""
    loop = Loop()
    lag = LoopLag(loop, lambda: loop.now_s)
    assert None is lag.take()
    for late_s in (0.25, 2.0, 0.5):
        lag.ping()
        loop.answer(late_s)
    assert (2.0, None) == (lag.take(), lag.take())


def test_a_loop_that_hangs_is_seen_before_it_answers() -> None:
    """It is asked once, however often; what it owes grows, and counts when it is paid."""
    loop = Loop()
    lag = LoopLag(loop, lambda: loop.now_s)
    lag.ping()
    loop.now_s += 3.0
    lag.ping()
    assert 1 == len(loop.calls)
    assert 3.0 == lag.take()
    loop.answer(4.0)
    assert 7.0 == lag.take()


def test_a_closed_loop_is_late_with_nothing() -> None:
    """Nobody waits for it."""
    loop = Loop()
    lag = LoopLag(loop, lambda: loop.now_s)
    loop.closed = True
    lag.ping()
    loop.now_s += 9.0
    assert None is lag.take()
