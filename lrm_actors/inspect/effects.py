"""The effects on record of an agent's steps: those of the step that is not over, and those of the steps before it.

Reads the log only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import attrs

from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from lrm_actors.domain.journal import NAME, JournalState
from lrm_actors.domain.journaling.aside import AsideTask, TaskEffectSettled, TaskForgotten, TaskSetAside, TaskTakenBack
from lrm_actors.domain.journaling.book import DONE, FAILED, IN_DOUBT, INTENDED, NOT_HAPPENED, SKIPPED, Recorded
from lrm_actors.domain.journaling.effects import LEFT, aside_id, effect_id, idempotency_key
from lrm_actors.domain.journaling.events import (
    EffectDone,
    EffectFailed,
    EffectIntended,
    EffectSettled,
    EffectsForgotten,
    EffectUnfinished,
    StepBegun,
)

ORDER = (IN_DOUBT, INTENDED, FAILED, NOT_HAPPENED, SKIPPED, LEFT, DONE)
"""What is to be looked at first."""
TYPES = (
    "journal.step_begun",
    *(f"journal.effect_{what}" for what in ("intended", "done", "failed", "in_doubt", "settled")),
    "journal.effects_forgotten",
    *(f"journal.task_{what}" for what in ("set_aside", "taken_back", "forgotten", "effect_settled")),
)


@frozen
class ListedEffect:
    """An effect of a step."""

    step: int
    step_name: str
    of: Recorded
    key: str
    """Its idempotency key."""
    aside: AsideTask | None = None
    """The task set aside that it is of."""
    called: str = ""
    """What it is called where it is of one."""

    @property
    def effect(self) -> str:
        """What it is called in the whole log."""
        return effect_id(self.step, self.of) if self.aside is None else self.called


def unfinished_effects(state: JournalState, *, alive: bool) -> list[ListedEffect]:
    """The effects of the step that is not over and of the tasks set aside, those in doubt first.

    Args:
        state: of the journal.
        alive: whether a process owns the log. Where none does, an effect that has no end is in doubt, as the next
            process will say.
    """
    return in_order([*_current(state, alive=alive), *_aside(state)])


def _current(state: JournalState, *, alive: bool) -> Iterator[ListedEffect]:
    step = state.unfinished
    if step is not None:
        entries = (entry if alive else _left_behind(entry) for entry in state.effects)
        yield from (_listed(state.journal_id, step.step, step.keyed, step.name, entry) for entry in entries)


def _aside(state: JournalState) -> Iterator[ListedEffect]:
    for task in state.aside.tasks.values():
        for entry in task.effects:
            key = idempotency_key(state.journal_id, task.step, task.name, entry.name, entry.occurrence)
            yield ListedEffect(task.step, task.name, entry, key, task, aside_id(state, task, entry))


def effects_on_record(
    reader: EventReader, state: JournalState, *, alive: bool, step: int | None = None
) -> list[ListedEffect]:
    """Every effect whose events the log still keeps, those in doubt first.

    Args:
        reader: of the log.
        state: of the journal.
        alive: as above.
        step: only of this one.
    """
    current = state.unfinished
    earlier = _earlier(reader, None if current is None else current.step, step, state.journal_id)
    if current is None or step not in {None, current.step}:
        return in_order(earlier if step is not None else [*earlier, *_aside(state)])
    return in_order([*earlier, *_current(state, alive=alive), *(_aside(state) if step is None else ())])


def in_order(effects: Iterable[ListedEffect]) -> list[ListedEffect]:
    """Those in doubt first, and otherwise the newest step first and in it by name and occurrence."""
    return sorted(effects, key=lambda one: (ORDER.index(one.of.status), -one.step, one.of.name, one.of.occurrence))


def _earlier(reader: EventReader, current: int | None, step: int | None, journal_id: str) -> Iterator[ListedEffect]:
    """Those of the steps that are over, which the state does not have any more."""
    found: dict[int, dict[str, Recorded]] = {}
    aside: dict[tuple[str, str, int], dict[str, Recorded]] = {}
    begun: dict[int, StepBegun] = {}
    for record in reader.read_stream(NAME, removed="skip"):
        if record.type in TYPES:
            for event in cast("tuple[Any, ...]", record.events):
                if isinstance(event, StepBegun):
                    begun[event.step] = event
                elif isinstance(event, (TaskSetAside, TaskTakenBack, TaskForgotten, TaskEffectSettled)):
                    _fold_task(found, aside, begun, event)
                else:
                    _fold(found.setdefault(event.step, {}), event)
    for number, entries in found.items():
        if number != current and step in {None, number}:
            begin = begun.get(number)
            name, keyed = ("", number) if begin is None else (begin.name, begin.origin or number)
            for entry in entries.values():
                yield _listed(journal_id, number, keyed, name, entry)


def _fold_task(
    found: dict[int, dict[str, Recorded]],
    aside: dict[tuple[str, str, int], dict[str, Recorded]],
    begun: Mapping[int, StepBegun],
    event: Any,
) -> None:
    begin = begun.get(event.step) if isinstance(event, TaskSetAside) else None
    origin = getattr(event, "origin", None) or (begin.origin if begin is not None else None) or event.step
    key = (event.task, event.key, origin)
    match event:
        case TaskSetAside(step):
            aside[key] = found.pop(step, {})
        case TaskTakenBack(step):
            found[step] = aside.pop(_place(aside, key), {})
        case TaskForgotten():
            aside.pop(_place(aside, key), None)
        case TaskEffectSettled():
            entries = aside.setdefault(_place(aside, key), {})
            entry = _settled(entries, event)
            entries[entry.key] = entry


def _place(aside: Mapping[tuple[str, str, int], object], key: tuple[str, str, int]) -> tuple[str, str, int]:
    """Where a task's effects are; under another origin where the log has let go of the begin that names it."""
    return key if key in aside else next((one for one in aside if one[:2] == key[:2]), key)


def _fold(entries: dict[str, Recorded], event: Any) -> None:
    match event:
        case EffectIntended(_, name, occurrence, attempt, policy, given):
            entry = Recorded(name, occurrence, attempt, INTENDED, given=given, policy=policy)
        case EffectDone(result=result, lost=lost):
            entry = attrs.evolve(_before(entries, event), status=DONE, result=result, error=lost)
        case EffectFailed(error=error):
            entry = attrs.evolve(_before(entries, event), status=FAILED, error=error)
        case EffectUnfinished(why=why):
            entry = attrs.evolve(_before(entries, event), status=IN_DOUBT, error=why)
        case EffectSettled(outcome=outcome) if outcome in ORDER:
            entry = _settled(entries, event)
        case EffectsForgotten():
            entries.clear()
            return
        case _:
            return
    entries[entry.key] = entry


def _settled(entries: dict[str, Recorded], event: EffectSettled | TaskEffectSettled) -> Recorded:
    """As in the journal's state: what made it doubtful is told of no more, but of one that was left so."""
    before = _before(entries, event)
    error = {NOT_HAPPENED: event.how, LEFT: before.error}.get(event.outcome, "")
    return attrs.evolve(before, status=event.outcome, result=event.result, error=error)


def _before(entries: dict[str, Recorded], event: Any) -> Recorded:
    """What was known before; nothing, where the log has let go of it."""
    known = Recorded(event.name, event.occurrence, event.attempt, INTENDED)
    return attrs.evolve(entries.get(known.key, known), attempt=event.attempt)


def _left_behind(entry: Recorded) -> Recorded:
    if entry.status != INTENDED:
        return entry
    return attrs.evolve(entry, status=IN_DOUBT, error="its process ended before its function did")


def _listed(journal_id: str, step: int, keyed: int, step_name: str, entry: Recorded) -> ListedEffect:
    key = idempotency_key(journal_id, keyed, step_name, entry.name, entry.occurrence)
    return ListedEffect(step, step_name, entry, key)
