"""Results that are just too much for the log: refused before an actor is handed them, and nothing is done twice."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any

import pytest

from eventstore.errors import EventRefused
from eventstore.shaping.limits import MAX_DEPTH, MAX_EVENT_BYTES
from lrm_actors.errors import ResultNotKept
from lrm_actors.hosting.host import MAX_BYTES, MAX_LEVELS
from lrm_actors.mode import LongRunningMode
from tests.mode_kit import records, settings


def nested(levels: int) -> Any:
    """Lists inside each other."""
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("result", [nested(MAX_DEPTH), nested(MAX_LEVELS + 1), "x" * (MAX_EVENT_BYTES - 20)])
def test_what_fits_into_an_event_only_by_itself_is_refused_beforehand(tmp_path: Path, result: Any) -> None:
    """The journal failed on it, and an effect that had happened was in doubt, to be done again by its policy."""
    calls: list[None] = []

    def give() -> Any:
        calls.append(None)
        return result

    with LongRunningMode(settings(tmp_path)) as mode:
        with pytest.raises(EventRefused, match="more than"), mode.step("one") as step:
            step.result = result
        for _ in range(2):
            with pytest.raises(ResultNotKept, match="happened"), mode.step("two"):
                mode.effect("give", give)
        assert [None] == calls
        assert [] == records(mode, "supervisor.child_failed", "journal.effect_in_doubt", "dead_letters.added")


def test_what_is_taken_can_be_kept_in_a_snapshot_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As deep as may be, of an effect whose step is not over, and of a task. As large as may be, it can be stored."""
    with LongRunningMode(settings(tmp_path)) as mode, caplog.at_level(logging.WARNING, "lrm_actors.runtime"):
        with mode.step("large") as step:
            step.result = "x" * (MAX_BYTES - 2)
        running = mode._engine.running
        assert running is not None
        deep = nested(MAX_LEVELS)
        assert deep == mode.task("deep")(lambda: deep)()
        with contextlib.suppress(KeyError), mode.step("deep"):
            mode.effect("deep", lambda: deep)
            running.system.take_snapshots()
            raise KeyError
        running.system.take_snapshots()
        assert [] == [one.message for one in caplog.records if one.name.startswith("lrm_actors.runtime")]
