"""Bugs of the decisions of our own actors, each planted by a small change of the running code."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import attrs
import pytest

from eventstore.records import Instant
from lrm_actors.domain import (
    analyzer,
    backoff,
    breaker,
    checkpointer,
    children,
    deadlines,
    health,
    journal,
    learning,
    modes,
    monitor,
    supervisor,
)
from lrm_actors.domain.analysis import folding
from lrm_actors.domain.behavior import NOTHING, Context, then
from lrm_actors.domain.checkpointing import keeping
from lrm_actors.domain.journaling import effects
from lrm_actors.domain.supervision import deciding, failing, recovering, together
from lrm_actors.domain.supervision.course import Course
from tests.mutants.planting import Planted, planted

ACTORS: list[Planted] = []
actors = partial(planted, into=ACTORS)


@actors("lrm_actors/domain/backoff.py", "behavior/supervisor_backs_off")
def jitter_above_the_cap(patch: pytest.MonkeyPatch) -> None:
    """Jitter is added to a delay that is at its cap already."""

    def longer(attempt: int, initial_s: float, cap_s: float, jitter: float, random: Any) -> Any:
        return backoff.exponential_s(attempt, initial_s, cap_s) * (1.0 + jitter * random())

    patch.setattr(backoff, "delay_s", longer)


@actors("lrm_actors/domain/backoff.py", "behavior/supervisor_backs_off")
def backoff_that_does_not_grow(patch: pytest.MonkeyPatch) -> None:
    """Each restart comes as soon as the first."""
    patch.setattr(backoff, "exponential_s", lambda attempt, initial_s, cap_s: min(initial_s, cap_s))


@actors("lrm_actors/domain/deadlines.py", "behavior/supervisor_goes_by_the_monotonic_clock")
def wall_clock_in_a_backoff(patch: pytest.MonkeyPatch) -> None:
    """What is left of a backoff after a restart is told by the wall clock, which may have been set."""

    def by_the_wall(self: deadlines.Deadline, now: Instant) -> float:
        return min(max(self.wall_s - now.wall_s, 0.0), self.delay_s)

    patch.setattr(deadlines.Deadline, "remaining_s", by_the_wall)


@actors("lrm_actors/domain/supervision/together.py", "behavior/supervisor_backs_off")
def decision_by_the_machines_clock(patch: pytest.MonkeyPatch) -> None:
    """A decision reads the machine's clock: the same command decides otherwise later."""
    delay_s = backoff.delay_s

    def impure(*args: Any) -> Any:
        return delay_s(*args) * (1.0 if time.monotonic() else 0.5)

    patch.setattr(backoff, "delay_s", impure)


@actors("lrm_actors/domain/supervision/failing.py", "simulation/a_component_is_restarted_once")
def double_restart(patch: pytest.MonkeyPatch) -> None:
    """That a restart is under way is not looked at when a backoff ends: it is begun once more."""
    step = deciding._step

    def careless(course: Course, command: Any) -> None:
        if isinstance(command, supervisor.RestartDue) and course.state.status(command.child) == children.RESTARTING:
            together.begin_restart(course, command.child)
        else:
            step(course, command)

    patch.setattr(deciding, "_step", careless)


@actors("lrm_actors/domain/supervision/failing.py", "behavior/supervisor_restarts_once")
def restart_scheduled_twice(patch: pytest.MonkeyPatch) -> None:
    """A failure that is told twice leads to two restarts."""

    def careless(course: Course, command: Any) -> None:
        facts = (command.child, command.error, command.message, command.handling)
        failing.handle(course, failing.failure(course, *facts), command.kinds)

    patch.setattr(deciding, "report_failure", careless)


@actors("lrm_actors/domain/children.py", "behavior/supervisor_backs_off")
def never_given_up(patch: pytest.MonkeyPatch) -> None:
    """Restarts are not counted, so that what never comes up is restarted for ever."""
    patch.setattr(children, "restarts_lately", lambda child, policy, now: 0)


@actors("lrm_actors/domain/supervision/recovering.py", "behavior/supervisor_backs_off")
def pending_restart_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A supervisor that is restarted itself forgets who was to be restarted."""
    patch.setattr(recovering, "timers", lambda state, ctx: [])


@actors("lrm_actors/domain/breaker.py", "behavior/breaker_closes_again")
def breaker_stays_open(patch: pytest.MonkeyPatch) -> None:
    """A probe that succeeded does not close the breaker."""
    patch.setattr(breaker, "_pass", lambda state, generation: then(breaker.ProbeSucceeded(state.service, generation)))


@actors("lrm_actors/domain/breaker.py", "behavior/breaker_closes_again")
def breaker_believes_stale_reports(patch: pytest.MonkeyPatch) -> None:
    """The failure of a probe of long ago opens a breaker that is closed."""
    decide = breaker.decide

    def gullible(state: Any, command: Any, ctx: Context) -> Any:
        if isinstance(command, breaker.ReportProbe) and not command.ok:
            command = attrs.evolve(command, generation=max(command.generation, state.generation + 1))
        return decide(state, command, ctx)

    patch.setattr(breaker, "decide", gullible)


@actors("lrm_actors/domain/breaker.py", "behavior/breaker_closes_again")
def guard_not_told_after_a_restart(patch: pytest.MonkeyPatch) -> None:
    """After a restart nobody tells the guard that the breaker is open."""
    tell = breaker._tell_guard
    patch.setattr(breaker, "_tell_guard", lambda state: attrs.evolve(tell(state), effects=()))


@actors("lrm_actors/domain/checkpointer.py", "behavior/checkpointer_keeps_what_it_promised")
def checkpointer_forgets_its_rhythm(patch: pytest.MonkeyPatch) -> None:
    """After a restart no checkpoint is taken any more."""
    recover = checkpointer.recover
    patch.setattr(checkpointer, "recover", lambda state, ctx: attrs.evolve(recover(state, ctx), effects=()))


@actors("lrm_actors/domain/checkpointing/keeping.py", "behavior/checkpointer_keeps_what_it_promised")
def checkpointer_removes_the_newest(patch: pytest.MonkeyPatch) -> None:
    """Of too many checkpoints the newest go."""

    def newest(kept: Any, config: Any, *_: Any) -> tuple[str, ...]:
        return tuple(info.checkpoint_id for info in kept[config.max_checkpoints :])

    patch.setattr(keeping, "beyond_retention", newest)


@actors("lrm_actors/domain/checkpointing/keeping.py", "behavior/checkpointer_keeps_what_it_promised")
def checkpoint_bytes_left_behind(patch: pytest.MonkeyPatch) -> None:
    """The bytes of checkpoints that went stay in the log for ever."""
    patch.setattr(keeping, "_lost", lambda before, after, events: ())


@actors("lrm_actors/domain/checkpointer.py", "behavior/checkpointer_keeps_what_it_promised")
def capture_in_doubt_for_ever(patch: pytest.MonkeyPatch) -> None:
    """What was being captured as the process ended is waited for for ever."""
    recover = checkpointer.recover
    patch.setattr(checkpointer, "recover", lambda state, ctx: attrs.evolve(recover(state, ctx), events=()))


@actors("lrm_actors/domain/journal.py", "behavior/journal_neither_skips_nor_repeats")
def journal_repeats_a_step(patch: pytest.MonkeyPatch) -> None:
    """A step that is committed does not count: the next one has its number."""
    evolve = journal.evolve

    def stuck(state: Any, event: Any) -> Any:
        after = evolve(state, event)
        return attrs.evolve(after, committed=state.committed) if isinstance(event, journal.StepCommitted) else after

    patch.setattr(journal, "evolve", stuck)


@actors("lrm_actors/domain/journal.py", "behavior/journal_neither_skips_nor_repeats")
def doubt_not_told(patch: pytest.MonkeyPatch) -> None:
    """A step that was open as the process ended is taken for one that never began."""

    def sure(state: Any, ctx: Any) -> Any:
        reply = {"committed": state.committed, "in_doubt": None}
        return then(journal.JournalOpened(state.start + 1), reply=reply)

    patch.setattr(journal, "_open", sure)


@actors("lrm_actors/domain/journaling/effects.py", "behavior/journal_does_effects_once")
def effect_done_again(patch: pytest.MonkeyPatch) -> None:
    """An effect that is finished is carried out again when its step is repeated."""
    patch.setattr(effects, "FINISHED", frozenset())


@actors("lrm_actors/domain/journaling/effects.py", "behavior/journal_does_effects_once")
def effect_doubt_not_told(patch: pytest.MonkeyPatch) -> None:
    """An effect that was under way as the process ended is taken for one that still is."""
    patch.setattr(effects, "doubtful", lambda state, step, why: [])


@actors("lrm_actors/domain/journaling/effects.py", "behavior/journal_does_effects_once")
def effect_keys_of_the_process(patch: pytest.MonkeyPatch) -> None:
    """Each process has idempotency keys of its own, so that no server knows them again."""
    fold = journal.evolve

    def forgetful(before: Any, event: Any) -> Any:
        after = fold(before, event)
        opened = isinstance(event, journal.JournalOpened)
        return attrs.evolve(after, journal_id=f"{event.start}") if opened else after

    patch.setattr(journal, "evolve", forgetful)


@actors("lrm_actors/domain/modes.py", "behavior/modes_change_only_with_the_health")
def modes_told_again_and_again(patch: pytest.MonkeyPatch) -> None:
    """A mode is changed into itself with every word about the health."""

    def eager(state: Any, fact: object, cause: str) -> Any:
        mode = modes.wanted(modes.evolve(state, fact))
        return then(fact, modes.ModeChanged(state.mode, mode, cause), reply=mode)

    patch.setattr(modes, "_settle", eager)


@actors("lrm_actors/domain/modes.py", "behavior/modes_change_only_with_the_health")
def modes_stay_bad(patch: pytest.MonkeyPatch) -> None:
    """A mode gets worse with the health and never better."""
    wanted = modes.wanted
    order = (modes.NORMAL, modes.DEGRADED, modes.RECOVERY, modes.MINIMAL)
    patch.setattr(modes, "wanted", lambda state: max(wanted(state), state.mode, key=order.index))


@actors("lrm_actors/domain/health.py", "behavior/monitor_does_not_flap")
def health_flaps(patch: pytest.MonkeyPatch) -> None:
    """A status is left at the very threshold at which it is entered."""
    rung = health.rung
    patch.setattr(
        health, "rung", lambda config, signal, metrics, _, mark: rung(config, signal, metrics, "healthy", mark)
    )


@actors("lrm_actors/domain/health.py", "behavior/monitor_does_not_flap")
def unknown_taken_for_healthy(patch: pytest.MonkeyPatch) -> None:
    """A metric that cannot be read counts as a good one."""
    rung = health.rung

    def hopeful(config: Any, signal: Any, metrics: Any, before: str, mark: Any) -> str:
        return health.HEALTHY if signal.read(metrics) is None else rung(config, signal, metrics, before, mark)

    patch.setattr(health, "rung", hopeful)


@actors("lrm_actors/domain/monitor.py", "behavior/monitor_does_not_flap")
def monitor_stops_looking_after_a_restart(patch: pytest.MonkeyPatch) -> None:
    """After a restart nobody looks at heartbeats any more."""
    start = monitor._start

    def half(config: Any, mode: str, ctx: Context) -> Any:
        return tuple(effect for effect in start(config, mode, ctx) if getattr(effect, "key", "") != "heartbeats")

    patch.setattr(monitor, "_start", half)


@actors("lrm_actors/domain/monitor.py", "behavior/monitor_does_not_flap")
def heartbeats_never_missed(patch: pytest.MonkeyPatch) -> None:
    """A component that says nothing any more is well."""
    patch.setattr(monitor, "_observe", lambda state, command, ctx: NOTHING)


@actors("lrm_actors/domain/learning.py", "behavior/analyzer_counts_failures_in_a_row")
def failures_not_counted(patch: pytest.MonkeyPatch) -> None:
    """Each failure is taken for the first one, so that retrying never ends."""
    rung_for = learning.rung_for
    patch.setattr(learning, "rung_for", lambda category, spent, *scores: rung_for(category, {}, *scores))


@actors("lrm_actors/domain/analysis/folding.py", "behavior/analyzer_counts_failures_in_a_row")
def row_never_ends(patch: pytest.MonkeyPatch) -> None:
    """A failure of yesterday counts towards the row of today."""
    patch.setattr(folding, "IN_A_ROW_WITHIN_S", float("inf"))


@actors("lrm_actors/domain/analyzer.py", "behavior/analyzer_counts_failures_in_a_row")
def state_kept_beside_the_state(patch: pytest.MonkeyPatch) -> None:
    """A fold remembers something outside of the state, which a restart loses and a replay doubles."""
    evolve = analyzer.evolve
    seen: list[int] = []

    def remembering(state: Any, event: Any) -> Any:
        seen.append(1)
        return evolve(state, event)

    patch.setattr(analyzer, "evolve", remembering)
