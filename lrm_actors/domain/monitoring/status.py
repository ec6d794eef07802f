"""Which status the health has next, how long it is held, and what made it so."""

from __future__ import annotations

from eventstore.records import Instant
from lrm_actors.domain import causes
from lrm_actors.domain.behavior import Context
from lrm_actors.domain.health import CRITICAL, FAILING, WARNING, is_worse, pressing, reached, step_towards, worst
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.monitoring.events import HealthChanged
from lrm_actors.domain.monitoring.folding import MonitorState
from lrm_actors.domain.signals import OF_MEMORY


def recent_failures(state: MonitorState, now: Instant) -> dict[str, bool]:
    """Components that failed within the window, and whether each is well again."""
    if state.boot_id != now.boot_id:
        return {}
    since_s = now.monotonic_s - state.config.failing_window_s
    return {name: name in state.well_again for name, at_s in state.failed_at_s.items() if at_s >= since_s}


def change_of_status(
    state: MonitorState, ctx: Context, before: MonitorState | None = None
) -> tuple[HealthChanged, ...]:
    """The change of status that is due, if any; or that a limit of memory is reached while it is as bad already."""
    failures = recent_failures(state, ctx.now)
    failing = len(failures) >= state.config.failing_components and not all(failures.values())
    levels_now = {**state.levels, "checkpoints": WARNING} if state.checkpoints else state.levels
    status = step_towards(state.status, FAILING if failing else worst(levels_now))
    if before is not None and not is_worse(CRITICAL, state.status) and not is_worse(status, state.status):
        still = _still_as_bad(state, before, failures, ctx)
        if still:  # a failing health gets better after that, and not in the same moment
            return still
    if status == state.status or (is_worse(state.status, status) and _held(state, status, ctx.now)):
        return ()
    if FAILING in (status, state.status):
        cause = causes.in_components(state.config, failures)
    else:
        levels = (before or state).levels
        judged = causes.Judgement(state.config, state.last or Metrics(), state.marks, levels, state.levels)
        cause = _cause(state, before, judged, status)
    return (HealthChanged(state.status, status, cause, ctx.now, causes.responsible(state.levels, status)),)


def _still_as_bad(
    state: MonitorState, before: MonitorState, failures: dict[str, bool], ctx: Context
) -> tuple[HealthChanged, ...]:
    """What else makes it as bad, where that asks for memory to be given back and for the state to be saved."""
    if not reached(state.config, (before.marks, state.marks), (before.levels, state.levels), OF_MEMORY):
        return ()
    judged = causes.Judgement(state.config, state.last or Metrics(), state.marks, before.levels, state.levels)
    names, cause = causes.responsible(state.levels, CRITICAL), causes.still(judged, CRITICAL)
    if state.status == FAILING:
        cause = f"{causes.in_components(state.config, failures)}; {cause}"
    return (HealthChanged(state.status, state.status, cause, ctx.now, names),)


def _cause(state: MonitorState, before: MonitorState | None, judged: causes.Judgement, status: str) -> str:
    """Which signals, or what is wrong with checkpoints, made it so."""
    if is_worse(status, state.status):
        said = (causes.in_signals(judged, state.status, status), state.checkpoints if status == WARNING else "")
        return ", ".join(filter(None, said))
    if before is not None and before.checkpoints and not state.checkpoints and judged.before == judged.levels:
        return "checkpoints are in order again"
    return causes.in_signals(judged, state.status, status)


def _held(state: MonitorState, status: str, now: Instant) -> bool:
    """Whether the status got better so lately that it may not get better still, or would soon be what it is again."""
    if is_worse(pressing(state.config, state.marks), status):
        return True
    if state.bettered_at_s is None or state.changed_at is None or state.changed_at.boot_id != now.boot_id:
        return False
    return now.monotonic_s - state.bettered_at_s < state.config.least_hold_s
