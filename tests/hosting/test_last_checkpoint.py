"""What is saved when a run ends in order."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import pytest

from eventstore.memory import MemoryStore
from eventstore.opening import open_reader, open_store
from lrm_actors.actors.checkpointer import EMERGENCY_TURN_S
from lrm_actors.domain import checkpointer
from lrm_actors.hosting import operations
from lrm_actors.hosting.boundary import Held, StepBoundary
from lrm_actors.hosting.capturing import Capturing
from lrm_actors.hosting.host import HostBridge
from lrm_actors.hosting.life import STOP_DEADLINE_S
from lrm_actors.hosting.terminating import SAVE_S
from lrm_actors.mode import LongRunningMode
from tests.mode_kit import DEADLINE_S, settings
from tests.runtime.support import eventually


@pytest.mark.parametrize("is_open", [False, True])
def test_a_run_that_ends_saves_its_state_also_inside_a_step(tmp_path: Path, *, is_open: bool) -> None:
    """As where a signal ends the host: then it is an emergency checkpoint, which waits for no step."""
    mode = LongRunningMode(settings(tmp_path))
    mode.capture_with(lambda: {"page": 7})
    ways_out = contextlib.ExitStack()
    with contextlib.suppress(Exception), ways_out:
        with mode as blocking:
            step = blocking.step("read")
            ways_out.enter_context(step) if is_open else None
        with open_reader(mode.settings.log_path) as reader:
            (taken,) = [one.event.checkpoint for one in reader.read(types=("checkpointer.taken",))]
    expected = ("emergency", "stopped while a step was open") if is_open else ("manual", "orderly stop")
    assert expected == (taken.kind, taken.reason)


def test_a_run_that_ends_saves_its_state_also_where_a_checkpoint_waits_for_the_step(tmp_path: Path) -> None:
    """What is due waits for minutes; the last one has a second or two."""
    mode = LongRunningMode(settings(tmp_path))
    mode.capture_with(lambda: {"page": 7})
    ways_out = contextlib.ExitStack()
    with contextlib.suppress(Exception), ways_out:
        with mode as blocking:
            ways_out.enter_context(blocking.step("read"))
            mode._engine.tell(checkpointer.NAME, checkpointer.TakeCheckpoint(checkpointer.PERIODIC, "interval"))
            eventually(lambda: mode._engine.boundary.statistics().held)
        with open_reader(mode.settings.log_path) as reader:
            (taken,) = [one.event.checkpoint for one in reader.read(types=("checkpointer.taken",))]
    assert ("emergency", "stopped while a step was open") == (taken.kind, taken.reason)


def test_how_long_is_waited_for_a_step_fits_to_who_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A periodic one for as long as it can: an agent whose steps take minutes would have none. An emergency hardly."""
    waits: dict[str, float] = {}
    boundary = StepBoundary()

    def hold(*, wait_s: float, **_: bool | None) -> contextlib.AbstractContextManager[Held]:
        waits[kind] = wait_s
        return contextlib.nullcontext(Held(inside_step=False))

    monkeypatch.setattr(boundary, "hold", hold)
    capturing = Capturing(boundary, HostBridge())
    capturing.capture_with(dict)
    for kind in (checkpointer.PERIODIC, checkpointer.MANUAL, checkpointer.EMERGENCY):
        capturing.capture(checkpointer.CaptureState("c", kind, "test"), MemoryStore())
    assert 180.0 <= waits["periodic"] < checkpointer.OVERDUE_S
    assert waits["manual"] < operations.CHECKPOINT_TIMEOUT_S
    assert waits["emergency"] + EMERGENCY_TURN_S < STOP_DEADLINE_S / 3 < SAVE_S


def test_a_capture_of_a_run_that_has_ended_waits_for_no_step() -> None:
    """One that had waited for another capture, which was told of the end: it would hold up the next run."""
    boundary = StepBoundary()
    capturing = Capturing(boundary, HostBridge())
    capturing.capture_with(dict)
    take = capturing.handlers(MemoryStore())[checkpointer.CaptureState]
    boundary.enter()
    boundary.end_of_run()
    for kind in (checkpointer.PERIODIC, checkpointer.EMERGENCY):
        failed = take(checkpointer.CaptureState("c", kind, "test"))
        assert isinstance(failed, checkpointer.CaptureFailed)
        assert ("StepOrder", True) == (failed.error, "the run ended" in failed.message)
    boundary.leave()
    taken = capturing.handlers(MemoryStore())[checkpointer.CaptureState](
        checkpointer.CaptureState("c", checkpointer.PERIODIC, "test")
    )
    assert isinstance(taken, checkpointer.StoreCheckpoint)


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, PermissionError])
def test_whatever_comes_at_the_end_the_log_is_let_go_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: type[BaseException]
) -> None:
    """A second Ctrl-C, or a disk that refuses: nobody else could own the log as long as this process lived."""
    mode = LongRunningMode(settings(tmp_path)).blocking
    mode.start_monitoring()

    def refuse(*_: object) -> None:
        raise trouble

    monkeypatch.setattr(operations, "last_checkpoint", refuse)
    with pytest.raises(KeyboardInterrupt) if trouble is KeyboardInterrupt else contextlib.nullcontext():
        mode.stop_monitoring()
    assert 0 == mode.exit_code
    open_store(mode.settings.log_path).close()


def test_a_report_needs_no_look_into_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size is not known where permission is refused, and everything else is."""
    with LongRunningMode(settings(tmp_path)) as mode:
        stat = Path.stat

        def refuse(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
            if self.name.startswith("lrm.db"):
                raise PermissionError(self)
            return stat(self, follow_symlinks=follow_symlinks)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "stat", refuse)
            assert 0 == mode.get_health_report()["log"]["size_bytes"]
        assert mode.get_health_report()["log"]["size_bytes"] > 0


def test_what_was_open_to_take_samples_is_closed_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that runs one agent after the other had some fifteen files more open after each."""
    mode = LongRunningMode(settings(tmp_path))
    closed = threading.Event()
    close = mode._engine.sampler.close

    def close_and_tell() -> None:
        close()
        closed.set()

    monkeypatch.setattr(mode._engine.sampler, "close", close_and_tell)
    with mode:
        assert not closed.is_set()
    assert closed.wait(DEADLINE_S)
