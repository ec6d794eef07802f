"""What the analyzer knows, what it is told, and what it puts on record."""

from __future__ import annotations

import attrs

from eventstore.events import event
from eventstore.frozen import frozen
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.deadlines import Deadline
from lrm_actors.domain.facts import FailureFacts
from lrm_actors.domain.learning import Scores, Spent, Trial
from lrm_actors.domain.patterns import Times


@frozen
class FailureSeen:
    """One remembered failure."""

    at_s: float
    component: str
    category: str
    fingerprint: str
    message: str
    boot_id: str = ""


@frozen
class Streak:
    """Failures of one category that one component had in a row."""

    category: str
    count: int
    last_s: float
    boot_id: str


@frozen
class AnalyzerState:
    auto_recovery: bool = True
    recent: tuple[FailureSeen, ...] = ()
    """The newest 50."""
    counts: dict[str, int] = attrs.Factory(dict)
    """Failures per category since the log began."""
    streaks: dict[str, Streak] = attrs.Factory(dict)
    """By component, the one that failed last at the end. A recovery ends its streak."""
    recoveries: int = 0
    """Components that came back."""
    given_up: int = 0
    """Components that did not."""
    boot_id: str = ""
    times: dict[str, Times] = attrs.Factory(dict)
    """When what happened of late: ``print:`` a fingerprint, ``of:`` a component, ``back:`` a component came back."""
    told: dict[str, Times] = attrs.Factory(dict)
    """When each pattern was told of last, ``flapping browser``."""
    trials: dict[str, Trial] = attrs.Factory(dict)
    """By component: the recovery that has yet to show whether it helped."""
    spent: dict[str, Spent] = attrs.Factory(dict)
    """By component and category: what did not help of late."""
    experience: dict[str, Scores] = attrs.Factory(dict)
    """By fingerprint, and by category: what helped so far."""
    paused: str = ""
    """Why a human was called; empty when nobody was, or the human let it go on."""


# Commands


@frozen
class Configure(Command):
    auto_recovery: bool


@frozen
class RecordFailure(Command):
    """The reply is a dict: category, strategy, acted (bool), delay_s, severity, reason."""

    facts: FailureFacts
    in_a_row: int = 1
    """How many there were, as far as whoever tells of it knows. The analyzer counts those that are close together."""


@frozen
class NoteRecovery(Command):
    """A component was restarted, or given up."""

    component: str
    ok: bool


@frozen
class ReportCarriedOut(Command):
    """The host's side did, or could not do, what was chosen."""

    component: str
    strategy: str
    ok: bool
    message: str = ""


@frozen
class JudgeRecoveries(Command):
    """The timer: a recovery may have helped by now."""


@frozen
class GoOn(Command):
    """A human looked after it. The reply says whether anything was paused."""

    reason: str


# Events


@event("analyzer.configured", 1)
class Configured:
    auto_recovery: bool


@event("analyzer.failure_recorded", 1)
class FailureRecorded:
    component: str
    category: str
    fingerprint: str
    """The same for failures that look alike."""
    message: str
    facts: FailureFacts
    at_s: float
    boot_id: str
    severity: int = 0
    """From 1 to 5; 0 in logs of before there was any."""


@event("analyzer.pattern_found", 1)
class PatternFound:
    """An observation: failures have something in common."""

    pattern: str
    """``burst``, ``recurring``, ``escalating``, ``cascade``, ``flapping`` or ``useless_recovery``."""
    component: str
    category: str
    fingerprint: str
    evidence: str
    components: tuple[str, ...]
    severity: int
    at_s: float
    boot_id: str


@event("analyzer.recovery_chosen", 1)
class RecoveryChosen:
    """What shall be done; the wiring hands it to who does it."""

    component: str
    category: str
    strategy: str
    reason: str
    emergency_checkpoint: bool = False
    """The agent's state is worth saving before anything else is tried."""
    fingerprint: str = ""
    delay_s: float = 0.0
    """To wait before the next try, or to hold calls back for."""
    evidence: str = ""
    """What became of earlier attempts, ``2 of 2 restart_component fixed this``; empty when there were none."""
    at_s: float = 0.0
    until: Deadline | None = None
    """When it has helped if the failure did not come back."""


@event("analyzer.recovery_carried_out", 1)
class RecoveryCarriedOut:
    """An observation: the host's side did what was chosen, or could not."""

    component: str
    strategy: str
    ok: bool
    message: str


@event("analyzer.recovery_judged", 1)
class RecoveryJudged:
    """What became of a recovery."""

    component: str
    category: str
    fingerprint: str
    strategy: str
    outcome: str
    """``helped``, ``did_not_help``, or ``superseded`` by another kind of failure."""
    evidence: str
    at_s: float
    boot_id: str
    used_up: bool = False
    """It is out of the question for a while: it was given up, or cannot be done here."""


@event("analyzer.recovery_withheld", 1)
class RecoveryWithheld:
    """What would have been done, were automatic recovery on."""

    component: str
    category: str
    strategy: str
    reason: str


@event("analyzer.recovery_finished", 1)
class RecoveryFinished:
    component: str
    ok: bool
    at_s: float = 0.0
    boot_id: str = ""


@event("analyzer.went_on", 1)
class WentOn:
    """A human looked after what was paused."""

    reason: str
