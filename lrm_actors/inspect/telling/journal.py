"""What events say: the journal's: steps, effects, tasks and sleeps."""

from __future__ import annotations

from typing import Any

from lrm_actors.inspect.telling.words import says, short, tells, with_reason

says("journal.opened", "process {start} took the journal up")
says("journal.step_begun", "step {step} began: {name}, attempt {attempt}")
says("journal.step_committed", "step {step} is done: {name}")
says("journal.step_abandoned", "step {step} failed: {name}: {error}")
says("journal.step_in_doubt", "step {step} was begun by an earlier process and may have happened: {name}")
says("journal.step_repeated", "step {step} begins again, and may happen twice: {name}, attempt {attempt}")
says("journal.effect_intended", "effect {step}/{name}#{occurrence} is about to be carried out, attempt {attempt}")
says("journal.effect_failed", "effect {step}/{name}#{occurrence} failed: {error}")
says("journal.effect_in_doubt", "effect {step}/{name}#{occurrence} may have happened or not: {why}; policy: {policy}")
says(
    "journal.task_set_aside",
    "{name} waits until it begins again, with {finished} effects finished, {in_doubt} in doubt",
)


@tells("journal.task_taken_back")
def _(event: Any) -> str:
    doubt = f", {event.in_doubt} in doubt" if event.in_doubt else ""
    return f"{short(event.name)} goes on in step {event.step} with {event.finished} effects finished{doubt}"


@tells("journal.task_forgotten")
def _(event: Any) -> str:
    doubt = f" and {event.in_doubt} in doubt" if event.in_doubt else ""
    return with_reason(f"{short(event.name)} forgot {event.finished} finished effects{doubt}", event.why)


@tells("journal.task_effect_settled")
def _(event: Any) -> str:
    outcome = _OUTCOMES.get(event.outcome, event.outcome)
    whose = f"of {short(event.task)}{f' with key {short(event.key)}' if event.key else ''}"
    return f"effect {short(event.name)}#{event.occurrence} {whose} is in doubt no more: {outcome} ({event.how})"


@tells("journal.task_begun")
def _(event: Any) -> str:
    return f"step {event.step} is the task {event.task}{f' with key {event.key}' if event.key else ''}"


@tells("journal.sleep_begun")
def _(event: Any) -> str:
    where = f"in step {event.step}" if event.inside else f"before step {event.step}"
    return f"the agent sleeps {event.until.delay_s:g} s {where}: {event.key}"


@tells("journal.effect_done")
def _(event: Any) -> str:
    done = f"effect {event.step}/{short(event.name)}#{event.occurrence} is done"
    return f"{done}, but its result is not kept: {short(event.lost)}" if event.lost else done


_OUTCOMES = {
    "done": "it happened",
    "not_happened": "it did not happen",
    "skipped": "it is taken for done",
    "repeated": "it is done again",
    "left": "its step ended without anybody knowing",
}


@tells("journal.effect_settled")
def _(event: Any) -> str:
    outcome = _OUTCOMES.get(event.outcome, event.outcome)
    return f"effect {event.step}/{short(event.name)}#{event.occurrence} is in doubt no more: {outcome} ({event.how})"


@tells("journal.effects_forgotten")
def _(event: Any) -> str:
    doubt = f" and {event.in_doubt} in doubt" if event.in_doubt else ""
    return with_reason(
        f"step {event.step} ({short(event.name)}) forgot {event.finished} finished effects{doubt}", event.why
    )
