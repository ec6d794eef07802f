"""What kept a checkpoint from being taken is raised as what it is, with a hint that helps."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NoReturn

import pytest

from eventstore.errors import StorageFull
from lrm_actors.domain import checkpointer
from lrm_actors.errors import CaptureTimedOut, CheckpointNotStored, LrmError, NotCapturable
from lrm_actors.hosting import exhaustion, operations, terminating
from lrm_actors.hosting.capturing import NoCapture, NotTakenUp
from lrm_actors.mode import LongRunningMode
from tests.mode_kit import settings


@pytest.mark.parametrize(
    ("error", "expected", "hint"),
    [
        (checkpointer.FULL, CheckpointNotStored, "free space"),
        ("TimeoutError", CaptureTimedOut, "step end"),
        ("StepOrder", CaptureTimedOut, "step end"),
        (checkpointer.OVERDUE, CaptureTimedOut, "step end"),
        ("NoCapture", NoCapture, "capture_with"),
        ("NotTakenUp", NotTakenUp, "recover_from_checkpoint"),
        ("NotCapturable", NotCapturable, "plain data"),
        ("KeyError", NotCapturable, "given to capture_with"),
        (checkpointer.INTERRUPTED, NotCapturable, "again"),
    ],
)
def test_a_failure_is_raised_as_what_it_is(error: str, expected: type[LrmError], hint: str) -> None:
    """Each is an error of this package, as before."""
    with pytest.raises(expected, match="c1") as raised:
        operations._ended(checkpointer.CheckpointFailed("c1", error, "as it was"), "c1")
    assert type(raised.value) is expected
    assert hint in raised.value.hint
    assert "as it was" in str(raised.value)


def test_a_full_disk_ends_no_stop_and_no_emergency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever takes a checkpoint says so and goes on; who asked for one is told what it was."""

    def full(*_: Any, **__: Any) -> NoReturn:
        raise operations._not_taken("c1", checkpointer.FULL, "database or disk is full")

    mode = LongRunningMode(settings(tmp_path))
    mode.capture_with(lambda: {"page": 7})
    told: list[str] = []
    with mode as blocking:
        monkeypatch.setattr(operations, "take_checkpoint", full)
        with pytest.raises(StorageFull):
            blocking.take_checkpoint()
        with caplog.at_level(logging.WARNING):
            terminating.save(mode._engine)
            exhaustion.replace(mode._engine, "too many hang", told.append)
            operations.last_checkpoint(mode._engine, 1.0)
    assert told == ["too many hang"]
    assert caplog.text.count("c1 was not stored") >= 3
