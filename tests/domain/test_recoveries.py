"""What becomes of recoveries: judged, learned from, and followed by the next rung when they do not help."""

from __future__ import annotations

import pytest

from lrm_actors.domain import analyzer, learning
from lrm_actors.domain.analyzer import (
    CLEAR_CACHES,
    IN_A_ROW_WITHIN_S,
    OPEN_BREAKER,
    PAUSE_AND_CALL,
    RESTART_COMPONENT,
    RESTART_PROCESS,
    RESTORE_CHECKPOINT,
    RETRY_WITH_BACKOFF,
    STOP_AND_REPORT,
    WAIT_FOR_BREAKER,
    AnalyzerState,
    Configure,
    FailureFacts,
    GoOn,
    JudgeRecoveries,
    NoteRecovery,
    RecordFailure,
    RecoveryCarriedOut,
    RecoveryChosen,
    RecoveryJudged,
    RecoveryWithheld,
    ReportCarriedOut,
)
from lrm_actors.domain.behavior import StartTimer
from lrm_actors.domain.categories import CANCELLED, CATEGORIES, DISK_FULL
from lrm_actors.domain.remedies import CHECKPOINTER
from tests.domain.kit import Run

PAGE = FailureFacts("browser", ("playwright.TimeoutError", "BaseException"), "Timeout 400ms exceeded.")
CRASH = FailureFacts("browser", ("playwright.TargetClosedError", "BaseException"), "Page crashed")
REFUSED = FailureFacts("site", ("ConnectionRefusedError", "ConnectionError", "BaseException"), "refused")
ODD = FailureFacts("agent", ("odd.Strange", "BaseException"), "odd")
LIMITED = FailureFacts("llm", ("openai.RateLimitError", "BaseException"), "slow down", 429, retry_after_s=30.0)
LONG_S = 1000.0


@pytest.fixture
def run() -> Run[AnalyzerState]:
    """An analyzer that has just come to life."""
    return Run.of(analyzer.spec())


def fail(run: Run[AnalyzerState], facts: FailureFacts, after_s: float = 1.0) -> RecoveryChosen:
    """A failure some seconds later, and what is chosen."""
    run.seconds += after_s
    chosen = run.tell(RecordFailure(facts))[-1]
    assert isinstance(chosen, RecoveryChosen)
    return chosen


def outcomes(run: Run[AnalyzerState]) -> list[tuple[str, str]]:
    """Every judgement so far."""
    return [(one.strategy, one.outcome) for one in run.log if isinstance(one, RecoveryJudged)]


def test_a_recovery_has_helped_when_the_failure_stays_away(run: Run[AnalyzerState]) -> None:
    """The timer says so, and the event has the evidence."""
    chosen = fail(run, REFUSED)
    (timer,) = run.effects(StartTimer)
    assert timer.delay_s == pytest.approx(learning.PROBATION_S + chosen.delay_s)
    run.seconds += timer.delay_s
    (judged,) = run.tell(timer.command)
    assert isinstance(judged, RecoveryJudged)
    assert ("helped", chosen.fingerprint) == (judged.outcome, judged.fingerprint)
    assert "no such failure within 121 s" == judged.evidence or judged.evidence.startswith("no such failure within")
    assert [] == run.effects(StartTimer)


def test_a_recovery_has_not_helped_when_the_failure_comes_back(run: Run[AnalyzerState]) -> None:
    """And another kind of failure says nothing about it."""
    fail(run, PAGE)
    fail(run, PAGE)
    run.tell(NoteRecovery("browser", ok=True))
    fail(run, CRASH)
    fail(run, REFUSED)
    assert [(RETRY_WITH_BACKOFF, "did_not_help"), (RESTART_COMPONENT, "superseded")] == outcomes(run)


def test_a_timer_is_started_again_after_a_restart(run: Run[AnalyzerState]) -> None:
    """With what is left of the time."""
    fail(run, REFUSED)
    run.seconds += 50.0
    run.recover()
    (timer,) = run.effects(StartTimer)
    assert isinstance(timer.command, JudgeRecoveries)
    assert 60.0 < timer.delay_s < 75.0


def test_failures_during_a_restart_say_nothing_about_it(run: Run[AnalyzerState]) -> None:
    """Ten failures while the browser is being restarted are no ten useless restarts."""
    for _ in range(10):
        assert RESTART_COMPONENT == fail(run, CRASH, 0.2).strategy
    assert [] == outcomes(run)
    run.tell(NoteRecovery("browser", ok=True))
    fail(run, CRASH)
    assert [(RESTART_COMPONENT, "did_not_help")] == outcomes(run)


def test_a_restart_nobody_reports_the_end_of_did_not_help(run: Run[AnalyzerState]) -> None:
    """The component may not even be registered."""
    fail(run, CRASH)
    run.seconds += LONG_S
    run.tell(JudgeRecoveries())
    assert [(RESTART_COMPONENT, "did_not_help")] == outcomes(run)


def test_giving_up_a_component_leads_to_the_next_rung(run: Run[AnalyzerState]) -> None:
    """The process is replaced; where that cannot be done, a human is called, once."""
    fail(run, CRASH)
    chosen = run.tell(NoteRecovery("browser", ok=False))[-1]
    assert isinstance(chosen, RecoveryChosen)
    assert (RESTART_PROCESS, True) == (chosen.strategy, chosen.emergency_checkpoint)
    events = run.tell(ReportCarriedOut("browser", RESTART_PROCESS, ok=False, message="nobody said how"))
    assert [RecoveryCarriedOut, RecoveryJudged, RecoveryChosen] == [type(one) for one in events]
    called = events[-1]
    assert isinstance(called, RecoveryChosen)
    assert PAUSE_AND_CALL == called.strategy
    assert "restart_process could not be done" in called.reason
    assert called.reason == run.state.paused
    assert () == run.tell(ReportCarriedOut("browser", PAUSE_AND_CALL, ok=True))[1:]
    assert run.ask(GoOn("restarted by hand"))
    assert "" == run.state.paused
    assert not run.ask(GoOn("again"))


def test_nothing_follows_by_itself_without_auto_recovery(run: Run[AnalyzerState]) -> None:
    """The next rung is only said, as the first one was."""
    fail(run, CRASH)
    run.tell(Configure(auto_recovery=False))
    withheld = run.tell(NoteRecovery("browser", ok=False))[-1]
    assert isinstance(withheld, RecoveryWithheld)
    assert RESTART_PROCESS == withheld.strategy


def test_the_whole_ladder_of_the_unknown(run: Run[AnalyzerState]) -> None:
    """Retries, restarts, the last good checkpoint, a human; it ends there."""
    tried = []
    for _ in range(10):
        chosen = fail(run, ODD)
        tried.append(chosen.strategy)
        if chosen.strategy == RESTART_COMPONENT:
            run.tell(NoteRecovery("agent", ok=True))
        elif chosen.strategy == RESTORE_CHECKPOINT:
            run.tell(ReportCarriedOut("agent", RESTORE_CHECKPOINT, ok=True))
    assert [RETRY_WITH_BACKOFF] * 5 == tried[:5]
    assert RESTART_COMPONENT == tried[5]
    assert {RETRY_WITH_BACKOFF, RESTART_COMPONENT} >= set(tried[6:])  # a restart makes retries worth trying anew


def test_a_ladder_without_restarts_ends_with_a_human(run: Run[AnalyzerState]) -> None:
    """A disk that stays full."""
    full = FailureFacts("actor:checkpointer", ("OSError",), os_error="ENOSPC")
    assert ["clean_up_checkpoints", "clean_up_checkpoints", "clean_up_checkpoints", "pause_and_call"] == [
        fail(run, full).strategy for _ in range(4)
    ]


def test_a_ladder_begins_anew_when_it_was_quiet(run: Run[AnalyzerState]) -> None:
    """What did not help long ago is tried again."""
    leak = FailureFacts("cache", ("MemoryError", "BaseException"))
    assert [CLEAR_CACHES, RESTART_COMPONENT] == [fail(run, leak).strategy for _ in range(2)]
    run.tell(NoteRecovery("cache", ok=True))
    assert CLEAR_CACHES == fail(run, leak, 2 * learning.FORGET_S).strategy


def test_what_helped_before_is_preferred(run: Run[AnalyzerState]) -> None:
    """Two retries in vain and two restarts that helped, and the third time the browser is restarted at once."""
    for _ in range(2):
        assert RETRY_WITH_BACKOFF == fail(run, PAGE, LONG_S).strategy
        assert RESTART_COMPONENT == fail(run, PAGE).strategy
        run.tell(NoteRecovery("browser", ok=True))
        run.seconds += LONG_S
        run.tell(JudgeRecoveries())
    chosen = fail(run, PAGE, LONG_S)
    assert RESTART_COMPONENT == chosen.strategy
    assert "2 of 2 restart_component fixed this, 0 of 2 retry_with_backoff did" == chosen.evidence
    assert chosen.reason.endswith(chosen.evidence)


def test_the_choice_comes_from_the_log_alone(run: Run[AnalyzerState]) -> None:
    """Another process that folds the log chooses the same, for the same reason."""
    test_what_helped_before_is_preferred(run)
    again = Run(run.spec, run.fold(), run.seconds, run.boot_id, list(run.log))
    assert fail(run, PAGE) == fail(again, PAGE)


def test_what_is_drastic_is_never_taken_out_of_turn() -> None:
    """However often it helped."""
    drastic = {RESTORE_CHECKPOINT: learning.Score(9, 9), PAUSE_AND_CALL: learning.Score(9, 9)}
    useless = {RETRY_WITH_BACKOFF: learning.Score(0, 9, 9)}
    rung, _ = learning.rung_for("unknown", {}, {**drastic, **useless}, {})
    assert RETRY_WITH_BACKOFF == rung.strategy


@pytest.mark.parametrize("category", sorted(set(CATEGORIES) - {DISK_FULL, CANCELLED}))
def test_a_failing_checkpoint_never_costs_the_agent_its_state(run: Run[AnalyzerState], category: str) -> None:
    """What cannot be kept is sound all the same: nobody restores an older state for it, restarts or pauses anything."""
    facts = FailureFacts(
        CHECKPOINTER, ("NotCapturable",), "set at state['seen'] is not plain data", None,
        observation="checkpoint_failed", category=category,
    )  # fmt: skip
    chosen = [fail(run, facts, after_s) for after_s in (*(1.0,) * 10, *(200.0,) * 10, *(learning.FORGET_S + 1,) * 3)]
    assert {one.strategy for one in chosen} <= {RETRY_WITH_BACKOFF, STOP_AND_REPORT}
    assert STOP_AND_REPORT in {one.strategy for one in chosen}, "nobody is called"
    assert "" == run.fold().paused
    assert [] == outcomes(run), "that none failed for a while says nothing: none was due"


def test_checkpoints_that_fail_far_apart_fail_in_a_row_all_the_same(run: Run[AnalyzerState]) -> None:
    """They are taken when they are due, which by default is no sooner than what else counts as in a row."""
    facts = FailureFacts(CHECKPOINTER, ("NotCapturable",), "set at state['seen'] is not plain data")
    strategies = list[str]()
    for number in range(1, 8):
        run.seconds += IN_A_ROW_WITHIN_S + 1.0
        chosen = run.tell(RecordFailure(facts, number))[-1]
        assert isinstance(chosen, RecoveryChosen)
        strategies.append(chosen.strategy)
    assert [RETRY_WITH_BACKOFF] * 5 + [STOP_AND_REPORT] * 2 == strategies


def test_a_service_that_says_when_is_left_alone_until_then(run: Run[AnalyzerState]) -> None:
    """Its breaker is opened for as long as it asked."""
    chosen = fail(run, LIMITED)
    assert (OPEN_BREAKER, 30.0) == (chosen.strategy, chosen.delay_s)
    assert "rate_limit: the service asks to be left alone for 30 s" == chosen.reason
    unsaid = FailureFacts("llm", LIMITED.class_names, "slow down", 429)
    assert WAIT_FOR_BREAKER == fail(run, unsaid, LONG_S).strategy


def test_retries_wait_longer_each_time(run: Run[AnalyzerState]) -> None:
    """Doubled up to a minute, at least half of it, and no less than the service asked for."""
    waits = [fail(run, REFUSED, 0.0).delay_s for _ in range(9)]
    assert [0.75, 1.5, 3.0, 6.0, 12.0, 24.0, 45.0, 45.0, 45.0] == pytest.approx(waits)
    asked = FailureFacts("other", REFUSED.class_names, retry_after_s=100.0)
    assert 100.0 == fail(run, asked).delay_s


def test_what_cannot_be_helped_is_not_on_trial(run: Run[AnalyzerState]) -> None:
    """Nobody waits to see whether stopping mended a wrong key."""
    chosen = fail(run, FailureFacts("llm", status_code=401))
    assert (STOP_AND_REPORT, None) == (chosen.strategy, chosen.until)
    assert {} == run.state.trials
