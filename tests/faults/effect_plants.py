"""Bugs that a journal of effects could have, planted into a life: each must be found by its kills."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

import attrs
import pytest

from lrm_actors.domain.journaling import beginning
from lrm_actors.domain.journaling import effects as deciding
from lrm_actors.domain.journaling import state as folding
from lrm_actors.domain.journaling.book import INTENDED, Book
from lrm_actors.domain.journaling.events import StepInDoubt
from lrm_actors.hosting import effects as hosting

PAUSE_S = 0.02
"""How long a planted bug holds open the gap that a kill falls into."""
PATCH = pytest.MonkeyPatch()


def plant_call_before_intent() -> None:
    """A function that is called before its intent is on record."""
    story, intend = hosting._One.story, hosting._One._intend

    def remembering(self: Any, function: Callable[..., Any]) -> Any:
        functions[id(self)] = function
        return story(self, function)

    def early(self: Any) -> Generator[Any, Any, None]:
        results[id(self)] = yield self._call(functions.pop(id(self)))
        time.sleep(PAUSE_S)
        yield from intend(self)

    def only_finish(self: Any, function: Callable[..., Any]) -> Generator[Any, Any, Any]:
        result = results.pop(id(self))
        yield from self._finish(result)
        return result

    functions: dict[int, Callable[..., Any]] = {}
    results: dict[int, Any] = {}
    PATCH.setattr(hosting._One, "story", remembering)
    PATCH.setattr(hosting._One, "_intend", early)
    PATCH.setattr(hosting._One, "_do", only_finish)


def plant_doubt_forgotten() -> None:
    """A journal that lets go of the effects without an end when it is opened."""
    evolve = folding._evolve_steps

    def forgetful(state: folding.JournalState, event: object) -> folding.JournalState:
        after = evolve(state, event)
        if not isinstance(event, StepInDoubt):
            return after
        book = Book()
        for entry in after.effects:
            book = book if entry.status == INTENDED else book.put(entry)
        return attrs.evolve(after, effects=book)

    PATCH.setattr(folding, "_evolve_steps", forgetful)
    PATCH.setattr(deciding, "doubtful", lambda *_: [])


def plant_key_ignored() -> None:
    """A journal that forgets an abandoned step with a key as it forgets one without."""

    def forgetful(state: folding.JournalState, earlier: folding.OpenStep, call: Any, back: Any) -> list[object]:
        if call.is_step:
            return [deciding.forgotten(earlier, state.effects, "another step begins")]
        return set_aside(state, earlier, call, back)

    set_aside = beginning._set_aside
    PATCH.setattr(beginning, "_set_aside", forgetful)


PLANTS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "call_before_intent": plant_call_before_intent,
    "doubt_forgotten": plant_doubt_forgotten,
    "key_ignored": plant_key_ignored,
}


def plant(name: str) -> None:
    """Plant one of these bugs, or none."""
    PLANTS[name]()
