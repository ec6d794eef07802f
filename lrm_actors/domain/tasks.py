"""Durable functions: which one a step is, and the results of those that are done, for whoever calls one again.

A plain step that was given a key is known by it in the same way, as long as it is not done.
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from eventstore.events import event
from eventstore.frozen import frozen
from lrm_actors.errors import TaskConflict

MAX_TASKS = 1_000
"""Results kept, the newest."""
MAX_BYTES = 1_000_000
"""Of all of them together, as JSON. The newest is kept whatever it takes."""


@frozen
class TaskCall:
    """What of a durable function a step is."""

    task: str
    key: str
    """What tells one run of it from another; empty for the only one."""
    given: str
    """A digest of what it was called with; empty where nothing can be said of that."""
    is_step: bool = False
    """It is a plain step that was given a key: nothing is called, and when it is done, its key is free for another."""

    @property
    def step_name(self) -> str:
        """What the step is called in the log and to people."""
        return f"{self.task} {self.key}" if self.key else self.task


def keyed_step(step_name: str, key: str) -> TaskCall:
    """What a plain step with a key is, by what it is called in the log."""
    return TaskCall(step_name.removesuffix(f" {key}"), key, "", is_step=True)


@event("journal.task_begun", 1)
class TaskBegun:
    """Stored with the begin of its step. Its result is that of the step."""

    step: int
    task: str
    key: str
    given: str


@frozen
class KeptTask:
    """One that is done."""

    step: int
    given: str
    result: Any
    size_bytes: int


@frozen
class Tasks:
    """The one under way, and those whose results are kept."""

    open: TaskCall | None = None
    """What the step that is not over is, if it is one."""
    done: dict[str, KeptTask] = attrs.Factory(dict)
    """By task and key, oldest first."""
    size_bytes: int = 0

    def find(self, task: str, key: str) -> KeptTask | None:
        """What is kept of one."""
        return self.done.get(name_of(task, key))

    def begun(self, call: TaskCall | None) -> Tasks:
        """A step begins."""
        return self if call is None and self.open is None else Tasks(call, self.done, self.size_bytes)

    def committed(self, step: int, result: Any) -> Tasks:
        """The step is done; what is then too much goes, the oldest first."""
        call = self.open
        if call is None:
            return self
        if call.is_step:
            return Tasks(None, self.done, self.size_bytes)
        name = name_of(call.task, call.key)
        done = {other: kept for other, kept in self.done.items() if other != name}
        done[name] = KeptTask(step, call.given, result, len(msgspec.json.encode(result)))
        size_bytes = sum(kept.size_bytes for kept in done.values())
        while len(done) > MAX_TASKS or (size_bytes > MAX_BYTES and len(done) > 1):
            size_bytes -= done.pop(next(iter(done))).size_bytes
        return Tasks(None, done, size_bytes)


def check_same(earlier: TaskCall | None, call: TaskCall | None, step: int) -> None:
    """See that a step which begins again is the call that what is on record of it belongs to.

    Raises:
        TaskConflict: it was called with something else.
    """
    if earlier is None or call is None or (earlier.task, earlier.key) != (call.task, call.key):
        return  # the name of the step tells
    if earlier.given and call.given and earlier.given != call.given:
        raise TaskConflict(call.task, call.key, step)


def name_of(task: str, key: str) -> str:
    """One text that no other task with another key has."""
    return f"{len(task)} {task} {key}"
