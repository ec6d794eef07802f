"""The kit shows what a command comes to, and finds every fault that is planted in an actor."""

from __future__ import annotations

import contextlib
from typing import Any

import attrs
import hypothesis
import pytest

from eventstore.events import event
from lrm_actors.domain import analyzer, checkpointer, journal, modes, monitor, supervisor
from lrm_actors.domain.behavior import Command, Context, Decision, Spec, then
from lrm_actors.errors import CommandRefused, OutcomeUnknown, StorageUnavailable
from lrm_actors.testing import BehaviorKit, CheckFailed, check_log
from lrm_actors.testing.checks import RULES
from lrm_actors.testing.strategies import commands, commands_of, fault_schedules, histories
from tests.machines.commands import COMMANDS
from tests.testing import faulty
from tests.testing import mailing as m
from tests.testing.faulty import FAULTS
from tests.testing.mailing import mailing

OURS = (supervisor, monitor, analyzer, checkpointer, modes, journal)

# --- what it shows ------------------------------------------------------------------------------------------------


def test_a_command_comes_to_events_state_reply_effects_and_timers() -> None:
    """All of it is at hand, and nothing was carried out."""
    kit = BehaviorKit(mailing())
    result = kit.run(m.Plan("hello"))
    at_s = kit.clock.monotonic() + 60.0
    assert (m.Planned(1, "hello", at_s),) == result.events == kit.events
    assert m.Outbox((m.Mail(1, "hello"),), 1, remind_at_s=at_s) == result.state == kit.state
    assert result.reply == 1
    assert (m.Deliver(1, "hello"),) == result.effects
    assert {"remind": m.Remind()} == kit.timers
    assert kit.version == 1


def test_a_timer_sends_its_command_when_time_has_come() -> None:
    """Not before, and not when it was cancelled."""
    kit = BehaviorKit(mailing())
    kit.run(m.Plan("hello"))
    assert () == kit.advance(59.0)
    (result,) = kit.advance(1.0)
    assert (m.Reminded(),) == result.events
    kit.run(m.NoteSent(1))
    assert {} == kit.timers
    assert () == kit.advance(1000.0)


def test_a_failure_behind_a_timer_is_raised_by_advance() -> None:
    """It would be lost in the clock otherwise."""

    def fall(state: m.Outbox, command: Any, ctx: Context) -> Decision:
        if isinstance(command, m.Remind):
            raise ValueError("it fell")
        return m.decide(state, command, ctx)

    kit = BehaviorKit(mailing(decide=fall))
    kit.run(m.Plan("hello"))
    with pytest.raises(ValueError, match="it fell"):
        kit.advance(60.0)


def test_a_refusal_changes_nothing() -> None:
    """And reaches the test as it reaches an asker."""
    kit = BehaviorKit(mailing())
    with pytest.raises(CommandRefused, match="empty"):
        kit.run(m.Plan(""))
    assert (0, m.Outbox()) == (kit.version, kit.state)


def test_a_restart_recovers_the_same_state_and_takes_up_what_is_in_doubt() -> None:
    """The effect that nobody has confirmed, and the timer with what is left of its time."""
    kit = BehaviorKit(mailing())
    kit.run(m.Plan("hello"))
    kit.advance(50.0)
    restarted = kit.restart()
    assert (kit.state, (), (m.Deliver(1, "hello"),)) == (restarted.state, restarted.events, restarted.effects)
    (result,) = kit.advance(10.0)
    assert (m.Reminded(),) == result.events


def test_it_begins_with_a_history_and_knows_every_version() -> None:
    """Given as events; the state at each of them can be looked at."""
    kit = BehaviorKit(mailing())
    kit.initialize(m.Planned(1, "a", 5.0), m.Planned(2, "b", 6.0), m.Sent(1))
    assert [0, 1, 2, 1] == [len(kit.state_at(version).waiting) for version in range(4)]
    with pytest.raises(ValueError, match="within 0 and 3"):
        kit.state_at(4)
    assert 3 == kit.run(m.Plan("c")).reply
    kit.clear()
    assert ((), m.Outbox()) == (kit.events, kit.state)


def test_an_append_that_fails_stores_nothing() -> None:
    """The asker is told so, and the next command is decided on the state before."""
    kit = BehaviorKit(mailing())
    kit.fail_next_append()
    with pytest.raises(StorageUnavailable):
        kit.run(m.Plan("a"))
    assert (0, m.Outbox(), {}) == (kit.version, kit.state, kit.timers)
    assert 1 == kit.run(m.Plan("a")).reply


@pytest.mark.parametrize(("outcome", "version"), [("unknown, stored", 1), ("unknown, lost", 0)])
def test_after_an_unknown_outcome_a_retry_does_it_once(outcome: Any, version: int) -> None:
    """Whichever way it turned out."""
    kit = BehaviorKit(mailing())
    kit.fail_next_append(outcome)
    with pytest.raises(OutcomeUnknown):
        kit.run(m.Plan("a"), command_id="mine")
    assert version == kit.version
    again = kit.run(m.Plan("a"), command_id="mine")
    assert (1, bool(version)) == (again.reply, again.repeated)
    assert 1 == kit.version


def test_every_run_of_the_same_test_draws_the_same_chance_and_ids() -> None:
    """And another seed draws others."""

    @event("testing.drawn", 1)
    class Drawn:
        chance: float
        ident: str

    def draw(state: Any, command: Any, ctx: Context) -> Decision:
        return then(Drawn(ctx.random(), ctx.new_id()))

    def first(seed: int) -> list[object]:
        kit = BehaviorKit(Spec("drawing", m.Outbox(), draw, lambda state, fact: state), seed=seed)
        return [*kit.run(m.Remind()).events, *kit.run(m.Remind()).events]

    assert first(1) == first(1) != first(2)
    assert len(set(first(1))) == 2


@pytest.mark.parametrize("module", OURS)
@hypothesis.settings(max_examples=8)
@hypothesis.given(drawn=hypothesis.strategies.data())
def test_our_own_actors_keep_every_rule(module: Any, drawn: Any) -> None:
    """Whatever they are told, with a snapshot every few events."""
    spec: Spec[Any] = attrs.evolve(module.spec(), snapshot_every=3)
    kit: BehaviorKit[Any] = BehaviorKit(spec)
    kit.restart()
    for command in drawn.draw(hypothesis.strategies.lists(COMMANDS[spec.name], max_size=8)):
        with contextlib.suppress(CommandRefused):
            kit.run(command)
    kit.restart()


# --- faults that are planted --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "part", "fault"), FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_fault_is_found(rule: str, part: str, fault: Any) -> None:
    """By a command and a restart, and named by its rule."""
    kit = BehaviorKit(mailing(**{part: fault}))
    with pytest.raises(CheckFailed, match=rule) as caught:
        kit.run(m.Plan("hello"))
        kit.restart()
    assert (rule, "mailing", RULES[rule]) == (caught.value.rule, caught.value.actor, caught.value.hint)


def test_a_planted_retry_that_does_it_again_is_found() -> None:
    """An effect without an event: no reply is kept, so the retry is carried out once more."""
    kit = BehaviorKit(mailing(decide=faulty.careless))
    kit.run(m.Plan("a"), command_id="mine")
    with pytest.raises(CheckFailed, match="retry-repeats"):
        kit.run(m.Plan("a"), command_id="mine")


def test_a_planted_command_that_cannot_be_kept_is_found_where_it_must_be() -> None:
    """Only who asks for it is told: not every command has to be kept."""
    spec = mailing(decide=lambda state, command, ctx: then())
    BehaviorKit(spec).run(faulty.Odd(print))
    with pytest.raises(CheckFailed, match="command-not-storable"):
        BehaviorKit(spec, store_commands=True).run(faulty.Odd(print))
    with pytest.raises(CheckFailed, match="command-not-storable"):
        BehaviorKit(mailing(decide=faulty.bad_timer), store_commands=True).run(m.Remind())


def test_a_planted_change_without_a_new_state_version_is_found() -> None:
    """A log of an earlier release with a snapshot, which today's actor would fold otherwise."""
    kit = BehaviorKit(mailing())
    for text in ("a", "b", "c", "d", "e"):
        kit.run(m.Plan(text))

    def counting_more(state: m.Outbox, fact: Any) -> m.Outbox:
        after = m.evolve(state, fact)
        return attrs.evolve(after, reminders=after.reminders + 1)

    assert check_log(kit.log, mailing()) == 6
    with pytest.raises(CheckFailed, match="recovery-differs: mailing: the snapshot at version 4"):
        check_log(kit.log, mailing(evolve=counting_more))
    check_log(kit.log, mailing(evolve=counting_more, state_version=2))


def test_what_only_tells_is_no_decision(caplog: pytest.LogCaptureFixture) -> None:
    """A line for the log of the program may be written, and modules may be loaded."""
    import logging

    def telling(state: m.Outbox, command: Any, ctx: Context) -> Decision:
        logging.getLogger("actors").warning("deciding on %r", command)
        import colorsys

        return then(reply=colorsys.ONE_THIRD)

    with caplog.at_level("WARNING"):
        BehaviorKit(mailing(decide=telling)).run(m.Remind())
    assert "deciding on Remind()" in caplog.text


# --- strategies ---------------------------------------------------------------------------------------------------


def test_commands_are_drawn_by_their_types() -> None:
    """From small pools most often, and others that a caller gives."""
    found: list[Command] = []

    @hypothesis.settings(max_examples=100)
    @hypothesis.given(commands(m.Plan, m.NoteSent))
    def draw(command: Command) -> None:
        found.append(command)

    draw()
    assert {m.Plan, m.NoteSent} == {type(command) for command in found}
    assert found.count(m.Plan("a")) > 1

    @hypothesis.settings(max_examples=10)
    @hypothesis.given(commands(m.Plan, fields={"text": hypothesis.strategies.just("mine")}))
    def given(command: Command) -> None:
        assert m.Plan("mine") == command

    given()
    with pytest.raises(ValueError, match="at least one"):
        commands()


def test_the_commands_of_an_actor_are_those_its_decide_names() -> None:
    """Or all of its module, where it says no more."""
    assert (m.Plan, m.NoteSent, m.Remind) == commands_of(mailing())
    assert {journal.OpenJournal, journal.BeginStep} <= set(commands_of(journal.spec()))


def test_the_command_is_the_second_argument_whatever_else_is_annotated() -> None:
    """Also of a method, and where only the context says what it is, everything in the module is meant."""

    def bare(state, command: m.Plan, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return then()

    class Keeper:
        def decide(self, state, command: m.Plan | m.Remind, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            return then()

    def unsaid(state: m.Plan, command, context: m.Remind):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return then()

    def found(decide: Any) -> tuple[type[Command], ...]:
        return commands_of(attrs.evolve(mailing(), decide=decide, commands=()))

    assert (m.Plan,) == found(bare)
    assert (m.Plan, m.Remind) == found(Keeper().decide)
    assert not {m.Plan, m.Remind} & set(found(unsaid))


@hypothesis.given(history=histories(m.Planned, m.Sent, m.Reminded), drawn=hypothesis.strategies.data())
def test_an_actor_takes_any_history(history: tuple[object, ...], drawn: Any) -> None:
    """And any command after it."""
    kit = BehaviorKit(mailing())
    kit.initialize(*history)
    assert kit.state == kit.state_at(len(history))
    try:
        kit.run(drawn.draw(commands(m.Plan, m.NoteSent, m.Remind)))
    except CommandRefused:
        assert len(history) == kit.version


@hypothesis.given(fault_schedules("crash", "io error", commands=5, max_faults=3))
def test_a_schedule_is_in_order_and_within_its_bounds(schedule: Any) -> None:
    """And has nothing in it that was not asked for."""
    assert len(schedule) <= 3
    assert sorted(fault.before for fault in schedule) == [fault.before for fault in schedule]
    assert all(fault.kind in ("crash", "io error") and 0 <= fault.before < 5 for fault in schedule)


def test_a_fault_that_there_is_not_is_refused() -> None:
    """By name."""
    with pytest.raises(ValueError, match="earthquake: it is one of crash"):
        fault_schedules("earthquake")  # type: ignore[arg-type]  # what is under test
