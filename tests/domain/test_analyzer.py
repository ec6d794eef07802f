"""The analyzer: failures recorded, classified, and answered with a strategy."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.codec import decode_events, decode_state, encode_event, encode_state
from lrm_actors.domain import analyzer
from lrm_actors.domain import classify as kinds
from lrm_actors.domain.analysis import folding
from lrm_actors.domain.analyzer import (
    CLEAN_UP_CHECKPOINTS,
    CLEAR_CACHES,
    LEAVE_ALONE,
    REDUCE_LOAD,
    RESTART_COMPONENT,
    RETRY_WITH_BACKOFF,
    STOP_AND_REPORT,
    STRATEGIES,
    WAIT_FOR_BREAKER,
    AnalyzerState,
    Configure,
    Configured,
    FailureFacts,
    FailureRecorded,
    NoteRecovery,
    RecordFailure,
    RecoveryChosen,
    RecoveryFinished,
    RecoveryWithheld,
    choose,
)
from lrm_actors.domain.behavior import Command, Context, Decision
from lrm_actors.errors import CommandRefused
from tests.domain.kit import START, Run, at

TIMEOUT = FailureFacts("llm", ("httpx.ReadTimeout", "BaseException"))
CRASH = FailureFacts("browser", ("playwright.TargetClosedError", "BaseException"), message="Page crashed")
OPENED = FailureFacts("llm", message="5 timeouts in a row", observation="breaker_opened")


@pytest.fixture
def run() -> Run[AnalyzerState]:
    """An analyzer that has just come to life."""
    return Run.of(analyzer.spec())


# The failure table of the feature document


@pytest.mark.parametrize(
    ("facts", "strategy"),
    [
        (CRASH, RESTART_COMPONENT),
        (TIMEOUT, RETRY_WITH_BACKOFF),
        (OPENED, WAIT_FOR_BREAKER),
        (FailureFacts("agent", ("MemoryError", "BaseException")), CLEAR_CACHES),
        (FailureFacts("agent", observation="cpu_overload"), REDUCE_LOAD),
        (FailureFacts("site", ("ConnectionRefusedError", "ConnectionError", "BaseException")), RETRY_WITH_BACKOFF),
        (FailureFacts("browser", observation="heartbeat_missed"), RESTART_COMPONENT),
        (FailureFacts("worker", observation="component_exited", exit_status=-9), RESTART_COMPONENT),
        (FailureFacts("checkpointer", ("OSError",), os_error="ENOSPC"), CLEAN_UP_CHECKPOINTS),
        (FailureFacts("agent", ("KeyError", "LookupError", "BaseException")), STOP_AND_REPORT),
        (FailureFacts("llm", status_code=429), WAIT_FOR_BREAKER),
        (FailureFacts("llm", status_code=401), STOP_AND_REPORT),
        (FailureFacts("agent", ("custom.Odd", "BaseException")), RETRY_WITH_BACKOFF),
    ],
)
def test_strategy(run: Run[AnalyzerState], facts: FailureFacts, strategy: str) -> None:
    """Each kind of failure is answered with the recovery that suits it."""
    assert strategy == run.ask(RecordFailure(facts))["strategy"]


def test_every_category_has_a_strategy() -> None:
    """No category is left without an answer, and each answer says why."""
    for category in kinds.CATEGORIES:
        strategy, reason = choose(category, FailureFacts("any"))
        assert strategy in STRATEGIES
        assert reason.startswith(f"{category}: ")


# Recording


def test_a_failure_is_recorded_and_its_recovery_chosen(run: Run[AnalyzerState]) -> None:
    """The recovery follows the record in the same decision, so that the log names the failure as its cause."""
    run.seconds = 5.0
    recorded, chosen = run.tell(RecordFailure(CRASH))
    assert isinstance(recorded, FailureRecorded)
    assert ("browser", "browser_crash", CRASH) == (recorded.component, recorded.category, recorded.facts)
    assert (START.monotonic_s + 5.0, START.boot_id) == (recorded.at_s, recorded.boot_id)
    assert isinstance(chosen, RecoveryChosen)
    assert ("browser", "browser_crash", RESTART_COMPONENT) == (chosen.component, chosen.category, chosen.strategy)
    assert ("browser_crash: the browser is gone", recorded.fingerprint) == (chosen.reason, chosen.fingerprint)
    reply = {"category": "browser_crash", "strategy": "restart_component", "acted": True, "delay_s": 0.0}
    assert {**reply, "severity": 2, "reason": chosen.reason} == run.last.reply


def test_without_auto_recovery_nothing_is_acted_on(run: Run[AnalyzerState]) -> None:
    """The failure is classified and reported all the same; what would have been done is only said."""
    assert (Configured(auto_recovery=False),) == run.tell(Configure(auto_recovery=False))
    assert () == run.tell(Configure(auto_recovery=False))
    recorded, withheld = run.tell(RecordFailure(CRASH))
    assert isinstance(recorded, FailureRecorded)
    assert isinstance(withheld, RecoveryWithheld)
    assert RESTART_COMPONENT == withheld.strategy
    assert not run.last.reply["acted"]
    run.tell(Configure(auto_recovery=True))
    assert isinstance(run.tell(RecordFailure(CRASH))[1], RecoveryChosen)


def test_a_cancellation_is_no_failure(run: Run[AnalyzerState]) -> None:
    """Nothing is recorded and nothing recovered: whoever cancels means it."""
    reply = run.ask(RecordFailure(FailureFacts("agent", ("asyncio.CancelledError", "BaseException"))))
    assert {"category": "cancelled", "strategy": LEAVE_ALONE, "acted": False} == reply
    assert [] == run.log


@pytest.mark.parametrize(
    ("facts", "saved"),
    [
        (FailureFacts("agent", ("MemoryError", "BaseException")), True),
        (FailureFacts("agent", ("OSError",), os_error="EMFILE"), True),
        (FailureFacts("agent", ("KeyError", "LookupError", "BaseException")), True),
        (TIMEOUT, False),
        (CRASH, False),
    ],
)
def test_state_is_saved_first_where_the_process_may_be_next(
    run: Run[AnalyzerState], facts: FailureFacts, saved: bool
) -> None:
    """An emergency checkpoint is asked for where the process itself is in danger, or the agent is to stop."""
    chosen = run.tell(RecordFailure(facts))[1]
    assert isinstance(chosen, RecoveryChosen)
    assert saved == chosen.emergency_checkpoint


# In a row


def strategies(run: Run[AnalyzerState], facts: FailureFacts, count: int, apart_s: float = 1.0) -> list[str]:
    """The strategies of several failures alike."""
    chosen = []
    for _ in range(count):
        run.seconds += apart_s
        chosen.append(run.ask(RecordFailure(facts))["strategy"])
    return chosen


def test_what_does_not_help_is_not_repeated(run: Run[AnalyzerState]) -> None:
    """The second page in a row that times out means the browser; the third timeout of a service means its breaker."""
    page = FailureFacts("browser", ("playwright.TimeoutError", "BaseException"))
    assert [RETRY_WITH_BACKOFF, RESTART_COMPONENT] == strategies(run, page, 2)
    assert [RETRY_WITH_BACKOFF, RETRY_WITH_BACKOFF, WAIT_FOR_BREAKER] == strategies(run, TIMEOUT, 3)
    leak = FailureFacts("cache", ("MemoryError", "BaseException"))
    assert [CLEAR_CACHES, RESTART_COMPONENT] == strategies(run, leak, 2)


def test_a_recovery_ends_the_row(run: Run[AnalyzerState]) -> None:
    """After a restart that went well the count begins anew; after one that failed it goes on."""
    page = FailureFacts("browser", ("playwright.TimeoutError", "BaseException"))
    strategies(run, page, 1)
    *_, finished = run.tell(NoteRecovery("browser", ok=True))
    assert isinstance(finished, RecoveryFinished)
    assert ("browser", True) == (finished.component, finished.ok)
    assert [RETRY_WITH_BACKOFF] == strategies(run, page, 1)
    run.tell(NoteRecovery("browser", ok=False))
    assert [RESTART_COMPONENT] == strategies(run, page, 1)
    assert (1, 1) == (run.state.recoveries, run.state.given_up)


def test_failures_far_apart_are_not_in_a_row(run: Run[AnalyzerState]) -> None:
    """One slow page an hour never restarts the browser; nor does one before and one after a reboot."""
    page = FailureFacts("browser", ("playwright.TimeoutError", "BaseException"))
    assert {RETRY_WITH_BACKOFF} == set(strategies(run, page, 5, apart_s=3600.0))
    run.seconds, run.boot_id = 1.0, "another"
    assert [RETRY_WITH_BACKOFF] == strategies(run, page, 1)


# Whatever happens


def test_memory_of_failures_is_bounded(run: Run[AnalyzerState], monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest 50 failures are kept one by one, the others as counts; rows of a bounded number of components."""
    assert 256 == analyzer.MAX_STREAKS
    monkeypatch.setattr(folding, "MAX_STREAKS", 60)  # each step folds all the log: fewer show as much
    for number in range(70):
        run.tell(RecordFailure(FailureFacts(f"component {number}", message=f"failure {number}")))
    assert 50 == len(run.state.recent)
    assert "component 69" == run.state.recent[-1].component
    assert {"unknown": 70} == run.state.counts
    assert 60 == len(run.state.streaks)


facts_strategy = st.builds(
    FailureFacts,
    st.sampled_from(["browser", "llm", "site"]),
    st.lists(st.sampled_from(["MemoryError", "KeyError", "httpx.ReadTimeout", "BaseException"]), max_size=3).map(tuple),
    st.text(max_size=20),
    st.one_of(st.none(), st.integers(100, 599)),
    observation=st.sampled_from(["", "heartbeat_missed", "component_exited", "breaker_opened"]),
)
commands = st.one_of(
    st.builds(RecordFailure, facts_strategy),
    st.builds(NoteRecovery, st.sampled_from(["browser", "llm"]), st.booleans()),
    st.builds(Configure, st.booleans()),
)


@given(st.lists(st.tuples(st.floats(0.0, 400.0), commands), max_size=30))
def test_state_is_the_fold_of_what_is_stored(steps: list[tuple[float, Command]]) -> None:
    """After every event, the state is the fold of the events as they come back from storage; snapshots too."""
    run = Run.of(analyzer.spec())
    stored = run.spec.initial
    for seconds, command in steps:
        run.seconds += seconds
        before = run.state
        facts = run.tell(command)
        for fact in facts:
            kind, data = encode_event(fact)
            for back in decode_events(1, kind.name, kind.version, data):
                stored = analyzer.evolve(stored, back)
        assert stored == run.state
        assert stored == decode_state(encode_state(stored), AnalyzerState)
        if isinstance(command, RecordFailure) and facts:
            assert 1 == sum(isinstance(one, FailureRecorded) for one in facts)
            assert isinstance(facts[-1], RecoveryChosen) == before.auto_recovery


def acts_although_off(decide: Callable[[AnalyzerState, Command, Context], Decision]) -> bool:
    """The checker: whether a recovery is chosen while automatic recovery is off."""
    state = AnalyzerState(auto_recovery=False)
    decision = decide(state, RecordFailure(CRASH), at(0.0))
    return any(isinstance(fact, RecoveryChosen) for fact in decision.events)


def test_the_checker_sees_a_recovery_that_should_be_withheld() -> None:
    """The planted bug: the setting is not looked at."""

    def careless(state: AnalyzerState, command: Command, ctx: Context) -> Decision:
        return analyzer.decide(AnalyzerState(), command, ctx)

    assert not acts_although_off(analyzer.decide)
    assert acts_although_off(careless)


def test_commands_of_others_are_refused() -> None:
    """A command that is none of the analyzer's is refused, and nothing is restarted for it."""
    with pytest.raises(CommandRefused):
        analyzer.decide(AnalyzerState(), Command(), at(0.0))


def test_an_opened_circuit_says_why_it_opened() -> None:
    """In the words of the breaker, or that there are none."""
    for said, told in (("3 timeouts in a row", "3 timeouts in a row"), ("", "no reason given")):
        facts = FailureFacts("llm", message=said, observation="breaker_opened")
        strategy, reason = choose(kinds.CIRCUIT_OPEN, facts)
        assert (WAIT_FOR_BREAKER, f"{kinds.CIRCUIT_OPEN}: the circuit opened, {told}") == (strategy, reason)
