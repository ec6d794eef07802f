"""Decides on the effects within a step: intended before their function is called, finished after, in doubt between.

After the usual way to make a side effect count once: its intent is on record before it, its end after, and whoever
finds the one without the other asks what became of it (Gray and Reuter, Transaction Processing, 1993, section 4.2.4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lrm_actors.domain.behavior import NOTHING, Decision, then
from lrm_actors.domain.journaling.aside import AsideTask, TaskEffectSettled
from lrm_actors.domain.journaling.book import (
    DONE,
    FINISHED,
    IN_DOUBT,
    INTENDED,
    NOT_HAPPENED,
    SKIPPED,
    UNFINISHED,
    Book,
    Recorded,
    key_of,
)
from lrm_actors.domain.journaling.commands import (
    DoubtEffect,
    FailEffect,
    FinishEffect,
    ForgetEffects,
    IntendEffect,
    SettleEffect,
)
from lrm_actors.domain.journaling.events import (
    EffectDone,
    EffectFailed,
    EffectIntended,
    EffectSettled,
    EffectsForgotten,
    EffectUnfinished,
)
from lrm_actors.errors import CommandRefused, NoSuchEffect, StepOrder, TooManyEffects

if TYPE_CHECKING:
    from lrm_actors.domain.journaling.state import JournalState, OpenStep

NAME = "journal"
MAX_EFFECTS = 100_000
"""Effects on record of one step, at most."""
MOST_NAMED = 3
"""Ids that an error proposes, at most."""
LATE = "its function ended after its step"
REPEATED, LEFT = "repeated", "left"
"""How an effect in doubt is settled when nobody knows: it is done again, or its step is committed without it."""

ENDED_BEFORE = "its process ended before its function did"
STEP_ENDED = "its step ended before its function did"


def idempotency_key(journal_id: str, step: int, step_name: str, name: str, occurrence: int) -> str:
    """What an effect is known by outside, the same at every attempt, in every process and after every restore.

    A UUID of version 8 (RFC 9562), so that it fits wherever a key is asked for.
    """
    words = (journal_id, str(step), step_name, name, str(occurrence))
    whole = b"".join(f"{len(data)}:".encode() + data for data in (word.encode() for word in words))
    bits = int.from_bytes(hashlib.blake2b(whole, digest_size=16, person=b"lrm effect").digest())
    bits = bits & ~(0xF << 76) | 8 << 76
    bits = bits & ~(0b11 << 62) | 0b10 << 62
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def effect_id(step: int, entry: Recorded) -> str:
    """What an effect is called in the whole log, for people: ``STEP/NAME#OCCURRENCE``."""
    return f"{step}/{entry.key}"


def intend(state: JournalState, command: IntendEffect) -> Decision:
    """Put on record that an effect is about to be carried out.

    Raises:
        StepOrder: its step is not open.
        CommandRefused: it is finished.
        TooManyEffects: the step has as many as it may.
    """
    step = open_step(state, command.step, command.of)
    book, events = state.effects, list[object]()
    if command.forget and len(book):
        events.append(forgotten(step, book, "forgotten by the step itself"))
        book = Book()
    entry = book.get(key_of(command.name, command.occurrence))
    attempt = 1
    if entry is None:
        if len(book) >= MAX_EFFECTS:
            raise TooManyEffects(step.step, step.name, MAX_EFFECTS)
    elif entry.status in FINISHED:
        about = f"effect {effect_id(step.step, entry)} is finished, and is not carried out again"
        raise CommandRefused(about, actor=NAME)
    else:
        attempt = entry.attempt + 1
        if entry.status == INTENDED:
            events.append(unfinished(step.step, entry, "it was asked for again before its function ended"))
        if entry.status in UNFINISHED:
            found = NOT_HAPPENED if command.settled == "probed" else REPEATED
            events.append(settled(step.step, entry, found, command.settled))
    events.append(
        EffectIntended(command.step, command.name, command.occurrence, attempt, command.policy, command.given)
    )
    return then(*events, reply={"attempt": attempt})


def end(state: JournalState, command: FinishEffect | FailEffect | DoubtEffect) -> Decision:
    """Put on record what came of an effect. What is no longer of interest is passed over."""
    step, name, occurrence, attempt = command.step, command.name, command.occurrence, command.attempt
    owner = state.unfinished
    if command.of and (owner is None or (owner.step, owner.name) != (step, command.of)):
        return _end_aside(state, command)
    entry = state.effects.get(key_of(name, occurrence)) if owner is not None and owner.step == step else None
    if entry is None or entry.attempt != attempt or entry.status in FINISHED:
        return NOTHING  # told twice, or settled or forgotten meanwhile
    if isinstance(command, DoubtEffect):  # also of one that failed: it may have happened all the same
        return NOTHING if entry.status == IN_DOUBT else then(unfinished(step, entry, command.error))
    if entry.status not in UNFINISHED:
        return NOTHING
    if isinstance(command, FinishEffect):
        return then(EffectDone(step, name, occurrence, attempt, command.result, command.lost))
    return then(EffectFailed(step, name, occurrence, attempt, command.error))


def _end_aside(state: JournalState, command: FinishEffect | FailEffect | DoubtEffect) -> Decision:
    """What came of an effect whose step is over: it counts for the task that it is of, if that is set aside."""
    if not isinstance(command, FinishEffect) or command.lost:
        return NOTHING
    key, expected = key_of(command.name, command.occurrence), (IN_DOUBT, command.attempt)
    entries = ((task, task.effects.get(key)) for task in state.aside.called(command.of))
    found = [(task, one) for task, one in entries if one is not None and (one.status, one.attempt) == expected]
    if len(found) != 1:  # where several read the same, nobody knows whose it is: they stay in doubt
        return NOTHING
    ((task, entry),) = found
    call, which = task.call, (entry.name, entry.occurrence, entry.attempt)
    return then(TaskEffectSettled(call.task, call.key, task.step, *which, DONE, LATE, command.result))


def settle(state: JournalState, command: SettleEffect) -> Decision:
    """Put on record what somebody found out of an effect in doubt.

    Raises:
        NoSuchEffect: neither the step that is not over nor a task set aside has one of this name, or it is in no doubt.
        CommandRefused: there is no such outcome.
    """
    if command.outcome not in {DONE, NOT_HAPPENED, SKIPPED}:
        about = f"an effect is settled as {DONE}, {NOT_HAPPENED} or {SKIPPED}, not as {command.outcome!r}"
        raise CommandRefused(about, actor=NAME)
    try:
        step, entry = find(state, command.effect)
    except NoSuchEffect:
        return _settle_aside(state, command, *find_aside(state, command.effect))
    _check_doubt(command, entry)
    event = settled(step.step, entry, command.outcome, command.how, command.result)
    return then(event, reply={"effect": effect_id(step.step, entry), "step": step.step, "status": command.outcome})


def _settle_aside(state: JournalState, command: SettleEffect, task: AsideTask, entry: Recorded) -> Decision:
    _check_doubt(command, entry)
    kept = None if command.outcome not in FINISHED else command.result
    call, which = task.call, (entry.name, entry.occurrence, entry.attempt)
    event = TaskEffectSettled(call.task, call.key, task.step, *which, command.outcome, command.how, kept)
    return then(event, reply={"effect": aside_id(state, task, entry), "step": task.step, "status": command.outcome})


def _check_doubt(command: SettleEffect, entry: Recorded) -> None:
    lost = entry.status == DONE and bool(entry.error) and command.outcome != NOT_HAPPENED
    if entry.status != IN_DOUBT and not lost:
        raise NoSuchEffect(command.effect, f"it is {said(entry)}, and in no doubt")


def forget(state: JournalState, command: ForgetEffects) -> Decision:
    """Let go of what is on record of the effects of a step that is not open, or of a task set aside.

    Raises:
        StepOrder: the step is open, or has nothing on record; or no task set aside is called so.
    """
    if command.task:
        return _forget_aside(state, command)
    step = state.unfinished
    if state.open is not None and state.open.step == command.step:
        about = f"step {command.step} ({state.open.name}) is open"
        raise StepOrder(about, actor=NAME, hint="write step.forget_effects() inside it, or wait until it has ended")
    if step is None or step.step != command.step or not len(state.effects):
        about = f"step {command.step} has no effects on record"
        raise StepOrder(about, actor=NAME, hint="'lrm effects' lists those of the step that is not over")
    event = forgotten(step, state.effects, command.why)
    reply = {"step": step.step, "name": step.name, "forgotten": len(state.effects), "in_doubt": event.in_doubt}
    return then(event, reply=reply)


def _forget_aside(state: JournalState, command: ForgetEffects) -> Decision:
    named = [one for one in state.aside.tasks.values() if command.task in {one.name, one.apart}]
    if len(named) > 1:  # several read so
        named = [one for one in named if command.task == one.apart] or named
    if len(named) == 1:
        (task,) = named
        event = task.forgotten(command.why)
        reply = {"step": task.step, "name": task.name, "forgotten": len(task.effects), "in_doubt": event.in_doubt}
        return then(event, reply=reply)
    if named:
        about = f"{len(named)} steps set aside read {command.task!r}"
        raise StepOrder(about, actor=NAME, hint=f"say which: {' or '.join(repr(one.apart) for one in named)}")
    hint = "'lrm effects' lists what is set aside, and what the step that is not over has"
    raise StepOrder(f"nothing called {command.task!r} is set aside", actor=NAME, hint=hint)


def find(state: JournalState, effect: str) -> tuple[OpenStep, Recorded]:
    """An effect by its id, ``STEP/NAME#OCCURRENCE``; the step, by number or name, and ``#1``, may be left out.

    Raises:
        NoSuchEffect: the step that is not over has none of this name.
    """
    step = state.unfinished
    if step is None:
        raise NoSuchEffect(effect, "every step is over")
    names = [effect, effect.removeprefix(f"{step.step}/")]
    if not state.aside.called(step.name):  # else it is by its number that this one is told from those
        names.append(effect.removeprefix(f"{step.name}/"))
    for key in (*names, *(key_of(name, 1) for name in names)):
        entry = state.effects.get(key)
        if entry is not None:
            return step, entry
    raise NoSuchEffect(effect, f"step {step.step} ({step.name}) has none of this name on record")


def find_aside(state: JournalState, effect: str) -> tuple[AsideTask, Recorded]:
    """An effect of a task set aside: ``STEP NAME/NAME#OCCURRENCE``. The step's name may be left out for one in doubt.

    Where several steps read the same, ``aside_name`` says what each is called.

    Raises:
        NoSuchEffect: there is none, or several that may be meant.
    """
    named, doubtful = list[tuple[AsideTask, Recorded]](), list[tuple[AsideTask, Recorded]]()
    for task in state.aside.tasks.values():
        if (entry := _within(task, effect.removeprefix(f"{task.apart}/"), effect)) is not None:
            return task, entry
        if (entry := _within(task, effect.removeprefix(f"{task.name}/"), effect)) is not None:
            named.append((task, entry))
        elif (entry := _within(task, effect, "")) is not None and entry.status == IN_DOUBT:
            doubtful.append((task, entry))
    found = named or doubtful
    step = state.unfinished
    if named and step is not None and any(task.name == step.name for task, _ in named):
        about = f"step {step.step}, which is not over, reads the same as one set aside"
        raise NoSuchEffect(effect, f"{about}: say {aside_id(state, *named[0])!r}, or {step.step} in place of its name")
    if len(found) == 1:
        return found[0]
    if found:
        ids = " or ".join(repr(aside_id(state, *one)) for one in found[:MOST_NAMED])
        raise NoSuchEffect(effect, f"{len(found)} steps set aside have one: say {ids}")
    where = "every step is over" if step is None else f"step {step.step} ({step.name}) has none of this name on record"
    raise NoSuchEffect(effect, where)


def _within(task: AsideTask, own: str, whole: str) -> Recorded | None:
    """An effect by its name in its step; None where what was left out of ``whole`` for that is nothing."""
    if own == whole:
        return None
    return task.effects.get(own) or task.effects.get(key_of(own, 1))


def aside_id(state: JournalState, task: AsideTask, entry: Recorded) -> str:
    """What an effect of a task set aside is called: it has no number while it is, so the name of its step stands."""
    return f"{aside_name(state, task)}/{entry.key}"


def aside_name(state: JournalState, task: AsideTask) -> str:
    """What the step of a task set aside is called, so that no other is: its name, unless others read the same."""
    step = state.unfinished
    reads_like_others = len(state.aside.called(task.name)) > 1 or (step is not None and step.name == task.name)
    return task.apart if reads_like_others else task.name


def doubtful(state: JournalState, step: int, why: str) -> Iterable[EffectUnfinished]:
    """Each effect without an end, put in doubt."""
    return [unfinished(step, entry, why) for entry in state.effects.of(INTENDED)]


def left(state: JournalState, step: int) -> Iterable[EffectSettled]:
    """Each effect that is in doubt as its step is committed."""
    return [settled(step, entry, LEFT, "step ended") for entry in state.effects.of(IN_DOUBT)]


def open_step(state: JournalState, number: int, name: str = "") -> OpenStep:
    """The open step, if it has this number, and this name where one is given.

    Raises:
        StepOrder: it has not, or none is open.
    """
    step = state.open
    if step is None or step.step != number or name not in {"", step.name}:
        raise StepOrder(f"step {number} is not open: it can have no effects now", actor=NAME, hint="begin a step first")
    return step


def unfinished(step: int, entry: Recorded, why: str) -> EffectUnfinished:
    """An effect comes in doubt."""
    return EffectUnfinished(step, entry.name, entry.occurrence, entry.attempt, entry.policy, why)


def settled(step: int, entry: Recorded, outcome: str, how: str, result: Any = None) -> EffectSettled:
    """An effect is in doubt no more."""
    kept = None if outcome not in FINISHED else result
    return EffectSettled(step, entry.name, entry.occurrence, entry.attempt, outcome, how, kept)


def forgotten(step: OpenStep, book: Book, why: str) -> EffectsForgotten:
    """All effects of a step are let go."""
    return EffectsForgotten(step.step, step.name, book.count(*FINISHED), book.count(*UNFINISHED), why)


def said(entry: Recorded) -> str:
    """What is on record of an effect, in a word or two."""
    return entry.status.replace("_", " ")
