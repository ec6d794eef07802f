"""Tasks that were begun and are not done while the agent goes on with another step: what is on record of each.

By its key a task is known wherever it begins again, so what it had finished is not done again, and what it does then
goes by the same idempotency keys. A plain step is set aside in the same way where it was given a key, and is meant by
"task" here. Without one nothing of it is kept: its name may come back in a loop, for the next round or for the same one
again, and the two look alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventstore.events import event
from eventstore.frozen import frozen
from lrm_actors.domain.journaling.book import FINISHED, UNFINISHED, Book
from lrm_actors.domain.sleeps import Sleeps
from lrm_actors.domain.tasks import TaskCall, name_of

MAX_ASIDE = 1_000
"""Tasks set aside at a time. When there are more, the oldest are forgotten."""
MAX_ASIDE_EFFECTS = 100_000
"""Effects of all of them together. The newest task keeps its own, however many."""


@event("journal.task_set_aside", 1)
class TaskSetAside:
    """Another step is about to begin: what is on record of the task's effects waits until the task begins again."""

    step: int
    name: str
    attempt: int
    task: str
    key: str
    finished: int
    in_doubt: int


@event("journal.task_taken_back", 1)
class TaskTakenBack:
    """Stored with the begin of its step: what was set aside of the task counts in this step."""

    step: int
    name: str
    task: str
    key: str
    origin: int
    """Number of the step that its idempotency keys are made from."""
    finished: int
    in_doubt: int


@event("journal.task_forgotten", 1)
class TaskForgotten:
    """What was set aside of a task does not count any more: when it begins again, all of it is done anew."""

    task: str
    key: str
    origin: int
    name: str
    finished: int
    in_doubt: int
    why: str


@event("journal.task_effect_settled", 1)
class TaskEffectSettled:
    """An effect in doubt of a task set aside is so no more."""

    task: str
    key: str
    origin: int
    name: str
    """Of the effect, as ``occurrence`` and ``attempt`` are."""
    occurrence: int
    attempt: int
    outcome: str
    """``done``, ``not_happened`` or ``skipped``."""
    how: str
    result: Any = None


@frozen
class AsideTask:
    """What is on record of one."""

    call: TaskCall
    step: int
    """Number of the step that its idempotency keys are made from."""
    name: str
    """Of its step."""
    attempt: int
    """How often it was begun by now, or the steps before it at its place."""
    effects: Book
    sleeps: Sleeps = Sleeps()
    """Those begun inside it."""
    in_doubt: bool = False
    """A process ended inside it."""

    @property
    def apart(self) -> str:
        """What it is called where others read the same: a key is told from a name, and a plain step from a task."""
        return apart(self.call.task, self.call.key, is_step=self.call.is_step)

    def forgotten(self, why: str) -> TaskForgotten:
        """What is on record of it is let go."""
        finished, in_doubt = self.effects.count(*FINISHED), self.effects.count(*UNFINISHED)
        return TaskForgotten(self.call.task, self.call.key, self.step, self.name, finished, in_doubt, why)


def apart(task: str, key: str, *, is_step: bool) -> str:
    """What a call is called where others read the same."""
    return f"{'step ' if is_step else ''}{task} [{key}]"


@frozen
class Aside:
    """All of them."""

    tasks: Mapping[str, AsideTask] = {}
    """By task and key, the one set aside first first; a task and a plain step of one name and key are two."""
    effects: int = 0
    """Of all of them together."""

    def find(self, call: TaskCall | None) -> AsideTask | None:
        """What is set aside of a task."""
        place = None if call is None else self._place(call)
        return None if place is None else self.tasks[place]

    def of_origin(self, task: str, key: str, origin: int) -> AsideTask | None:
        """What is set aside under a task's name and key, and of that what has its idempotency keys from this step."""
        found = (self.tasks.get(place) for place in _places(task, key))
        return next((one for one in found if one is not None and one.step == origin), None)

    def put(self, one: AsideTask) -> Aside:
        """With this one as the newest, in place of an earlier one of its key."""
        before = self.without(one.call)
        place = next(place for place in _places(one.call.task, one.call.key) if place not in before.tasks)
        return Aside({**before.tasks, place: one}, before.effects + len(one.effects))

    def change(self, one: AsideTask) -> Aside:
        """With this one in the place of an earlier one, which has as many effects."""
        place = self._place(one.call)
        return self if place is None else Aside({**self.tasks, place: one}, self.effects)

    def without(self, call: TaskCall) -> Aside:
        """Without one, if it is there."""
        place = self._place(call)
        if place is None:
            return self
        tasks = {other: one for other, one in self.tasks.items() if other != place}
        return Aside(tasks, self.effects - len(self.tasks[place].effects))

    def called(self, name: str) -> list[AsideTask]:
        """Those whose step has this name."""
        return [one for one in self.tasks.values() if one.name == name]

    def _place(self, call: TaskCall) -> str | None:
        places = (place for place in _places(call.task, call.key) if place in self.tasks)
        return next((place for place in places if self.tasks[place].call.is_step == call.is_step), None)

    def too_many(self) -> list[AsideTask]:
        """Those that have to go, the oldest first; never the newest."""
        going, tasks, effects = list[AsideTask](), len(self.tasks), self.effects
        for one in list(self.tasks.values())[:-1]:
            if tasks <= MAX_ASIDE and effects <= MAX_ASIDE_EFFECTS:
                break
            going.append(one)
            tasks, effects = tasks - 1, effects - len(one.effects)
        return going


def _places(task: str, key: str) -> tuple[str, str]:
    """Where one of a name and key is kept: the first, and the second where one of the other kind has that."""
    place = name_of(task, key)
    return place, f"also {place}"
