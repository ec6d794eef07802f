"""The state machine lets good actors live, and finds what is planted in actors, in the runtime and in the store."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from eventstore.errors import AppendFailed, OutcomeUnknown
from eventstore.records import Batch
from eventstore.store import SqliteStore
from lrm_actors.domain.behavior import Command, Context, Decision, Effect, StartTimer, then
from lrm_actors.runtime.committing import Committing
from lrm_actors.runtime.turn import Turn
from lrm_actors.testing import CheckFailed
from lrm_actors.testing.life import shared_vfs
from tests.faults.careless import careless
from tests.testing import faulty
from tests.testing import mailing as m
from tests.testing.machines import Mailing, Never, Wired, live


@pytest.mark.parametrize("machine", [Mailing, Never, Wired])
def test_good_actors_live(machine: Any, release: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Through everything, in many lives of many steps."""
    lives, steps = (400, 40) if release else (6, 20)
    live(machine, lives, steps)
    with capsys.disabled():
        print(f"\n{machine.__name__}: {lives} lives of up to {steps} steps")


Told = m.Plan | m.NoteSent | m.Remind

# --- faults of actors ---------------------------------------------------------------------------------------------


def again(state: m.Outbox, ctx: Context) -> Decision:
    """Sends everything again that ever was planned, whatever is known to be sent."""
    return then(effects=[m.Deliver(number, "a") for number in range(1, state.count + 1)])


def only_the_timer(state: m.Outbox, ctx: Context) -> Decision:
    """Starts the reminder again, and forgets what was to be sent."""
    kept = [one for one in m.recover(state, ctx).effects if isinstance(one, StartTimer)]
    return then(effects=kept)


def sent_by_number(state: m.Outbox, command: Told, ctx: Context) -> Decision:
    """The effect names the number alone, so that it is equal to itself."""
    decision = m.decide(state, command, ctx)
    effects = tuple([m.Deliver(one.number, "a") if isinstance(one, m.Deliver) else one for one in decision.effects])
    return attrs.evolve(decision, effects=effects)


def raising(state: m.Outbox, command: Told, ctx: Context) -> Decision:
    """Cannot take what it is told."""
    if isinstance(command, m.NoteSent) and not state.waiting:
        raise LookupError(command.number)
    return m.decide(state, command, ctx)


def spinning(state: m.Outbox, command: Told, ctx: Context) -> Decision:
    """Tells itself the same for ever."""
    return then(effects=[StartTimer("spin", 0.0, m.Remind())])


@attrs.frozen
class Ring(Effect):
    """Of a bell: nothing is known of it afterwards."""


def eventless(state: m.Outbox, command: Told, ctx: Context) -> Decision:
    """An effect without an event: a retry has it carried out once more."""
    return then(effects=[Ring()])


class Bells(Mailing):
    """One that rings at everything."""

    changes = {"decide": eventless}  # noqa: RUF012 - as in the base

    def make(self, store: Any, clock: Any) -> Any:
        """With somebody to ring it."""
        from lrm_actors.runtime.system import ActorSystem

        return ActorSystem(store, [m.mailing(**self.changes)], handlers={Ring: lambda _: None}, clock=clock)


class Beside(Mailing):
    """It keeps count beside its state, as somebody may who forgets that a process ends."""

    def make(self, store: Any, clock: Any) -> Any:
        """Each life begins to count anew."""
        self.count = 0
        return super().make(store, clock)

    def deliver(self, effect: m.Deliver) -> Command | None:
        """Counts what it sends."""
        self.count += 1
        return super().deliver(effect)

    def observe(self, system: Any) -> Any:
        """What it counted, of the running system; of the model, what it should be."""
        return self.count if system is self.life.system else system.state("mailing").sent


class Released(Mailing):
    """Two releases by turns, with different folds and the snapshots of one another."""

    lives = 0

    def make(self, store: Any, clock: Any) -> Any:
        """In every other life."""
        self.lives += 1
        self.changes = {} if self.lives % 2 else {"evolve": another_fold}
        return super().make(store, clock)


def another_fold(state: m.Outbox, fact: Any) -> m.Outbox:
    """Counts reminders otherwise than yesterday."""
    after = m.evolve(state, fact)
    return attrs.evolve(after, reminders=after.reminders + 1)


class Refusing(Wired):
    """A consumer that fails on what it is wired to."""

    may_fail = True

    counter = attrs.evolve(Wired.counter, decide=lambda state, command, ctx: 1 / 0)


def faulty_mailing(**changes: Any) -> type[Mailing]:
    """The mailing machine with something planted in its actor."""
    return type("Faulty", (Mailing,), {"changes": changes, "__module__": __name__})


ACTORS: dict[str, tuple[str, type[Mailing]]] = {
    "a fold that counts for itself": ("evolve-differs|state-is-not-the-fold", faulty_mailing(evolve=faulty.numbered)),
    "a state that cannot be kept": ("state-not-storable", faulty_mailing(evolve=faulty.bad_state)),
    "what is sent is sent again": ("effect-repeated", faulty_mailing(decide=sent_by_number, recover=again)),
    "what was to be sent is forgotten": ("effect-forgotten", faulty_mailing(recover=only_the_timer)),
    "a timer that is not started again": ("timer-forgotten", type("Lost", (Never,), {"changes": {"recover": None}})),
    "an error where a refusal belongs": ("actor-failed", faulty_mailing(decide=raising)),
    "an actor that tells itself for ever": ("never-at-rest", faulty_mailing(decide=spinning)),
    "an effect without an event": ("retry-repeats", Bells),
    "a count beside the state": ("observed-differs", Beside),
    "a new fold without a new version of the state": ("recovery-differs|state-is-not-the-fold", Released),
    "a consumer that fails on what is wired": ("delivery-skipped", Refusing),
}


def retried_later(state: m.Outbox, ctx: Context) -> Decision:
    """Waits a while before it sends again."""
    kept = only_the_timer(state, ctx).effects
    return then(effects=[*kept, StartTimer("retry", 5.0, m.Remind())]) if state.waiting else then(effects=kept)


def given_up(state: m.Outbox, ctx: Context) -> Decision:
    """Says on record that it sends nothing again, as where a second letter would be worse than none."""
    return then(*[m.Sent(mail.number) for mail in state.waiting])


class Spared(faulty_mailing(recover=only_the_timer)):  # type: ignore[misc]  # a class that is made here
    """Of which nobody wants to know."""

    expendable = (m.Deliver,)


class Untold(faulty_mailing(recover=only_the_timer)):  # type: ignore[misc]  # a class that is made here
    """Hands whose end is never told, so that no recovery can know what is done."""

    deliver = Never.deliver


@pytest.mark.parametrize(
    "machine",
    [faulty_mailing(recover=retried_later), faulty_mailing(recover=given_up), Spared, Untold],
    ids=["by a timer", "by an event", "expendable", "untold"],
)
def test_an_effect_is_not_forgotten_where_its_actor_says_what_becomes_of_it(machine: Any) -> None:
    """By another timer or an event; nor where nobody wants it or could know that it was done."""
    live(machine, 15)


@pytest.mark.parametrize("fault", ACTORS)
def test_a_planted_fault_of_an_actor_is_found(fault: str) -> None:
    """Within some lives, and named by its rule."""
    rule, machine = ACTORS[fault]
    with pytest.raises(CheckFailed, match=rule):
        live(machine, 100)


# --- faults of the runtime and of the store -----------------------------------------------------------------------


def off_by_one(monkeypatch: pytest.MonkeyPatch) -> type[Mailing]:
    """A snapshot that says it is one event older than it is."""
    taken = Turn._snapshot

    def planted(turn: Turn) -> tuple[Any, ...]:
        return tuple(shot.__class__(shot.stream, shot.version - 1, shot.schema, shot.data) for shot in taken(turn))

    monkeypatch.setattr(Turn, "_snapshot", planted)
    return Mailing


def answers_first(monkeypatch: pytest.MonkeyPatch) -> type[Mailing]:
    """The asker is answered, and then the turn is appended."""
    append = Committing._append

    def planted(shell: Committing, turn: Turn, *args: Any, **options: Any) -> None:
        for outcome in turn.outcomes:
            if outcome.envelope.reply_to is not None and outcome.refused is None:
                outcome.envelope.reply_to.set(outcome.reply)
        append(shell, turn, *args, **options)

    monkeypatch.setattr(Committing, "_append", planted)
    return Mailing


def keeps_no_cursor(monkeypatch: pytest.MonkeyPatch) -> type[Mailing]:
    """A consumer that keeps its cursor in memory alone."""
    append = Committing._append

    def planted(shell: Committing, turn: Turn, *args: Any, **options: Any) -> None:
        cursor, turn.cursor = turn.cursor, None
        append(shell, turn, *args, **options)
        if cursor is not None:
            shell._consumer.position = cursor

    monkeypatch.setattr(Committing, "_append", planted)
    return Wired


def forgets_replies(monkeypatch: pytest.MonkeyPatch) -> type[Mailing]:
    """No reply is kept, so that a retry is carried out once more."""
    batch = Turn.batch

    def planted(turn: Turn, *args: Any, **options: Any) -> Batch | None:
        turn._receipts = {}
        return batch(turn, *args, **options)

    monkeypatch.setattr(Turn, "batch", planted)
    return Mailing


def swallows_failures(monkeypatch: pytest.MonkeyPatch) -> type[Mailing]:
    """An append that failed is taken for one that did not."""
    append = SqliteStore.append

    def planted(store: SqliteStore, batch: Batch) -> Any:
        try:
            return append(store, batch)
        except (AppendFailed, OutcomeUnknown):
            store.settle()
            return type("Appended", (), {"first_position": store.head + 1})()

    monkeypatch.setattr(SqliteStore, "append", planted)
    return Mailing


def does_not_wait(monkeypatch: pytest.MonkeyPatch) -> type[Mailing]:
    """Commits do not wait for the disk: no kill shows it, a power cut does."""
    vfs = shared_vfs()
    assert vfs is not None
    return type("Careless", (Mailing,), {"store_options": {"connect": careless(vfs)}})


def keeps_refusals(monkeypatch: pytest.MonkeyPatch) -> type[Mailing]:
    """Refusals are kept to itself: the asker waits for ever."""
    answer = Committing._answer

    def planted(shell: Committing, outcome: Any) -> None:
        if outcome.refused is None:
            answer(shell, outcome)

    monkeypatch.setattr(Committing, "_answer", planted)
    return Mailing


RUNTIME: tuple[tuple[str, Any], ...] = (
    ("recovery-differs|state-is-not-the-fold", off_by_one),
    ("acknowledged-lost", answers_first),
    ("applied-twice", keeps_no_cursor),
    ("applied-twice", forgets_replies),
    ("state-is-not-the-fold|actor-failed|acknowledged-lost", swallows_failures),
    ("acknowledged-lost", does_not_wait),
    ("never-answered", keeps_refusals),
)


@pytest.mark.parametrize(("rule", "plant"), RUNTIME, ids=[plant.__name__ for _, plant in RUNTIME])
def test_a_planted_fault_of_the_runtime_or_the_store_is_found(
    rule: str, plant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the same rules, with actors that have none."""
    machine = plant(monkeypatch)
    with pytest.raises(CheckFailed, match=rule):
        live(machine, 100)
