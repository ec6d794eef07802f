"""What the actions of an open step left in the browser is found in the log, however long that is."""

from __future__ import annotations

from typing import Any

import pytest

from eventstore.memory import MemoryStore
from eventstore.records import Batch, NewEvent, StreamWrite
from lrm_actors.adapters.browser_use import left
from lrm_actors.domain import journal
from lrm_actors.domain.journaling.events import EffectDone


class Log:
    """What the journal said."""

    def __init__(self) -> None:
        self.store = MemoryStore()

    def say(self, *events: object) -> None:
        writes = (StreamWrite("journal", tuple(NewEvent(event) for event in events)),)
        self.store.append(Batch(writes=writes))

    def action(self, step: int, number: int, browser: Any) -> None:
        result = {"result": {}} if browser is None else {"result": {}, left.BROWSER: browser}
        self.say(EffectDone(step, f"{number} click", 1, 1, result))

    def step(self, number: int) -> None:
        self.say(journal.StepCommitted(number, "browser step", {}))


@pytest.mark.parametrize("window", [1, 2, 3, left.WINDOW])
def test_the_newest_values_since_the_last_committed_step_count(monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    """What was left before belongs to a step whose result has it; effects of other kinds have nothing in a browser."""
    monkeypatch.setattr(left, "WINDOW", window)
    log = Log()
    assert left.left_in_browser(log.store) == {}
    log.action(1, 1, {"cookies": ["of the first step"]})
    assert left.left_in_browser(log.store) == {"cookies": ["of the first step"]}
    log.step(1)
    assert left.left_in_browser(log.store) == {}
    log.action(2, 1, {"cookies": ["a"], "focus": 0})
    log.say(EffectDone(2, "decide", 1, 1, ["no mapping"]))
    log.action(2, 2, None)
    log.action(2, 3, {"focus": 1})
    assert left.left_in_browser(log.store) == {"cookies": ["a"], "focus": 1}
