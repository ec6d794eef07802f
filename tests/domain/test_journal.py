"""The agent's own steps."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.domain import journal
from lrm_actors.domain.behavior import Command, Context, Decision, Spec
from lrm_actors.domain.journal import (
    AbandonStep,
    BeginStep,
    CommitStep,
    JournalOpened,
    JournalState,
    OpenJournal,
    StepAbandoned,
    StepBegun,
    StepCommitted,
    StepInDoubt,
    StepRepeated,
)
from lrm_actors.errors import StepOrder
from tests.domain.kit import Run


def opened() -> Run[JournalState]:
    """A journal that its first process has opened."""
    run = Run.of(journal.spec())
    run.tell(OpenJournal())
    return run


def test_steps_run_from_one_without_gaps() -> None:
    """Each step begun gets the next number, and its commit is recorded with its result."""
    run = opened()
    for number in (1, 2, 3):
        assert {"step": number, "attempt": 1, "repeated": False} == run.ask(BeginStep("fetch"))
        assert (StepCommitted(number, "fetch", {"n": number}),) == run.tell(CommitStep(number, {"n": number}))
    assert 3 == run.state.committed


def test_opening_says_where_to_go_on() -> None:
    """A process that opens the journal hears which step was committed last, and that none is in doubt."""
    run = opened()
    run.tell(BeginStep("fetch"))
    run.tell(CommitStep(1, None))
    assert {"committed": 1, "in_doubt": None} == run.ask(OpenJournal())
    assert JournalOpened(2) == run.log[-1]


def test_a_step_that_a_dead_process_had_begun_is_in_doubt() -> None:
    """It is named on the record and in the reply, and its repetition too, with its next attempt."""
    run = opened()
    run.tell(BeginStep("fetch"))
    assert (JournalOpened(2), StepInDoubt(1, "fetch", 1)) == run.tell(OpenJournal())
    assert {"committed": 0, "in_doubt": {"step": 1, "name": "fetch", "attempt": 1}} == run.last.reply
    assert (StepRepeated(1, "fetch", 2), StepBegun(1, "fetch", 2)) == run.tell(BeginStep("fetch"))
    assert {"step": 1, "attempt": 2, "repeated": True} == run.last.reply
    assert 1 == run.state.repeated


def test_doubt_outlives_processes_that_do_not_resolve_it() -> None:
    """A process that opens and dies without a step leaves the doubt to the next one, without saying it twice."""
    run = opened()
    run.tell(BeginStep("fetch"))
    run.tell(OpenJournal())
    assert (JournalOpened(3),) == run.tell(OpenJournal())
    assert {"step": 1, "name": "fetch", "attempt": 1} == run.last.reply["in_doubt"]


def test_attempts_count_on_through_several_deaths() -> None:
    """A step that kills its process each time counts its attempts."""
    run = opened()
    for attempt in (1, 2, 3):
        assert {"step": 1, "attempt": attempt, "repeated": attempt > 1} == run.ask(BeginStep("fetch"))
        run.tell(OpenJournal())


@pytest.mark.parametrize(("committed", "abandoned"), [(1, 0), (0, 1)])
def test_the_host_may_resolve_a_doubt(committed: int, abandoned: int) -> None:
    """A host that found out whether the step happened commits it, or gives it up, without doing it again."""
    run = opened()
    run.tell(BeginStep("pay"))
    run.tell(OpenJournal())
    run.tell(CommitStep(1, "paid") if committed else AbandonStep(1, "was never sent"))
    assert (committed, abandoned) == (run.state.committed, run.state.abandoned)
    assert run.ask(BeginStep("next"))["repeated"] is False


def test_an_abandoned_step_keeps_its_number() -> None:
    """A step that failed is no gap: the next one has its number, counts as its next attempt, and is no repetition."""
    run = opened()
    run.tell(BeginStep("fetch"))
    assert (StepAbandoned(1, "fetch", "ReadTimeout"),) == run.tell(AbandonStep(1, "ReadTimeout"))
    assert {"step": 1, "attempt": 2, "repeated": False} == run.ask(BeginStep("fetch"))
    run.tell(CommitStep(1, None))
    assert {"step": 2, "attempt": 1, "repeated": False} == run.ask(BeginStep("fetch"))


@pytest.mark.parametrize(
    "command",
    [BeginStep("other"), CommitStep(2, None), CommitStep(0, None), AbandonStep(2, "")],
)
def test_out_of_order_is_refused(command: Command) -> None:
    """With step 1 open nothing can begin, and no other number can be committed or abandoned."""
    run = opened()
    run.tell(BeginStep("fetch"))
    with pytest.raises(StepOrder) as refused:
        run.tell(command)
    assert ("LRM-2009", "journal") == (refused.value.code, refused.value.actor)
    assert 1 == run.state.open.step if run.state.open else False


@pytest.mark.parametrize("command", [CommitStep(1, None), AbandonStep(1, "")])
def test_nothing_to_end(command: Command) -> None:
    """With no step open there is nothing to commit or abandon, and the error says what to do first."""
    with pytest.raises(StepOrder, match="no step is open") as refused:
        opened().tell(command)
    assert "begin the step first" == refused.value.hint


commands = st.one_of(
    st.just(OpenJournal()),
    st.builds(BeginStep, st.sampled_from(["a", "b"])),
    st.builds(CommitStep, st.integers(0, 5), st.none()),
    st.builds(AbandonStep, st.integers(0, 5), st.just("error")),
)


def play(spec: Spec[JournalState], sequence: list[Any]) -> None:
    """The checker: commits run from 1 without gaps, attempts of a step never go back, each repetition is on record."""
    run = Run.of(spec)
    attempts: dict[int, int] = {}
    for command in sequence:
        try:
            events = run.tell(command)
        except StepOrder:
            continue
        for fact in events:
            if isinstance(fact, StepCommitted):
                committed = [one.step for one in run.log if isinstance(one, StepCommitted)]
                assert list(range(1, len(committed) + 1)) == committed
            if isinstance(fact, StepBegun):
                assert fact.attempt == attempts.get(fact.step, 0) + 1
                attempts[fact.step] = fact.attempt
    doubts = [fact for fact in run.log if isinstance(fact, StepInDoubt)]
    repeated = [fact for fact in run.log if isinstance(fact, StepRepeated)]
    assert len(repeated) <= len(doubts)
    assert len(repeated) == run.state.repeated


@given(st.lists(commands, max_size=40))
def test_any_sequence_leaves_no_gap(sequence: list[Any]) -> None:
    """Whatever is asked in whatever order, the committed steps are 1 to n and every attempt is counted once."""
    play(journal.spec(), sequence)


def test_planted_gap_is_caught() -> None:
    """The checker sees a journal that gives an abandoned step's number away."""

    def planted(state: JournalState, event: object) -> JournalState:
        after = journal.evolve(state, event)
        return attrs.evolve(after, committed=1) if isinstance(event, StepAbandoned) else after

    sequence = [BeginStep("a"), AbandonStep(1, ""), BeginStep("a"), CommitStep(2, None)]
    play(journal.spec(), sequence)
    with pytest.raises(AssertionError):
        play(attrs.evolve(journal.spec(), evolve=planted), sequence)


def test_planted_silent_repetition_is_caught() -> None:
    """The checker sees a journal that forgets the attempts of a step in doubt."""

    def planted(state: JournalState, command: Any, ctx: Context) -> Decision:
        return journal.decide(attrs.evolve(state, in_doubt=None), command, ctx)

    sequence = [OpenJournal(), BeginStep("a"), OpenJournal(), BeginStep("a")]
    play(journal.spec(), sequence)
    with pytest.raises(AssertionError):
        play(attrs.evolve(journal.spec(), decide=planted), sequence)
