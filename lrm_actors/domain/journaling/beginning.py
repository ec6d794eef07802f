"""Decides on the begin of a step: what is on record of the one before it is taken up, set aside, or forgotten."""

from __future__ import annotations

from itertools import count
from typing import Any

from lrm_actors.domain.behavior import Decision, then
from lrm_actors.domain.journaling import effects
from lrm_actors.domain.journaling.aside import AsideTask, TaskSetAside, TaskTakenBack
from lrm_actors.domain.journaling.book import FAILED, FINISHED, UNFINISHED
from lrm_actors.domain.journaling.commands import BeginStep
from lrm_actors.domain.journaling.effects import NAME
from lrm_actors.domain.journaling.events import EffectsForgotten, StepBegun, StepRepeated
from lrm_actors.domain.journaling.state import JournalState, OpenStep
from lrm_actors.domain.tasks import TaskBegun, TaskCall, check_same
from lrm_actors.errors import JournalMismatch, StepOrder

APART = 10**12
"""More than the number of any step."""
NAMED = 5
"""Effects that an error names, at most."""
TOO_MANY = "too much is set aside"


def begin(state: JournalState, command: BeginStep) -> Decision:
    """Begin a step, with what is on record of it.

    Raises:
        StepOrder: another one is open.
        JournalMismatch: it is not the one whose effects are on record, and those may not be left.
        TaskConflict: a durable function would be begun again with something else than before.
    """
    name, call, step = command.name, command.task, state.committed + 1
    if state.open is not None:
        raise StepOrder(f"step {state.open.step} ({state.open.name}) is still open, {name!r} cannot begin", actor=NAME)
    earlier = state.in_doubt or state.failed
    again = earlier is not None and earlier.name == name and not _is_another(state.tasks.open, call)
    left = earlier if earlier is not None and not again and len(state.effects) else None
    back = None if again and len(state.effects) else state.aside.find(call)
    if again and len(state.effects):
        check_same(state.tasks.open, call, step)
    if back is not None:
        check_same(back.call, call, back.step)
    events = [] if left is None else _leave(state, left, command, back)
    set_aside = bool(events) and isinstance(events[0], TaskSetAside)
    repeated = (state.in_doubt is not None and not set_aside) or (back is not None and back.in_doubt)
    attempt = 1 + max(0 if earlier is None else earlier.attempt, 0 if back is None else back.attempt)
    if back is not None:
        origin: int | None = back.step
    else:
        origin = earlier.origin if earlier is not None and again else _own_keys(state, left, name, step)
    if repeated:
        events.append(StepRepeated(step, name, attempt))
    key = call.key if call is not None and call.is_step else None
    events.append(StepBegun(step, name, attempt, command.at, command.of, origin, key))
    if call is not None and not call.is_step:
        events.append(TaskBegun(step, call.task, call.key, call.given))
    if call is not None and back is not None:
        book = back.effects
        finished, in_doubt = book.count(*FINISHED), book.count(*UNFINISHED)
        events.append(TaskTakenBack(step, name, call.task, call.key, back.step, finished, in_doubt))
    lost = sum(event.finished for event in events if isinstance(event, EffectsForgotten))
    reply: dict[str, Any] = {"step": step, "attempt": attempt, "repeated": repeated}
    if origin is not None:
        reply["origin"] = origin
    if lost:
        reply["forgotten"] = lost
    return then(*events, reply=reply)


def _is_another(left: TaskCall | None, call: TaskCall | None) -> bool:
    """Whether two of one name are different calls all the same: "send to" of "Ada" is no "send" of "to Ada".

    And a plain step with a key is no task.
    """
    return left is not None and call is not None and _which(left) != _which(call)


def _which(call: TaskCall) -> tuple[str, str, bool]:
    return call.task, call.key, call.is_step


def _own_keys(state: JournalState, left: OpenStep | None, name: str, step: int) -> int | None:
    """What the idempotency keys of a new step are made from so that no other has the same; None: its number.

    Several have one number after each other as long as none is done. Where one of them also reads the same, the number
    is negative.
    """
    taken = {one.step for one in state.aside.tasks.values() if one.name == name}
    if left is not None and left.name == name:
        taken.add(left.keyed)
    if step not in taken:
        return None
    return next(one for one in count(-step, -APART) if one not in taken)


def _leave(state: JournalState, earlier: OpenStep, command: BeginStep, back: AsideTask | None) -> list[object]:
    """Go on from a step with another: what is on record of the effects of the one is not for the other.

    Raises:
        JournalMismatch: the step is in doubt and its effects were to be taken up, or one of them is in doubt.
    """
    name, call = command.name, state.tasks.open
    if call is not None and (state.in_doubt is None or _is_known(call, command.task, back)):
        return _set_aside(state, earlier, call, back)
    doubtful = state.effects.of(*UNFINISHED)
    if state.in_doubt is not None or doubtful:
        named = [effects.effect_id(earlier.step, entry) for entry in doubtful or state.effects.of(*FINISHED, FAILED)]
        what = "in doubt" if doubtful else "on record"
        about = f"step {earlier.step} was begun as {earlier.name!r}, and begins as {name!r} now"
        raise JournalMismatch(f"{about}; {what} of it: {listed(named)}", earlier.step, tuple(named))
    return [effects.forgotten(earlier, state.effects, f"the step is begun as {name!r} now")]


def _is_known(left: TaskCall, call: TaskCall | None, back: AsideTask | None) -> bool:
    """Whether a task cannot be the one that a dead process left in doubt, under the new name that its code has now."""
    return back is not None or (call is not None and call.task == left.task)


def _set_aside(state: JournalState, earlier: OpenStep, call: TaskCall, back: AsideTask | None) -> list[object]:
    finished, in_doubt = state.effects.count(*FINISHED), state.effects.count(*UNFINISHED)
    one = AsideTask(call, earlier.keyed, earlier.name, earlier.attempt, state.effects)
    aside = state.aside if back is None else state.aside.without(back.call)
    event = TaskSetAside(earlier.step, earlier.name, earlier.attempt, call.task, call.key, finished, in_doubt)
    return [event, *(going.forgotten(TOO_MANY) for going in aside.put(one).too_many())]


def listed(names: list[str]) -> str:
    """Some of these names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
