"""What shall happen on each command: a failure judged and answered, a recovery watched, and judged in its turn."""

from __future__ import annotations

import attrs

from eventstore.frozen import frozen
from lrm_actors.domain import classify as kinds
from lrm_actors.domain import learning, patterns
from lrm_actors.domain.analysis.folding import evolve, folded, key_of
from lrm_actors.domain.analysis.words import (
    AnalyzerState,
    Configure,
    Configured,
    FailureRecorded,
    GoOn,
    JudgeRecoveries,
    NoteRecovery,
    PatternFound,
    RecordFailure,
    RecoveryCarriedOut,
    RecoveryChosen,
    RecoveryFinished,
    RecoveryJudged,
    RecoveryWithheld,
    ReportCarriedOut,
    WentOn,
)
from lrm_actors.domain.backoff import exponential_s
from lrm_actors.domain.behavior import NOTHING, CancelTimer, Command, Context, Decision, Effect, StartTimer, then
from lrm_actors.domain.classify import FailureFacts, classify, fingerprint
from lrm_actors.domain.deadlines import deadline
from lrm_actors.domain.learning import DID_NOT_HELP, HELPED, SUPERSEDED, Spent, Trial
from lrm_actors.domain.remedies import (
    CHECKPOINTER,
    FINAL,
    LEAVE_ALONE,
    MILD,
    OPEN_BREAKER,
    RESTART_COMPONENT,
    RESTART_PROCESS,
    RETRY_WITH_BACKOFF,
    SAVED_FIRST,
    WAIT_FOR_BREAKER,
    severity,
)
from lrm_actors.errors import CommandRefused

NAME = "analyzer"
JUDGE_TIMER = "judge"
RETRY_FIRST_S, RETRY_MAX_S = 1.0, 60.0
"""Seconds before the first retry, doubled by each failure in a row, and at most; half of it is left to chance."""


def decide(state: AnalyzerState, command: Command, ctx: Context) -> Decision:
    """What shall happen on one command."""
    match command:
        case RecordFailure(facts, in_a_row):
            return _record(state, facts, in_a_row, ctx)
        case NoteRecovery(component, ok):
            return _note(state, component, ok, ctx)
        case ReportCarriedOut():
            return _carried_out(state, command, ctx)
        case JudgeRecoveries():
            judged = _overdue(state, ctx)
            return then(*judged, effects=_timer(folded(state, judged), ctx))
        case GoOn(reason):
            return then(WentOn(reason), reply=True) if state.paused else then(reply=False)
        case Configure(auto_recovery):
            return NOTHING if auto_recovery == state.auto_recovery else then(Configured(auto_recovery))
    raise CommandRefused(f"the analyzer does not know {type(command).__name__}", actor=NAME)


def _record(state: AnalyzerState, facts: FailureFacts, in_a_row: int, ctx: Context) -> Decision:
    category = classify(facts)
    if category == kinds.CANCELLED:
        # Whoever cancels means it; nothing failed, and nothing is to be recovered.
        return then(reply={"category": category, "strategy": LEAVE_ALONE, "acted": False})
    mark, at_s, boot_id = fingerprint(facts, category), ctx.now.monotonic_s, ctx.now.boot_id
    before = (*_overdue(state, ctx), *_failed_again(state, facts.component, category, ctx))
    state = folded(state, before)
    grade = severity(category, _patterns_of(state, facts.component, ctx))
    recorded = FailureRecorded(facts.component, category, mark, facts.message, facts, at_s, boot_id, grade)
    state = evolve(state, recorded)
    found = _found(state, recorded, ctx)
    state = folded(state, found)
    chosen = _chosen(state, recorded, facts, in_a_row, ctx)
    reply = {
        "category": category, "strategy": chosen.strategy, "acted": state.auto_recovery, "delay_s": chosen.delay_s,
        "severity": severity(category, _patterns_of(state, facts.component, ctx)), "reason": chosen.reason,
    }  # fmt: skip
    return _answer(state, (*before, recorded, *found), chosen, ctx, reply)


def _answer(
    state: AnalyzerState, events: tuple[object, ...], chosen: RecoveryChosen, ctx: Context, reply: object = None
) -> Decision:
    """The events so far, and the recovery; or what it would have been."""
    if not state.auto_recovery:
        withheld = RecoveryWithheld(chosen.component, chosen.category, chosen.strategy, chosen.reason)
        return then(*events, withheld, effects=_timer(state, ctx), reply=reply)
    return then(*events, chosen, effects=_timer(evolve(state, chosen), ctx), reply=reply)


def _chosen(
    state: AnalyzerState, recorded: FailureRecorded, facts: FailureFacts, told: int, ctx: Context
) -> RecoveryChosen:
    component, category, mark = recorded.component, recorded.category, recorded.fingerprint
    in_a_row = max(state.streaks[component].count, told)
    trouble = Trouble(component, category, mark, in_a_row, facts)
    strategy, why, evidence = _strategy(state, trouble, ctx)
    if facts.observation == "breaker_opened":
        strategy, evidence = WAIT_FOR_BREAKER, ""
        why = f"the circuit opened, {facts.message or 'no reason given'}"
    elif facts.retry_after_s and strategy == WAIT_FOR_BREAKER:
        strategy, why = OPEN_BREAKER, f"the service asks to be left alone for {facts.retry_after_s:g} s"
    elif in_a_row > 1 and strategy != _strategy(state, attrs.evolve(trouble, in_a_row=1), ctx)[0]:
        why = f"{in_a_row} in a row, {why}"
    said = f" ({facts.message})" if facts.observation and facts.message and strategy != WAIT_FOR_BREAKER else ""
    return _choice(trouble, strategy, f"{category}: {why}{said}", evidence, ctx)


@frozen
class Trouble:
    """What is to be answered."""

    component: str
    category: str
    fingerprint: str
    in_a_row: int = 1
    facts: FailureFacts | None = None


def _choice(trouble: Trouble, strategy: str, reason: str, evidence: str, ctx: Context) -> RecoveryChosen:
    delay_s = 0.0
    asked_s = (trouble.facts.retry_after_s if trouble.facts is not None else None) or 0.0
    if strategy == RETRY_WITH_BACKOFF:
        backoff_s = exponential_s(trouble.in_a_row, RETRY_FIRST_S, RETRY_MAX_S)
        delay_s = max(backoff_s * (0.5 + ctx.random() / 2), asked_s)
    elif strategy == OPEN_BREAKER:
        delay_s = asked_s or RETRY_MAX_S
    category = trouble.category
    return RecoveryChosen(
        trouble.component,
        category,
        strategy,
        f"{reason}; {evidence}" if evidence else reason,
        emergency_checkpoint=category in SAVED_FIRST or strategy in FINAL or strategy == RESTART_PROCESS,
        fingerprint=trouble.fingerprint,
        delay_s=delay_s,
        evidence=evidence,
        at_s=ctx.now.monotonic_s,
        until=deadline(ctx.now, learning.PROBATION_S + delay_s) if _shows(trouble.component, strategy) else None,
    )


def _shows(component: str, strategy: str) -> bool:
    """Whether it shows within a while if a recovery helped. The next checkpoint is taken no sooner than it is due."""
    return strategy not in FINAL and (component != CHECKPOINTER or strategy != RETRY_WITH_BACKOFF)


def _strategy(state: AnalyzerState, trouble: Trouble, ctx: Context) -> tuple[str, str, str]:
    """The strategy, why, and the evidence for it."""
    component, category, mark = trouble.component, trouble.category, trouble.fingerprint
    trial = state.trials.get(component)
    if trial is not None and trial.under_way and trial.category == category:
        return trial.strategy, f"{trial.strategy} is under way", ""
    lately = state.spent.get(key_of(component, category))
    times = dict(lately.times) if lately is not None and _is_late(lately, ctx) else {}
    for strategy, count in learning.spent_in_a_row(category, trouble.in_a_row, component).items():
        times[strategy] = max(times.get(strategy, 0), count)
    rung, evidence = learning.rung_for(
        category, times, state.experience.get(mark, {}), state.experience.get(category, {}), component
    )
    return rung.strategy, rung.why, evidence


def _note(state: AnalyzerState, component: str, ok: bool, ctx: Context) -> Decision:
    """A restart came to its end. One that was given up is answered with the next rung."""
    finished = RecoveryFinished(component, ok, ctx.now.monotonic_s, ctx.now.boot_id)
    trial = state.trials.get(component)
    if trial is None or (ok and trial.strategy not in MILD) or (not ok and trial.strategy != RESTART_COMPONENT):
        return then(finished, effects=_timer(evolve(state, finished), ctx))
    if ok:
        early = _judged(component, trial, SUPERSEDED, "it was restarted meanwhile", ctx)
        return then(early, finished, effects=_timer(folded(state, (early, finished)), ctx))
    judged = _judged(component, trial, DID_NOT_HELP, "it was given up", ctx, used_up=True)
    return _next_rung(folded(state, (finished, judged)), (finished, judged), trial, "it was given up", ctx)


def _carried_out(state: AnalyzerState, report: ReportCarriedOut, ctx: Context) -> Decision:
    done = RecoveryCarriedOut(report.component, report.strategy, report.ok, report.message)
    trial = state.trials.get(report.component)
    state = evolve(state, done)
    if report.ok or trial is None or trial.strategy != report.strategy:
        return then(done, effects=_timer(state, ctx))
    why_not = f"it could not be done: {report.message}"
    judged = _judged(report.component, trial, DID_NOT_HELP, why_not, ctx, used_up=True)
    return _next_rung(folded(state, (judged,)), (done, judged), trial, f"{report.strategy} could not be done", ctx)


def _next_rung(state: AnalyzerState, events: tuple[object, ...], trial: Trial, why_not: str, ctx: Context) -> Decision:
    """What is tried after something that is out of the question from now on."""
    component = next(event.component for event in events if isinstance(event, RecoveryJudged))
    trouble = Trouble(component, trial.category, trial.fingerprint)
    strategy, why, evidence = _strategy(state, trouble, ctx)
    if strategy == trial.strategy:  # the ladder has nothing else
        return then(*events, effects=_timer(state, ctx))
    reason = f"{trial.category}: {why_not}; {why}"
    chosen = _choice(trouble, strategy, reason, evidence, ctx)
    return _answer(state, events, chosen, ctx)


def _overdue(state: AnalyzerState, ctx: Context) -> tuple[RecoveryJudged, ...]:
    """Outcomes of the recoveries whose time is over."""
    over = [(name, trial) for name, trial in state.trials.items() if trial.until.remaining_s(ctx.now) <= 0.0]
    return tuple(
        _judged(name, trial, DID_NOT_HELP, f"no end of it was reported within {trial.until.delay_s:.0f} s", ctx)
        if trial.under_way
        else _judged(name, trial, HELPED, f"no such failure within {trial.until.delay_s:.0f} s", ctx)
        for name, trial in over
    )


def _failed_again(state: AnalyzerState, component: str, category: str, ctx: Context) -> tuple[RecoveryJudged, ...]:
    trial = state.trials.get(component)
    if trial is None or trial.until.remaining_s(ctx.now) <= 0.0 or trial.under_way:
        return ()
    if trial.until.boot_id != ctx.now.boot_id:
        return (_judged(component, trial, SUPERSEDED, "the machine was started anew meanwhile", ctx),)
    if trial.category != category:
        return (_judged(component, trial, SUPERSEDED, f"{category} came before it could be said", ctx),)
    after_s = trial.until.delay_s - trial.until.remaining_s(ctx.now)
    return (_judged(component, trial, DID_NOT_HELP, f"{category} again after {after_s:.1f} s", ctx),)


def _judged(
    component: str, trial: Trial, outcome: str, evidence: str, ctx: Context, *, used_up: bool = False
) -> RecoveryJudged:
    return RecoveryJudged(
        component,
        trial.category,
        trial.fingerprint,
        trial.strategy,
        outcome,
        evidence,
        at_s=ctx.now.monotonic_s,
        boot_id=ctx.now.boot_id,
        used_up=used_up,
    )


def _found(state: AnalyzerState, recorded: FailureRecorded, ctx: Context) -> tuple[PatternFound, ...]:
    """Patterns that the newest failure completes, and that nobody was told of lately."""
    component, mark = recorded.component, recorded.fingerprint
    alike, its = state.times[f"print:{mark}"].at_s, state.times[f"of:{component}"].at_s
    back = state.times.get(f"back:{component}")
    comebacks = back.at_s if back is not None and back.boot_id == recorded.boot_id else ()
    recent = [(one.at_s, one.component) for one in state.recent if one.boot_id == recorded.boot_id]
    scores = state.experience.get(mark, {})
    candidates = [
        patterns.burst(component, its),
        patterns.recurring(component, alike),
        patterns.escalating(component, alike),
        patterns.cascade(recent),
        patterns.flapping(component, comebacks, recorded.at_s),
        *(patterns.useless(component, strategy, score.in_a_row) for strategy, score in scores.items()),
    ]
    found: list[PatternFound] = []
    for one in candidates:
        if one is None or any(one.pattern == other.pattern for other in found):
            continue
        if _is_told(state, f"{one.pattern} {one.components[0]}", ctx):
            continue
        grade = severity(recorded.category, _patterns_of(state, component, ctx) + len(found) + 1)
        found.append(
            PatternFound(one.pattern, one.components[0], recorded.category, mark, one.evidence, one.components, grade,
                         recorded.at_s, recorded.boot_id)
        )  # fmt: skip
    return tuple(found)


def _patterns_of(state: AnalyzerState, component: str, ctx: Context) -> int:
    """How many patterns of a component were told of lately."""
    return sum(key.partition(" ")[2] == component and _is_told(state, key, ctx) for key in state.told)


def _is_told(state: AnalyzerState, key: str, ctx: Context) -> bool:
    times = state.told.get(key)
    if times is None or times.boot_id != ctx.now.boot_id:
        return False
    return ctx.now.monotonic_s - times.at_s[-1] <= patterns.QUIET_S


def _is_late(spent: Spent, ctx: Context) -> bool:
    """Whether what did not help did so of late."""
    return spent.boot_id == ctx.now.boot_id and ctx.now.monotonic_s - spent.last_s <= learning.FORGET_S


def _timer(state: AnalyzerState, ctx: Context) -> tuple[Effect, ...]:
    """For the next moment at which a recovery has helped, or has taken too long; or none, when there is none."""
    waits = [trial.until.remaining_s(ctx.now) for trial in state.trials.values()]
    return (StartTimer(JUDGE_TIMER, min(waits), JudgeRecoveries()),) if waits else (CancelTimer(JUDGE_TIMER),)


def recover(state: AnalyzerState, ctx: Context) -> Decision:
    """Wait on for what is on trial."""
    return then(effects=_timer(state, ctx) if state.trials else ())
