"""What events say: the analyzer's."""

from __future__ import annotations

from typing import Any

from lrm_actors.inspect.telling.words import says, short, tells, with_reason

says("analyzer.recovery_chosen", "for {component} the recovery {strategy} was chosen: {reason}")
says("analyzer.recovery_withheld", "for {component} {strategy} would have been chosen, but recovery is off: {reason}")


says("analyzer.pattern_found", "{component} has a pattern, {pattern}: {evidence} (severity {severity} of 5)")


@tells("analyzer.recovery_judged")
def _(event: Any) -> str:
    outcome = {"superseded": "was superseded"}.get(event.outcome, event.outcome.replace("_", " "))
    return f"for {event.component} the recovery {event.strategy} {outcome}: {short(event.evidence)}"


says("analyzer.went_on", "a human looked after it, and it goes on: {reason}")


@tells("analyzer.recovery_carried_out")
def _(event: Any) -> str:
    done = "is done" if event.ok else "cannot be done"
    return with_reason(f"{event.strategy} for {event.component or 'the agent'} {done}", event.message)


@tells("analyzer.configured")
def _(event: Any) -> str:
    return "failures are acted on" if event.auto_recovery else "failures are recorded and not acted on"


@tells("analyzer.failure_recorded")
def _(event: Any) -> str:
    return with_reason(f"{event.component or 'the agent'} failed: {event.category}", event.message)


@tells("analyzer.recovery_finished")
def _(event: Any) -> str:
    return f"{event.component} {'came back' if event.ok else 'did not come back'}"
