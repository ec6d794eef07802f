"""The journal's state, and what its events make of it."""

from __future__ import annotations

from typing import Any

import attrs

from eventstore.frozen import frozen
from lrm_actors.domain.journaling.aside import (
    Aside,
    AsideTask,
    TaskEffectSettled,
    TaskForgotten,
    TaskSetAside,
    TaskTakenBack,
)
from lrm_actors.domain.journaling.book import (
    DONE,
    FAILED,
    IN_DOUBT,
    INTENDED,
    NOT_HAPPENED,
    SKIPPED,
    Book,
    Recorded,
    key_of,
)
from lrm_actors.domain.journaling.events import (
    EffectDone,
    EffectFailed,
    EffectIntended,
    EffectSettled,
    EffectsForgotten,
    EffectUnfinished,
    JournalOpened,
    StepAbandoned,
    StepBegun,
    StepCommitted,
    StepInDoubt,
    StepRepeated,
)
from lrm_actors.domain.sleeps import SleepBegun, Sleeps
from lrm_actors.domain.tasks import TaskBegun, TaskCall, Tasks, keyed_step

EFFECT_EVENTS = 500
"""Events of effects from one snapshot to the next, at least: as many more as there are effects, so that a step of very
many does not write all of them again and again."""
STEP_EVENTS = 100
"""Steps committed, steps abandoned, or starts of the process from one snapshot to the next."""


@frozen
class OpenStep:
    """A step begun and not committed."""

    step: int
    name: str
    attempt: int
    """1 for the first time."""
    begun_in_start: int
    """Which start of the process began it."""
    at: int | None = None
    """Which of ``of`` it is; None: its number."""
    of: int | None = None
    """How many steps there will be; None: nobody knows."""
    origin: int | None = None
    """Number of the step that the idempotency keys of its effects are made from, or one below 0; None: its own."""

    @property
    def keyed(self) -> int:
        """Number of the step that the idempotency keys of its effects are made from."""
        return self.origin or self.step


@frozen
class LastStep:
    """The step committed last."""

    step: int
    name: str
    at: int | None = None
    of: int | None = None
    progress: str = ""
    """How far it came, in the host's words."""


@frozen
class JournalState:
    committed: int = 0
    """Number of the last committed step; steps run from 1 without gaps."""
    open: OpenStep | None = None
    start: int = 0
    """How often a process has opened this journal."""
    in_doubt: OpenStep | None = None
    """Begun by an earlier process and never committed: it may have happened or not."""
    failed: OpenStep | None = None
    """The last step, abandoned and not begun again: the next one keeps its number."""
    repeated: int = 0
    """How often a step in doubt was begun again."""
    abandoned: int = 0
    journal_id: str = ""
    """What makes the idempotency keys of this log's effects its own."""
    effects: Book = Book()
    """Of the step that is not over: open, in doubt or failed. Those of committed steps stand in the log."""
    last: LastStep | None = None
    """The step committed last, where it said how far the agent is."""
    sleeps: Sleeps = Sleeps()
    """Of the step that is not over, or the next one."""
    tasks: Tasks = Tasks()
    """Durable functions: the one under way, and the results of those that are done."""
    aside: Aside = Aside()
    """Tasks, and steps with a key, that are neither done nor under way: what is on record of their effects."""
    since: int = 0
    """Events of effects since the last snapshot that was due because of them."""

    @property
    def unfinished(self) -> OpenStep | None:
        """The step that is not over: open, in doubt, or abandoned and not begun again."""
        return self.open or self.in_doubt or self.failed


def evolve(state: JournalState, event: object) -> JournalState:
    """Fold one event."""
    return _evolve_effects(state, event) or _evolve_aside(state, event) or _evolve_steps(state, event)


def snapshot_due(state: JournalState, event: object) -> bool:
    """Whether the state is to be kept with this event."""
    match event:
        case StepCommitted():
            return state.committed % STEP_EVENTS == 0
        case StepAbandoned():
            return state.abandoned % STEP_EVENTS == 0
        case JournalOpened():
            return state.start % STEP_EVENTS == 0
        case EffectIntended() | EffectDone() | EffectFailed() | EffectUnfinished() | EffectSettled():
            return state.since == 0
    return False


def _evolve_effects(state: JournalState, event: object) -> JournalState | None:
    match event:
        case EffectIntended(_, name, occurrence, attempt, policy, given):
            known = state.effects.get(key_of(name, occurrence))
            asked_in = 1 if state.open is None else state.open.attempt
            since = asked_in if known is None or known.stray else known.since
            entry = Recorded(name, occurrence, attempt, INTENDED, given=given, policy=policy, since=since)
        case EffectDone(_, name, occurrence, attempt, result, lost):
            was = state.effects.get(key_of(name, occurrence)) or Recorded(name, occurrence, attempt, INTENDED)
            kept = (was.given, was.policy, was.since, was.stray)
            entry = Recorded(name, occurrence, attempt, DONE, result, lost, *kept)
        case EffectFailed(_, name, occurrence, attempt, error):
            entry = _changed(state, name, occurrence, status=FAILED, attempt=attempt, error=error)
        case EffectUnfinished(_, name, occurrence, attempt, _, why):
            entry = _changed(state, name, occurrence, status=IN_DOUBT, attempt=attempt, error=why)
        case EffectSettled(_, name, occurrence, attempt, outcome, how, result):
            if outcome not in {DONE, SKIPPED, NOT_HAPPENED}:
                # It is intended again, or its step ends, in the event that follows
                return _kept(state, state.effects)
            error = how if outcome == NOT_HAPPENED else ""
            entry = _changed(state, name, occurrence, status=outcome, attempt=attempt, result=result, error=error)
        case EffectsForgotten():
            return attrs.evolve(state, effects=Book())
        case _:
            return None
    return _kept(state, state.effects.put(entry))


def _kept(state: JournalState, effects: Book) -> JournalState:
    since = state.since + 1
    return JournalState(  # written out: ``attrs.evolve`` takes three times as long, and there are two for each effect
        committed=state.committed,
        open=state.open,
        start=state.start,
        in_doubt=state.in_doubt,
        failed=state.failed,
        repeated=state.repeated,
        abandoned=state.abandoned,
        journal_id=state.journal_id,
        effects=effects,
        last=state.last,
        sleeps=state.sleeps,
        tasks=state.tasks,
        aside=state.aside,
        since=since if since < EFFECT_EVENTS + len(effects) + state.aside.effects else 0,
    )


def _changed(state: JournalState, name: str, occurrence: int, **changes: Any) -> Recorded:
    before = state.effects.get(key_of(name, occurrence)) or Recorded(name, occurrence, 1, INTENDED)
    return attrs.evolve(before, **changes)


def _evolve_aside(state: JournalState, event: object) -> JournalState | None:
    match event:
        case TaskSetAside(_, name, attempt, task, key):
            earlier = state.unfinished
            if earlier is None:
                return state
            call = state.tasks.open or TaskCall(task, key, "")
            inside, before = state.sleeps.apart()
            in_doubt = state.in_doubt is not None
            one = AsideTask(call, earlier.keyed, name, attempt, state.effects, inside, in_doubt)
            tasks = state.tasks.begun(None)
            return attrs.evolve(state, aside=state.aside.put(one), effects=Book(), sleeps=before, tasks=tasks)
        case TaskTakenBack(task=task, key=key, origin=origin):
            back = state.aside.of_origin(task, key, origin)
            if back is None:
                return state
            sleeps, aside = state.sleeps.together(back.sleeps), state.aside.without(back.call)
            return attrs.evolve(state, aside=aside, effects=back.effects, sleeps=sleeps)
        case TaskForgotten(task=task, key=key, origin=origin):
            gone = state.aside.of_origin(task, key, origin)
            return state if gone is None else attrs.evolve(state, aside=state.aside.without(gone.call))
        case TaskEffectSettled(task, key, origin, name, occurrence, attempt, outcome, how, result):
            of = state.aside.of_origin(task, key, origin)
            entry = None if of is None else of.effects.get(key_of(name, occurrence))
            if of is None or entry is None:
                return state
            error = how if outcome == NOT_HAPPENED else ""
            entry = attrs.evolve(entry, status=outcome, attempt=attempt, result=result, error=error)
            changed = attrs.evolve(of, effects=of.effects.put(entry))
            return attrs.evolve(state, aside=state.aside.change(changed))
    return None


def _evolve_steps(state: JournalState, event: object) -> JournalState:
    match event:
        case JournalOpened(start, journal_id):
            return attrs.evolve(state, start=start, journal_id=journal_id or state.journal_id)
        case StepInDoubt():
            return attrs.evolve(state, in_doubt=state.open, open=None)
        case StepRepeated():
            return attrs.evolve(state, repeated=state.repeated + 1)
        case StepBegun(step, name, attempt, at, of, origin, key):
            begun = OpenStep(step, name, attempt, state.start, at, of, origin)
            tasks = state.tasks.begun(None if key is None else keyed_step(name, key))
            return attrs.evolve(state, open=begun, in_doubt=None, failed=None, tasks=tasks)
        case TaskBegun(_, task, key, given):
            return attrs.evolve(state, tasks=state.tasks.begun(TaskCall(task, key, given)))
        case SleepBegun():
            return attrs.evolve(state, sleeps=state.sleeps.with_(event))
        case StepCommitted(step, name, result, progress):
            ended = state.open or state.in_doubt
            at, of = (None, None) if ended is None else (ended.at, ended.of)
            last = LastStep(step, name, at, of, progress) if of is not None or progress else None
            after = attrs.evolve(
                state, committed=step, open=None, in_doubt=None, failed=None, last=last, effects=Book()
            )
            call, aside = state.tasks.open, state.aside
            if call is not None:
                aside = aside.without(call)
            return attrs.evolve(after, sleeps=Sleeps(), tasks=state.tasks.committed(step, result), aside=aside)
        case StepAbandoned(mismatch=mismatch):
            abandoned = state.open or state.in_doubt
            after = attrs.evolve(state, open=None, in_doubt=None, failed=abandoned, abandoned=state.abandoned + 1)
            if not mismatch or abandoned is None:
                return after
            return attrs.evolve(after, effects=state.effects.strayed(abandoned.attempt))
    return state
