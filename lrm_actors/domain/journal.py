"""The agent's own steps: begun, then committed with their result, so that a resumed agent goes on where it was.

What a step does outside stands in it as effects; see ``journaling.effects``.
"""

from __future__ import annotations

from typing import Any

from lrm_actors.domain import sleeps
from lrm_actors.domain.behavior import NOTHING, Command, Context, Decision, Spec, then
from lrm_actors.domain.journaling import effects
from lrm_actors.domain.journaling.aside import TaskEffectSettled, TaskForgotten, TaskSetAside, TaskTakenBack
from lrm_actors.domain.journaling.beginning import begin, listed
from lrm_actors.domain.journaling.book import INTENDED
from lrm_actors.domain.journaling.commands import (
    AbandonStep,
    BeginStep,
    CommitStep,
    DoubtEffect,
    FailEffect,
    FinishEffect,
    ForgetEffects,
    IntendEffect,
    OpenJournal,
    SettleEffect,
)
from lrm_actors.domain.journaling.effects import NAME
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
from lrm_actors.domain.journaling.state import JournalState, LastStep, OpenStep, evolve, snapshot_due
from lrm_actors.domain.sleeps import BeginSleep
from lrm_actors.errors import StepOrder

__all__ = [
    "NAME",
    "AbandonStep",
    "BeginStep",
    "CommitStep",
    "DoubtEffect",
    "EffectDone",
    "EffectFailed",
    "EffectIntended",
    "EffectSettled",
    "EffectUnfinished",
    "EffectsForgotten",
    "FailEffect",
    "FinishEffect",
    "ForgetEffects",
    "IntendEffect",
    "JournalOpened",
    "JournalState",
    "LastStep",
    "OpenJournal",
    "OpenStep",
    "SettleEffect",
    "StepAbandoned",
    "StepBegun",
    "StepCommitted",
    "StepInDoubt",
    "StepRepeated",
    "TaskEffectSettled",
    "TaskForgotten",
    "TaskSetAside",
    "TaskTakenBack",
    "decide",
    "evolve",
    "spec",
]

COMMANDS: tuple[type[Command], ...] = (
    OpenJournal,
    BeginStep,
    CommitStep,
    AbandonStep,
    IntendEffect,
    FinishEffect,
    FailEffect,
    DoubtEffect,
    SettleEffect,
    ForgetEffects,
    BeginSleep,
)


def decide(state: JournalState, command: Command, ctx: Context) -> Decision:
    """Decide on one command.

    Raises:
        StepOrder: a step would begin, be committed or be abandoned out of order, or have an effect while not open.
        JournalMismatch: a step would begin that is not the one whose effects are on record.
        TaskConflict: a durable function would be begun again with something else than before.
        CommandRefused, NoSuchEffect, TooManyEffects: see ``journaling.effects``.
    """
    match command:
        case IntendEffect():
            return effects.intend(state, command)
        case FinishEffect() | FailEffect() | DoubtEffect():
            return effects.end(state, command)
        case OpenJournal():
            return _open(state, ctx)
        case BeginStep():
            return begin(state, command)
        case CommitStep():
            return _commit(state, command)
        case AbandonStep(number, error, mismatch):
            step = _unfinished(state, number, "abandon")
            doubtful = effects.doubtful(state, number, effects.STEP_ENDED)
            return then(*doubtful, StepAbandoned(step.step, step.name, error, mismatch), reply={"step": number})
        case BeginSleep():
            number = state.committed + 1
            return sleeps.begin(state.sleeps, command, ctx, step=number, is_open=state.open is not None)
        case SettleEffect():
            return effects.settle(state, command)
        case ForgetEffects():
            return effects.forget(state, command)
    return NOTHING


def spec() -> Spec[JournalState]:
    """The journal."""
    return Spec(NAME, JournalState(), decide, evolve, snapshot_every=0, snapshot_when=snapshot_due, commands=COMMANDS)


def _open(state: JournalState, ctx: Context) -> Decision:
    opened = JournalOpened(state.start + 1, "" if state.journal_id else ctx.new_id())
    doubtful = state.open or state.in_doubt
    reply = {
        "committed": state.committed,
        "in_doubt": None if doubtful is None else _words(doubtful),
    }
    if state.open is None:
        return then(opened, reply=reply)
    step = state.open
    in_doubt = effects.doubtful(state, step.step, effects.ENDED_BEFORE)
    return then(opened, StepInDoubt(step.step, step.name, step.attempt), *in_doubt, reply=reply)


def _commit(state: JournalState, command: CommitStep) -> Decision:
    number = command.step
    step = _unfinished(state, number, "commit")
    running = state.effects.of(INTENDED)
    if running:
        named = listed([effects.effect_id(number, entry) for entry in running])
        about = f"cannot commit step {number} ({step.name}): {named} has no end yet"
        raise StepOrder(about, actor=NAME, hint="await every effect before the step ends")
    events: list[object] = list(effects.left(state, number))
    if command.forget and len(state.effects):
        events.append(effects.forgotten(step, state.effects, "forgotten by the step itself"))
    events.append(StepCommitted(step.step, step.name, command.result, command.progress))
    return then(*events, reply={"step": number})


def _unfinished(state: JournalState, number: int, verb: str) -> OpenStep:
    """The step that is open or in doubt, if it has this number."""
    step = state.open or state.in_doubt
    if step is None:
        raise StepOrder(f"cannot {verb} step {number}: no step is open", actor=NAME, hint="begin the step first")
    if step.step != number:
        raise StepOrder(f"cannot {verb} step {number}: step {step.step} ({step.name}) is the open one", actor=NAME)
    return step


def _words(step: OpenStep) -> dict[str, Any]:
    return {"step": step.step, "name": step.name, "attempt": step.attempt}
