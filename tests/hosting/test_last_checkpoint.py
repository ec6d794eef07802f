"""What is saved when a run ends in order."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from eventstore.opening import open_reader
from lrm_actors.mode import LongRunningMode
from tests.mode_kit import settings


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
