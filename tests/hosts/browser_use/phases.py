"""Tells a test at which point of a step an agent's process is, and stops it there, to be killed exactly there."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

PHASES = (
    "before-model", "after-model", "before-action", "after-first-action", "after-actions",
    "before-commit", "in-commit", "after-commit", "at-gate",
)  # fmt: skip
"""The order in which they come; ``in-action`` is the site's to tell, which holds a request up.

``before-commit``: nothing of the step's end is in the log. ``in-commit``: its rows are written, and the
transaction is open. ``after-commit``: it is durable, and nobody was told.
"""
COMMITTED = "journal.step_committed"


class Phases:
    """What the worker tells its parent.

    Args:
        descriptor: a pipe to the parent.
        hold: the phases and steps at which to stop, as ``after-model@6``, each once.
        go_on: a pipe from the parent, which lets go of what was stopped with one byte; None to stop for good.
    """

    def __init__(self, descriptor: int, hold: Iterable[str], go_on: int | None = None) -> None:
        self._descriptor, self._hold, self._go_on = descriptor, set(hold), go_on
        self.step = 0
        """Where the agent is, as its model counts."""
        self._number = self._ahead = 0

    def reached(self, phase: str) -> None:
        """Tell it, and stop there if that is wanted, with everything that this thread was about to do."""
        point = f"{phase}@{self.step}"
        if point not in self._hold:
            return
        self._hold.remove(point)
        os.write(self._descriptor, f"{point}\n".encode())
        if self._go_on is None:
            threading.Event().wait()
        else:
            os.read(self._go_on, 1)

    async def tell(self, phase: str, step: int) -> None:
        """The same for the scripted model."""
        self.step, self._ahead = step, self._number - step
        self.reached(phase)

    def began(self, number: int) -> None:
        """The agent begins a step, which has this number to it: it counts those that its model has to take again."""
        self._number = number
        self.step = number - self._ahead


def watch_upstream(phases: Phases) -> None:
    """Tell the phases that browser-use goes through, whichever host runs it."""
    Agent: Any = importlib.import_module("browser_use.agent.service").Agent  # noqa: N806 - a class
    Tools: Any = importlib.import_module("browser_use.tools.service").Tools  # noqa: N806

    step, act, post_process = Agent.step, Tools.act, Agent._post_process
    acted = 0

    async def watched_step(self: Any, *args: Any, **options: Any) -> Any:
        nonlocal acted
        phases.began(self.state.n_steps)
        acted = 0
        return await step(self, *args, **options)

    async def watched_act(self: Any, *args: Any, **options: Any) -> Any:
        nonlocal acted
        phases.reached("before-action")
        result = await act(self, *args, **options)
        acted += 1
        if acted == 1:
            phases.reached("after-first-action")
        return result

    async def watched_post_process(self: Any) -> Any:
        phases.reached("after-actions")
        return await post_process(self)

    _replace(Agent, "step", watched_step)
    _replace(Tools, "act", watched_act)
    _replace(Agent, "_post_process", watched_post_process)


def watch_commits(phases: Phases) -> None:
    """Tell the phases of the transaction in which a step's end becomes durable."""
    from eventstore.opening import open_store  # noqa: F401 - the writer is loaded with it
    from eventstore.writer import Writer

    append = Writer.append

    def watched(self: Any, batch: Any) -> Any:
        ends_step = COMMITTED in batch.types
        if not ends_step:
            return append(self, batch)
        phases.reached("before-commit")
        transactions, insert = self.transactions, self.transactions.insert

        def held_open(write: Callable[[Any], Any], **options: Any) -> Any:
            def writing(begin: Any) -> Any:
                statement = write(begin)
                phases.reached("in-commit")
                return statement

            return insert(writing, **options)

        transactions.insert = held_open
        try:
            result = append(self, batch)
        finally:
            del transactions.insert
        phases.reached("after-commit")
        return result

    _replace(Writer, "append", watched)


def _replace(owner: type, name: str, function: Callable[..., Any] | Callable[..., Awaitable[Any]]) -> None:
    setattr(owner, name, function)
