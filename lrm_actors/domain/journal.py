"""The agent's own steps: begun, then committed with their result, so that a resumed agent goes on where it was."""

from __future__ import annotations

from typing import Any

import attrs

from eventstore.events import event
from eventstore.frozen import frozen
from lrm_actors.domain.behavior import NOTHING, Command, Context, Decision, Spec, then
from lrm_actors.errors import StepOrder

NAME = "journal"


@frozen
class OpenStep:
    """A step begun and not committed."""

    step: int
    name: str
    attempt: int
    """1 for the first time."""
    begun_in_start: int
    """Which start of the process began it."""


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


# Commands


@frozen
class OpenJournal(Command):
    """A process takes the journal up. The reply is a dict: committed, in_doubt (step, name, attempt) or None."""


@frozen
class BeginStep(Command):
    """The reply is a dict: step, attempt, repeated (bool: it was in doubt).

    Beginning while a step is open is refused with ``StepOrder``. ``attempt`` counts on after an abandoned step as after
    one in doubt: either may have had effects outside.
    """

    name: str


@frozen
class CommitStep(Command):
    """The open step is done; or the step in doubt is, as the host found out.

    Any other number is refused with ``StepOrder``. The reply is a dict: step.
    """

    step: int
    result: Any
    """A JSON value."""


@frozen
class AbandonStep(Command):
    """The step failed and will be begun again, or never; or the step in doubt is known not to have happened.

    Any other number is refused with ``StepOrder``. The reply is a dict: step.
    """

    step: int
    error: str


# Events


@event("journal.opened", 1)
class JournalOpened:
    start: int


@event("journal.step_in_doubt", 1)
class StepInDoubt:
    step: int
    name: str
    attempt: int


@event("journal.step_begun", 1)
class StepBegun:
    step: int
    name: str
    attempt: int


@event("journal.step_repeated", 1)
class StepRepeated:
    """A step in doubt is begun again: what it does outside may happen twice."""

    step: int
    name: str
    attempt: int


@event("journal.step_committed", 1)
class StepCommitted:
    step: int
    name: str
    result: Any


@event("journal.step_abandoned", 1)
class StepAbandoned:
    step: int
    name: str
    error: str


def decide(state: JournalState, command: Command, ctx: Context) -> Decision:
    """Decide on one command.

    Raises:
        StepOrder: a step would begin, be committed or be abandoned out of order.
    """
    match command:
        case OpenJournal():
            return _open(state)
        case BeginStep(name):
            return _begin(state, name)
        case CommitStep(number, result):
            step = _unfinished(state, number, "commit")
            return then(StepCommitted(step.step, step.name, result), reply={"step": number})
        case AbandonStep(number, error):
            step = _unfinished(state, number, "abandon")
            return then(StepAbandoned(step.step, step.name, error), reply={"step": number})
    return NOTHING


def evolve(state: JournalState, event: object) -> JournalState:
    """Fold one event."""
    match event:
        case JournalOpened(start):
            return attrs.evolve(state, start=start)
        case StepInDoubt():
            return attrs.evolve(state, in_doubt=state.open, open=None)
        case StepRepeated():
            return attrs.evolve(state, repeated=state.repeated + 1)
        case StepBegun(step, name, attempt):
            begun = OpenStep(step, name, attempt, state.start)
            return attrs.evolve(state, open=begun, in_doubt=None, failed=None)
        case StepCommitted(step):
            return attrs.evolve(state, committed=step, open=None, in_doubt=None, failed=None)
        case StepAbandoned():
            abandoned = state.open or state.in_doubt
            return attrs.evolve(state, open=None, in_doubt=None, failed=abandoned, abandoned=state.abandoned + 1)
    return state


def spec() -> Spec[JournalState]:
    """The journal."""
    return Spec(NAME, JournalState(), decide, evolve)


def _open(state: JournalState) -> Decision:
    opened = JournalOpened(state.start + 1)
    doubtful = state.open or state.in_doubt
    reply = {
        "committed": state.committed,
        "in_doubt": None if doubtful is None else _words(doubtful),
    }
    if state.open is None:
        return then(opened, reply=reply)
    return then(opened, StepInDoubt(state.open.step, state.open.name, state.open.attempt), reply=reply)


def _begin(state: JournalState, name: str) -> Decision:
    if state.open is not None:
        raise StepOrder(f"step {state.open.step} ({state.open.name}) is still open, {name!r} cannot begin", actor=NAME)
    earlier = state.in_doubt or state.failed
    attempt = 1 if earlier is None else earlier.attempt + 1
    step = state.committed + 1
    begun = StepBegun(step, name, attempt)
    reply = {"step": step, "attempt": attempt, "repeated": state.in_doubt is not None}
    if state.in_doubt is None:
        return then(begun, reply=reply)
    return then(StepRepeated(step, name, attempt), begun, reply=reply)


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
