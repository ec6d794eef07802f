"""The analyzer: what a failure is, which recovery suits it, and what became of the recovery.

It acts on nothing itself: the recovery it chose stands in the log, and the wiring and the host's side carry it out.
"""

from __future__ import annotations

from lrm_actors.domain import learning
from lrm_actors.domain.analysis.deciding import NAME, decide, recover
from lrm_actors.domain.analysis.folding import IN_A_ROW_WITHIN_S, MAX_STREAKS, RECENT, evolve
from lrm_actors.domain.analysis.words import (
    AnalyzerState,
    Configure,
    Configured,
    FailureRecorded,
    FailureSeen,
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
    Streak,
    WentOn,
)
from lrm_actors.domain.behavior import Spec
from lrm_actors.domain.facts import FailureFacts
from lrm_actors.domain.remedies import (
    CLEAN_UP_CHECKPOINTS,
    CLEAR_CACHES,
    EMERGENCY_CHECKPOINT,
    LEAVE_ALONE,
    OPEN_BREAKER,
    PAUSE_AND_CALL,
    REDUCE_LOAD,
    RESTART_COMPONENT,
    RESTART_PROCESS,
    RESTORE_CHECKPOINT,
    RETRY_WITH_BACKOFF,
    SAVED_FIRST,
    STOP_AND_REPORT,
    STRATEGIES,
    WAIT_FOR_BREAKER,
)

__all__ = [
    "CLEAN_UP_CHECKPOINTS",
    "CLEAR_CACHES",
    "EMERGENCY_CHECKPOINT",
    "IN_A_ROW_WITHIN_S",
    "LEAVE_ALONE",
    "MAX_STREAKS",
    "NAME",
    "OPEN_BREAKER",
    "PAUSE_AND_CALL",
    "RECENT",
    "REDUCE_LOAD",
    "RESTART_COMPONENT",
    "RESTART_PROCESS",
    "RESTORE_CHECKPOINT",
    "RETRY_WITH_BACKOFF",
    "SAVED_FIRST",
    "STOP_AND_REPORT",
    "STRATEGIES",
    "WAIT_FOR_BREAKER",
    "AnalyzerState",
    "Configure",
    "Configured",
    "FailureFacts",
    "FailureRecorded",
    "FailureSeen",
    "GoOn",
    "JudgeRecoveries",
    "NoteRecovery",
    "PatternFound",
    "RecordFailure",
    "RecoveryCarriedOut",
    "RecoveryChosen",
    "RecoveryFinished",
    "RecoveryJudged",
    "RecoveryWithheld",
    "ReportCarriedOut",
    "Streak",
    "WentOn",
    "choose",
    "decide",
    "evolve",
    "recover",
    "spec",
]


def spec() -> Spec[AnalyzerState]:
    """The analyzer. Its configuration comes with ``Configure`` after the start, so that it stands in the log."""
    return Spec(NAME, AnalyzerState(), decide, evolve, recover)


def choose(category: str, facts: FailureFacts, in_a_row: int = 1) -> tuple[str, str]:
    """The strategy that suits a failure of which nothing else is known, and why.

    Args:
        category: what ``classify`` made of it.
        facts: what is known of it.
        in_a_row: which failure of this category it is in a row of this component, from 1.
    """
    if facts.observation == "breaker_opened":
        return WAIT_FOR_BREAKER, f"{category}: the circuit opened, {facts.message or 'no reason given'}"
    spent = learning.spent_in_a_row(category, in_a_row, facts.component)
    rung, _ = learning.rung_for(category, spent, {}, {}, facts.component)
    return rung.strategy, f"{category}: {rung.why}"
