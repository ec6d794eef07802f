"""Nothing in the runtime grows with the number of things that are over, and no number is too large for it."""

from __future__ import annotations

import threading
from typing import Any

import attrs
import pytest

from eventstore.memory import MemoryStore
from lrm_actors.domain.behavior import NOTHING, Command, Context, Decision, Spec, StartTimer, then
from lrm_actors.runtime.clock import CANCELLED_KEPT, ManualClock, SystemClock
from lrm_actors.runtime.reply import Reply
from lrm_actors.runtime.workers import Workers
from tests.runtime.support import PATIENCE_S, Add, Count, Look, counter, eventually, evolve, running


@attrs.frozen
class Arm(Command):
    """Start a timer of a name of its own."""

    key: str


def _arm(_state: Count, command: Any, _ctx: Context) -> Decision:
    if isinstance(command, Arm):
        return then(effects=[StartTimer(command.key, 1.0, Look())], reply="armed")
    return NOTHING


def test_a_timer_that_has_fired_is_forgotten() -> None:
    """Timers of ever new names leave nothing behind once they are over."""
    clock = ManualClock()
    with running(Spec("counter", Count(), _arm, evolve), clock=clock) as system:
        for number in range(50):
            assert "armed" == system.ask_blocking("counter", Arm(f"timer {number}"))
        clock.advance(1.0)
        assert {} == system._shells["counter"]._effects._timers


def test_a_timer_that_is_put_off_again_and_again_leaves_nothing_in_the_schedule() -> None:
    """Cancelled calls are taken out long before they would have been due."""
    clock = ManualClock()
    happened: list[int] = []
    for _ in range(10_000):
        clock.call_later(1e6, lambda: happened.append(1))()
    clock.call_later(1.0, lambda: happened.append(-1))
    assert len(clock._schedule._heap) <= CANCELLED_KEPT + 3
    clock.advance(2e6)
    assert [-1] == happened


@pytest.mark.parametrize("delay_s", [float("inf"), 1e12])
def test_a_timer_in_the_far_future_holds_up_no_other(delay_s: float) -> None:
    """The timer thread lives on when it is asked to wait longer than the platform can."""
    clock = SystemClock()
    try:
        clock.call_later(delay_s, lambda: None)
        fired = threading.Event()
        clock.call_later(0.0, fired.set)
        assert fired.wait(PATIENCE_S)
        assert clock._thread is not None
        fired.clear()
        clock.call_later(0.001, fired.set)
        assert fired.wait(PATIENCE_S)
    finally:
        clock.close()


def test_an_ask_may_have_all_the_time_in_the_world() -> None:
    """A timeout that the platform cannot wait for is waited for as long as it can."""
    with running(counter(), store=MemoryStore()) as system:
        assert 1 == system.ask_blocking("counter", Add(1), timeout_s=1e12)
    reply = Reply()
    reply.set("there")
    assert "there" == reply.get(timeout=1e300)


def test_a_thread_that_has_just_taken_a_job_does_not_count_as_idle() -> None:
    """Two jobs that come at once get a thread each: the second does not wait for the first, which may hang."""
    workers = Workers("test", limit=4)
    first = threading.Event()
    workers.submit(first.set)
    assert first.wait(PATIENCE_S)
    hung, done = threading.Event(), threading.Event()
    workers._lock = threading.RLock()  # type: ignore[assignment]  # held here, so that the thread can say nothing yet
    with workers._lock:
        workers.submit(lambda: hung.wait(PATIENCE_S))
        eventually(lambda: workers.waiting == 0)
        workers.submit(done.set)
    assert done.wait(PATIENCE_S / 2)
    hung.set()
    workers.close()


def test_a_machine_without_a_thread_to_spare_delays_effects_and_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no thread can be started the job waits, and runs with the next one that asks."""
    workers = Workers("test", limit=1)
    ran: list[str] = []
    done = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_thread)
        workers.submit(lambda: ran.append("first"))
    workers.submit(done.set)
    assert done.wait(PATIENCE_S)
    assert ["first"] == ran
    workers.close()


def _no_thread(_thread: threading.Thread) -> None:
    msg = "can't start new thread"
    raise RuntimeError(msg)
