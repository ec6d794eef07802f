"""More hung handlers than a process can bear: the host's state is saved, and the host is told, before anything ends."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lrm_actors.hosting import exhaustion
from lrm_actors.mode import LongRunningMode
from lrm_actors.runtime.watchdog import Exhausted
from tests.mode_kit import settings

WHY = Exhausted("monitor", "SampleDue", 8, "")


def test_an_emergency_checkpoint_is_taken_and_the_host_is_told(tmp_path: Path) -> None:
    """In this order; and the exit code says that another process should try."""
    told: list[tuple[str, int]] = []

    def hear(reason: str) -> None:
        told.append((reason, len(running.checkpointer.list_checkpoints())))

    mode = LongRunningMode(settings(tmp_path), on_exhausted=hear)
    mode.capture_with(lambda: {"pages": 3})
    with mode as running:
        system = mode._engine.running.system  # type: ignore[union-attr]
        giving_up = threading.Thread(target=lambda: system._watchdog._on_exhausted(WHY))  # type: ignore[misc]
        giving_up.start()
        giving_up.join()
    assert [("monitor hangs on SampleDue beside 8 others", 1)] == told
    assert 75 == mode.exit_code


def test_by_default_the_process_is_asked_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the signal that whoever started it would send."""
    sent: list[int] = []
    monkeypatch.setattr("os.kill", lambda _pid, number: sent.append(number))
    exhaustion.terminate("why")
    assert [15] == sent


def test_a_host_that_fails_on_being_told_ends_no_thread(tmp_path: Path) -> None:
    """Nor does a state that cannot be captured."""

    def fail(_reason: str) -> None:
        raise RuntimeError

    mode = LongRunningMode(settings(tmp_path), on_exhausted=fail)
    with mode:
        mode._engine.running.system._watchdog._on_exhausted(WHY)  # type: ignore[union-attr, misc]
    assert 75 == mode.exit_code
