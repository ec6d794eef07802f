"""What each event of the analyzer changes. Every memory in it is bounded."""

from __future__ import annotations

import attrs

from lrm_actors.domain import learning, patterns
from lrm_actors.domain.analysis.words import (
    AnalyzerState,
    Configured,
    FailureRecorded,
    FailureSeen,
    PatternFound,
    RecoveryCarriedOut,
    RecoveryChosen,
    RecoveryFinished,
    RecoveryJudged,
    Streak,
    WentOn,
)
from lrm_actors.domain.learning import DID_NOT_HELP, Spent, Trial, newest
from lrm_actors.domain.patterns import Times
from lrm_actors.domain.remedies import ALWAYS, MILD, PAUSE_AND_CALL, RESTART_COMPONENT

RECENT = 50
"""Failures remembered one by one."""
IN_A_ROW_WITHIN_S = 300.0
"""Seconds after which the next failure of a component does not count as the same trouble."""
MAX_STREAKS = 256
"""Components whose failures in a row are counted; the one that failed longest ago is forgotten first."""


def evolve(state: AnalyzerState, event: object) -> AnalyzerState:
    """What one event changes."""
    match event:
        case FailureRecorded():
            return _with_record(state, event)
        case RecoveryChosen(component, until=until) if until is not None:
            under_way = learning.begins_under_way(event.strategy)
            trial = Trial(event.category, event.fingerprint, event.strategy, event.at_s, until, under_way)
            held = state.trials.get(component)
            if held is not None and held.under_way and held.strategy == event.strategy:
                trial = held  # asked for again while it is under way
            return attrs.evolve(state, trials=newest(state.trials, component, trial, learning.MAX_TRIALS))
        case RecoveryChosen(strategy=strategy, reason=reason) if strategy == PAUSE_AND_CALL:
            return attrs.evolve(_without_trial(state, event.component), paused=reason)
        case RecoveryJudged():
            return _with_outcome(state, event)
        case RecoveryCarriedOut(component, strategy, ok):
            begun = state.trials.get(component)
            if not ok or begun is None or begun.strategy != strategy:
                return state
            return attrs.evolve(state, trials={**state.trials, component: attrs.evolve(begun, under_way=False)})
        case PatternFound(pattern, component):
            key = f"{pattern} {component}"
            told = Times(event.boot_id, (event.at_s,))
            return attrs.evolve(state, told=newest(state.told, key, told, patterns.MAX_MARKS))
        case RecoveryFinished():
            return _with_end(state, event)
        case Configured(auto_recovery):
            return attrs.evolve(state, auto_recovery=auto_recovery)
        case WentOn():
            return attrs.evolve(state, paused="")
    return state


def folded(state: AnalyzerState, events: tuple[object, ...]) -> AnalyzerState:
    """What several events change."""
    for one in events:
        state = evolve(state, one)
    return state


def _with_record(state: AnalyzerState, event: FailureRecorded) -> AnalyzerState:
    seen = FailureSeen(event.at_s, event.component, event.category, event.fingerprint, event.message, event.boot_id)
    return attrs.evolve(
        state,
        recent=(*state.recent, seen)[-RECENT:],
        counts={**state.counts, event.category: state.counts.get(event.category, 0) + 1},
        streaks=_with_failure(state.streaks, event),
        boot_id=event.boot_id,
        times=_timed(_timed(state.times, f"print:{event.fingerprint}", event), f"of:{event.component}", event),
    )


def _timed(times: dict[str, Times], key: str, event: FailureRecorded | RecoveryFinished) -> dict[str, Times]:
    before = times.get(key, Times(event.boot_id))
    return newest(times, key, before.with_one(event.at_s, event.boot_id), patterns.MAX_MARKS)


def _with_failure(streaks: dict[str, Streak], event: FailureRecorded) -> dict[str, Streak]:
    before = streaks.get(event.component)
    goes_on = (
        before is not None
        and before.category == event.category
        and before.boot_id == event.boot_id
        and event.at_s - before.last_s <= IN_A_ROW_WITHIN_S
    )
    count = before.count + 1 if before is not None and goes_on else 1
    return newest(streaks, event.component, Streak(event.category, count, event.at_s, event.boot_id), MAX_STREAKS)


def _with_outcome(state: AnalyzerState, event: RecoveryJudged) -> AnalyzerState:
    state = _without_trial(state, event.component)
    experience = state.experience
    for key in (event.fingerprint, event.category):
        scores = learning.scored(experience.get(key, {}), event.strategy, event.outcome)
        experience = newest(experience, key, scores, learning.MAX_EXPERIENCES)
    key = key_of(event.component, event.category)
    before = state.spent.get(key)
    if before is None or before.boot_id != event.boot_id or event.at_s - before.last_s > learning.FORGET_S:
        before = Spent(event.at_s, event.boot_id)
    times = {name: count for name, count in before.times.items() if name != event.strategy}
    if event.used_up:
        times[event.strategy] = ALWAYS
    elif event.outcome == DID_NOT_HELP:
        times[event.strategy] = before.times.get(event.strategy, 0) + 1
    spent = newest(state.spent, key, Spent(event.at_s, event.boot_id, times), learning.MAX_TRIALS)
    return attrs.evolve(state, experience=experience, spent=spent)


def _with_end(state: AnalyzerState, event: RecoveryFinished) -> AnalyzerState:
    component, ok = event.component, event.ok
    state = attrs.evolve(state, recoveries=state.recoveries + ok, given_up=state.given_up + (not ok))
    if not ok:
        return state
    trials, trial = state.trials, state.trials.get(component)
    if trial is not None and trial.strategy == RESTART_COMPONENT:
        trials = {**trials, component: attrs.evolve(trial, under_way=False)}
    return attrs.evolve(
        state,
        streaks={name: streak for name, streak in state.streaks.items() if name != component},
        trials=trials,
        # Of what was restarted, everything that is milder is worth trying anew.
        spent={
            key: attrs.evolve(one, times={name: count for name, count in one.times.items() if name not in MILD})
            if key.startswith(f"{component}\n")
            else one
            for key, one in state.spent.items()
        },
        times=_timed(state.times, f"back:{component}", event) if event.boot_id else state.times,
    )


def _without_trial(state: AnalyzerState, component: str) -> AnalyzerState:
    if component not in state.trials:
        return state
    return attrs.evolve(state, trials={name: one for name, one in state.trials.items() if name != component})


def key_of(component: str, category: str) -> str:
    """Under which what did not help is kept."""
    return f"{component}\n{category}"
