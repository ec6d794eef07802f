"""The moment between two steps: captures and steps never overlap, and neither waits for ever."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import hypothesis
import hypothesis.strategies as st
import pytest

from lrm_actors.errors import StepOrder
from lrm_actors.hosting.boundary import BoundaryStatistics, StepBoundary
from lrm_actors.hosting.offload import start_thread


def wait_until_wanted(boundary: StepBoundary) -> None:
    """Spin until a holder is known to the boundary; a deadline of the test run bounds it."""
    while not boundary.statistics().held:
        threading.Event().wait(0.001)


def test_a_step_begins_at_once_when_nobody_holds() -> None:
    """Without a capture a step costs no waiting."""
    boundary = StepBoundary()

    assert boundary.enter().done()
    assert BoundaryStatistics(open_steps=1, held=False, waiting=0) == boundary.statistics()


def test_a_hold_waits_for_the_open_step_and_keeps_the_next_out() -> None:
    """A capture gets its moment even when steps follow each other without a pause."""
    boundary = StepBoundary()
    boundary.enter()
    holding, let_go = threading.Event(), threading.Event()

    def capture() -> bool:
        with boundary.hold(wait_s=30) as held:
            holding.set()
            let_go.wait(30)
            return held.inside_step

    captured = start_thread(capture)
    wait_until_wanted(boundary)
    following = boundary.enter()
    assert not following.done()
    assert not holding.is_set()

    boundary.leave()
    assert holding.wait(30)
    assert not following.done()

    let_go.set()
    assert captured.result(30) is False
    following.result(30)
    assert BoundaryStatistics(open_steps=1, held=False, waiting=0) == boundary.statistics()


def test_a_step_that_does_not_end_refuses_the_hold_and_steps_go_on() -> None:
    """A bound in seconds ends the wait, and those who waited behind it are let go."""
    boundary = StepBoundary()
    boundary.enter()

    with pytest.raises(StepOrder), boundary.hold(wait_s=0):
        pytest.fail("held inside a step")

    assert boundary.before_end().done()
    assert boundary.enter().done()


def test_an_emergency_holds_inside_the_step_and_its_commit_waits() -> None:
    """An emergency capture inside a step says so, and the step cannot be committed under it."""
    boundary = StepBoundary()
    boundary.enter()

    with boundary.hold(wait_s=0, even_inside=True) as held:
        assert held.inside_step
        commit = boundary.before_end()
        assert not commit.done()

    assert commit.done()


def test_a_second_holder_waits_for_the_first_and_gives_up_in_the_end() -> None:
    """Two captures never overlap."""
    boundary = StepBoundary(other_holder_s=0.01)

    with boundary.hold(wait_s=0), pytest.raises(TimeoutError), boundary.hold(wait_s=0):
        pytest.fail("held twice")


def test_an_emergency_comes_before_a_capture_that_waits_for_the_step() -> None:
    """The step may be what hangs. What waits goes on waiting, keeps the next step out, and gets its moment."""
    boundary = StepBoundary()
    boundary.enter()

    def capture() -> bool:
        with boundary.hold(wait_s=30, only_looks=True) as held:
            return held.inside_step

    captured = start_thread(capture)
    wait_until_wanted(boundary)
    with boundary.hold(wait_s=0, even_inside=True, only_looks=True) as held:
        assert held.inside_step
        commit = boundary.before_end()
        assert not commit.done()
    assert commit.done()
    following = boundary.enter()
    assert not following.done()

    boundary.leave()
    assert captured.result(30) is False
    following.result(30)


def test_at_the_end_of_a_run_nobody_waits_for_its_step_any_more() -> None:
    """It may hang. The first step of the next run begins at once."""
    boundary = StepBoundary()
    boundary.enter()

    def capture() -> str:
        with pytest.raises(StepOrder) as raised, boundary.hold(wait_s=240, only_looks=True):
            pytest.fail("held inside a step")
        return str(raised.value)

    captured = start_thread(capture)
    wait_until_wanted(boundary)
    boundary.end_of_run()
    assert "the run ended" in captured.result(30)
    assert boundary.enter().done()


def test_who_changes_the_host_does_not_wait_for_a_capture_that_waits_for_the_step() -> None:
    """A log that is moved, say, while a step takes minutes. The capture goes on waiting, and gets its moment."""
    boundary = StepBoundary(other_holder_s=0.0)
    boundary.enter()

    def capture() -> bool:
        with boundary.hold(wait_s=30, only_looks=True) as held:
            return held.inside_step

    captured = start_thread(capture)
    wait_until_wanted(boundary)
    with boundary.hold(wait_s=0, even_inside=True) as held:
        assert held.inside_step
    boundary.leave()
    assert captured.result(30) is False


@pytest.mark.parametrize("first_to_end", ["emergency", "capture"])
def test_an_emergency_holds_beside_a_capture_whose_host_hangs(first_to_end: str) -> None:
    """Both only look. No step begins or is committed before both are done."""
    boundary = StepBoundary(other_holder_s=0.0)
    capture = boundary.hold(wait_s=0, only_looks=True)
    emergency = boundary.hold(wait_s=0, even_inside=True, only_looks=True)
    holds = {"capture": capture, "emergency": emergency}
    for hold in holds.values():
        assert not hold.__enter__().inside_step
    following, commit = boundary.enter(), boundary.before_end()

    holds.pop(first_to_end).__exit__(None, None, None)
    assert not following.done()
    assert not commit.done()
    (last,) = holds.values()
    last.__exit__(None, None, None)
    assert following.done()
    assert commit.done()


def test_an_emergency_waits_for_one_who_changes_the_host() -> None:
    """Half restored, its state is none. And who changes it waits for the emergency, inside a step or not."""
    boundary = StepBoundary(other_holder_s=0.0)
    with boundary.hold(wait_s=0), pytest.raises(TimeoutError):
        boundary.hold(wait_s=0, even_inside=True, only_looks=True).__enter__()
    with boundary.hold(wait_s=0, even_inside=True, only_looks=True):
        for even_inside in (True, False):
            with pytest.raises(TimeoutError):
                boundary.hold(wait_s=0, even_inside=even_inside).__enter__()
    assert BoundaryStatistics(open_steps=0, held=False, waiting=0) == boundary.statistics()


def test_who_waits_for_another_holder_is_told_when_it_lets_go() -> None:
    """And does not sleep until its time is over."""
    boundary = StepBoundary(other_holder_s=300.0)

    def recover() -> bool:
        with boundary.hold(wait_s=300.0) as held:
            return held.inside_step

    with boundary.hold(wait_s=0, only_looks=True):
        recovered = start_thread(recover)
        while boundary._wanted < 2:
            threading.Event().wait(0.001)
    assert recovered.result(30) is False


def test_a_hold_that_is_interrupted_lets_the_steps_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second Ctrl-C, say: else no step would ever begin again."""
    boundary = StepBoundary()

    def interrupted(*_: object, **__: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(boundary._changed, "wait_for", interrupted)
        with pytest.raises(KeyboardInterrupt):
            boundary.hold(wait_s=0).__enter__()
    assert boundary.enter().done()


def test_a_step_that_was_cancelled_while_it_waited_is_not_counted() -> None:
    """Who no longer wants to begin does not keep captures out later."""
    boundary = StepBoundary()
    with boundary.hold(wait_s=0):
        waiting = boundary.enter()
        assert waiting.cancel()

    assert BoundaryStatistics(open_steps=0, held=False, waiting=0) == boundary.statistics()


@hypothesis.given(st.lists(st.sampled_from(["enter", "leave", "hold", "emergency"]), max_size=30))
def test_between_steps_means_no_step_is_open(actions: list[str]) -> None:
    """Whatever the order: a hold that says it is between steps sees none open, and none is let in under it."""
    boundary = StepBoundary()
    entered: list[Future[None]] = []
    for action in actions:
        if action == "enter":
            entered.append(boundary.enter())
        elif action == "leave" and entered:
            entered.pop()
            boundary.leave()
        elif action in {"hold", "emergency"}:
            try:
                with boundary.hold(wait_s=0, even_inside=action == "emergency") as held:
                    assert held.inside_step == bool(entered)
                    assert not boundary.enter().done()
                    boundary._entering.pop().cancel()
            except StepOrder:
                assert entered
    assert len(entered) == boundary.statistics().open_steps
