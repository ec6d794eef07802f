"""Bugs of an adapter that the comparison with an undisturbed run has to catch; planted in the agent's own process."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

ADAPTER = "lrm_actors.adapters.browser_use"


def _forgetful() -> None:
    """A step that was cut off is begun as if nothing were on record of it: what it did is done once more, unsaid."""
    turns: Any = importlib.import_module(f"{ADAPTER}.turns")
    begin = turns.Turn.__init__

    def forgetful(turn: Any, *args: Any, **options: Any) -> None:
        begin(turn, *args, **options)
        turn._forget()

    turns.Turn.__init__ = forgetful


def _without_last_result() -> None:
    """What the newest step decided and did is not kept: it would enter the memory with the step after it."""
    run: Any = importlib.import_module(f"{ADAPTER}.run")
    fill = run.fill

    def partly(agent: Any, known: Any) -> None:
        fill(agent, known)
        agent.state.last_model_output = agent.state.last_result = None

    run.fill = partly


def _without_storage() -> None:
    """Nothing of what is in the browser is put back into a new one."""
    keeping: Any = importlib.import_module(f"{ADAPTER}.keeping")

    async def nothing(keeper: Any, state: Any) -> None:
        return None

    keeping.BrowserKeeper.restore = nothing


BUGS: dict[str, Callable[[], None]] = {
    "forgetful": _forgetful,
    "without last result": _without_last_result,
    "without storage": _without_storage,
}
