"""The effects on record of an agent's steps: those of the step that is not over, and those of the steps before it.

Reads the log only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import attrs

from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from eventstore.records import Instant
from lrm_actors.domain.journal import NAME, JournalState
from lrm_actors.domain.journaling.book import DONE, FAILED, IN_DOUBT, INTENDED, NOT_HAPPENED, SKIPPED, Recorded
from lrm_actors.domain.journaling.effects import LEFT, effect_id, idempotency_key
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
)


@frozen
class ListedEffect:
    """An effect of a step."""

    step: int
    step_name: str
    of: Recorded
    key: str
    """Its idempotency key."""

    @property
    def effect(self) -> str:
        """What it is called in the whole log."""
        return effect_id(self.step, self.of)


def unfinished_effects(state: JournalState, *, alive: bool) -> list[ListedEffect]:
    """The effects of the step that is not over, those in doubt first.

    Args:
        state: of the journal.
        alive: whether a process owns the log. Where none does, an effect that has no end is in doubt, as the next
            process will say.
    """
    step = state.unfinished
    if step is None:
        return []
    entries = (entry if alive else _left_behind(entry) for entry in state.effects)
    return in_order(_listed(state.journal_id, step.step, step.name, entry) for entry in entries)


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
        return in_order(earlier)
    return in_order([*earlier, *unfinished_effects(state, alive=alive)])


def sleeps_left(state: JournalState, now: Instant) -> dict[str, float]:
    """The sleeps that are not over, each with the seconds that are left of it."""
    left = {key: sleep.until.remaining_s(now) for key, sleep in state.sleeps.newest.items()}
    return {key.partition(" ")[2]: left_s for key, left_s in left.items() if left_s > 0}


def in_order(effects: Iterable[ListedEffect]) -> list[ListedEffect]:
    """Those in doubt first, and otherwise the newest step first and in it by name and occurrence."""
    return sorted(effects, key=lambda one: (ORDER.index(one.of.status), -one.step, one.of.name, one.of.occurrence))


def _earlier(reader: EventReader, current: int | None, step: int | None, journal_id: str) -> Iterator[ListedEffect]:
    """Those of the steps that are over, which the state does not have any more."""
    found: dict[int, dict[str, Recorded]] = {}
    names: dict[int, str] = {}
    for record in reader.read_stream(NAME):
        if record.type in TYPES:
            for event in cast("tuple[Any, ...]", record.events):
                number = event.step
                if number != current and step in {None, number}:
                    if isinstance(event, StepBegun):
                        names[number] = event.name
                    else:
                        _fold(found.setdefault(number, {}), event)
    for number, entries in found.items():
        for entry in entries.values():
            yield _listed(journal_id, number, names.get(number, ""), entry)


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
        case EffectSettled(outcome=outcome, result=result) if outcome in ORDER:
            entry = attrs.evolve(_before(entries, event), status=outcome, result=result)
        case EffectsForgotten():
            entries.clear()
            return
        case _:
            return
    entries[entry.key] = entry


def _before(entries: dict[str, Recorded], event: Any) -> Recorded:
    """What was known before; nothing, where the log has let go of it."""
    known = Recorded(event.name, event.occurrence, event.attempt, INTENDED)
    return attrs.evolve(entries.get(known.key, known), attempt=event.attempt)


def _left_behind(entry: Recorded) -> Recorded:
    if entry.status != INTENDED:
        return entry
    return attrs.evolve(entry, status=IN_DOUBT, error="its process ended before its function did")


def _listed(journal_id: str, step: int, step_name: str, entry: Recorded) -> ListedEffect:
    key = idempotency_key(journal_id, step, step_name, entry.name, entry.occurrence)
    return ListedEffect(step, step_name, entry, key)
