"""What an effect had come to before a record of it: its own records, wherever its step or its task was at that time.

Each of them begins with a call from the host, which knows of no position: the effect itself is what they share. The
number of a step alone does not tell whose it is. A task that is set aside gives it to another step, and when it begins
again, what it had done counts under another number. Reads the log only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eventstore.protocol import EventReader
from eventstore.records import Record
from lrm_actors.domain.journaling.aside import apart
from lrm_actors.domain.tasks import TaskBegun, keyed_step
from lrm_actors.inspect.looking_back import backwards, is_known

STEP_BEGUN, TASK_BEGUN = "journal.step_begun", "journal.task_begun"
FORGOTTEN = "journal.effects_forgotten"
SET_ASIDE, TAKEN_BACK = "journal.task_set_aside", "journal.task_taken_back"
SETTLED_ASIDE = "journal.task_effect_settled"
IN_A_STEP = (
    "journal.effect_intended",
    "journal.effect_done",
    "journal.effect_failed",
    "journal.effect_in_doubt",
    "journal.effect_settled",
)
EFFECT = (*IN_A_STEP, SETTLED_ASIDE)
"""Every record of one effect."""
NEWS = EFFECT[1:]
"""Those that say what came of it."""


def is_of_effect(name: str) -> Callable[[Record], bool]:
    """Whether a record is of the effect of a name; of any where it is empty.

    Args:
        name: ``NAME`` or ``STEP/NAME``, each also with ``#OCCURRENCE``; of a task set aside also with its name, or its
            name and key, before the slash.
    """

    def matches(record: Record) -> bool:
        event: Any = record.events[0]
        key = f"{event.name}#{event.occurrence}"
        if record.type == SETTLED_ASIDE:
            owners = {str(event.origin), event.task, f"{event.task} {event.key}"}
            owners |= {apart(event.task, event.key, is_step=is_step) for is_step in (False, True)}
        else:
            owners = {str(event.step)}
        return name in {"", event.name, key, *(f"{owner}/{one}" for owner in owners for one in (event.name, key))}

    return matches


def last_of_effect(reader: EventReader, name: str) -> Record | None:
    """The last news of an effect, whose step may also be named by what it is called: ``order 4712/pay``.

    Args:
        reader: of the log.
        name: as ``is_of_effect`` takes it, or with the name of the step before the slash.
    """
    matches = is_of_effect(name)
    news: dict[tuple[int, str], Record] = {}
    """The last, by the number of a step whose begin is not reached yet, and what it has to be called."""
    for record in backwards(reader, (*NEWS, STEP_BEGUN, TASK_BEGUN)):
        if not is_known(record):
            continue
        event: Any = record.events[0]
        if record.type in {STEP_BEGUN, TASK_BEGUN}:
            for called in _called(event):
                if (found := news.get((event.step, called))) is not None:
                    return found
        if record.type == STEP_BEGUN:
            news = {of: one for of, one in news.items() if of[0] != event.step}
        elif record.type == TASK_BEGUN:
            continue
        elif matches(record):
            return record
        elif record.type != SETTLED_ASIDE:
            for ending in (f"/{event.name}", f"/{event.name}#{event.occurrence}"):
                if name.endswith(ending):
                    news.setdefault((event.step, name.removesuffix(ending)), record)
    return None


def _called(begun: Any) -> tuple[str, ...]:
    """What a step is called, where it is set aside too: by its name, and where others read the same by name and key."""
    if isinstance(begun, TaskBegun):
        return (apart(begun.task, begun.key, is_step=False),)
    key = begun.key
    return (begun.name,) if key is None else (begun.name, apart(keyed_step(begun.name, key).task, key, is_step=True))


def effect_before(reader: EventReader, record: Record) -> Record | None:
    """What an effect had come to before a record of it.

    Returns the record of it before that; where it was forgotten since, the one that says so; the begin of its step
    where this is the first; None where the log keeps none of them, or for a record of another kind.
    """
    if record.type not in EFFECT or not is_known(record):
        return None
    event: Any = record.events[0]
    effect = event.name, event.occurrence
    task = (event.task, event.key) if record.type == SETTLED_ASIDE else None  # while it is set aside; else its step is
    step = None if task else event.step
    begun: Record | None = None
    for earlier in backwards(
        reader, (*EFFECT, STEP_BEGUN, FORGOTTEN, SET_ASIDE, TAKEN_BACK), up_to=record.position - 1
    ):
        if not is_known(earlier):
            continue
        one: Any = earlier.events[0]
        if earlier.type == SET_ASIDE:
            if task == (one.task, one.key):
                step, task = one.step, None
            elif task is None and step == one.step:
                break  # what was done under this number before is another's
        elif earlier.type == SETTLED_ASIDE:
            if (task, effect) == ((one.task, one.key), (one.name, one.occurrence)):
                return earlier
        elif one.step != step:
            continue
        elif earlier.type == STEP_BEGUN:
            begun = begun or earlier
        elif task is not None:
            continue
        elif earlier.type == TAKEN_BACK:
            task = one.task, one.key
        elif earlier.type == FORGOTTEN:
            again: Any = begun.events[0] if begun is not None else one
            return earlier if again.name == one.name else begun
        elif effect == (one.name, one.occurrence):
            return earlier
    return begun
