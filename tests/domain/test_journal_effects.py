"""Effects over whole histories: whatever is begun, killed, settled or forgotten, nothing finished is done again.

A model of the outside counts what was really done. Each planted bug is a journal with one rule left out.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore.codec import decode_state, encode_state
from lrm_actors.domain import journal
from lrm_actors.domain.behavior import Command, Context, Decision, Spec
from lrm_actors.domain.journal import (
    AbandonStep,
    BeginStep,
    CommitStep,
    DoubtEffect,
    EffectIntended,
    EffectSettled,
    EffectsForgotten,
    EffectUnfinished,
    FailEffect,
    FinishEffect,
    ForgetEffects,
    IntendEffect,
    JournalState,
    OpenJournal,
    SettleEffect,
    StepAbandoned,
    StepBegun,
    StepCommitted,
)
from lrm_actors.domain.journaling import effects
from lrm_actors.domain.journaling.aside import Aside
from lrm_actors.domain.journaling.book import (
    DONE,
    FINISHED,
    IN_DOUBT,
    INTENDED,
    NOT_HAPPENED,
    SKIPPED,
    Book,
    Recorded,
)
from lrm_actors.domain.journaling.state import EFFECT_EVENTS, snapshot_due
from lrm_actors.errors import CommandRefused, JournalMismatch, NoSuchEffect, StepOrder, TooManyEffects
from tests.domain.kit import Run, at

NAMES = ("send", "fetch")
ENDS = ("finish", "fail", "doubt", "nothing")
"""What the process says of an effect that it carried out; ``nothing``: it is killed or forgets."""
moves = st.one_of(
    st.tuples(st.just("begin"), st.sampled_from(("post", "read"))),
    st.tuples(st.just("effect"), st.sampled_from(NAMES), st.integers(1, 2), st.sampled_from(ENDS)),
    st.tuples(st.just("late"), st.sampled_from(NAMES), st.integers(1, 2)),
    st.tuples(st.just("commit"), st.booleans()),
    st.tuples(st.just("abandon"), st.booleans()),
    st.just(("kill",)),
    st.tuples(st.just("settle"), st.sampled_from(NAMES), st.sampled_from((DONE, NOT_HAPPENED, SKIPPED))),
    st.just(("forget",)),
    st.tuples(st.just("anew"), st.sampled_from(NAMES)),
)

Key = tuple[int, str, int]


@attrs.define
class Outside:
    """What the log says by itself of one effect, kept apart from the journal's own state."""

    finished: bool = False
    open: bool = False
    """Intended, and neither ended nor put in doubt since."""


class Broken(AssertionError):
    """A rule of the journal does not hold."""


@attrs.define
class History:
    """One life of an agent after another, on one journal, and what its log must keep to."""

    run: Run[JournalState]
    known: dict[Key, Outside] = attrs.Factory(dict)
    attempts: dict[Key, int] = attrs.Factory(dict)
    seen: Counter[str] = attrs.Factory(Counter)

    def do(self, command: Command) -> bool:
        """Decide on a command, unless it is refused, and judge the events that it led to."""
        before = self.run.state
        try:
            events = self.run.tell(command)
        except CommandRefused as error:
            self.seen[type(error).__name__] += 1
            if before != self.run.state:
                raise Broken("a refused command changed the state") from error
            return False
        for event in events:
            self.seen[type(event).__name__] += 1
            self._judge(event)
        self._agrees()
        return True

    def _judge(self, event: Any) -> None:
        match event:
            case EffectIntended(step, name, occurrence, attempt):
                key = (step, name, occurrence)
                effect = self.known.setdefault(key, Outside())
                if effect.finished:
                    raise Broken(f"{key} is finished and done again")
                if effect.open:
                    raise Broken(f"{key} has no end, and was not in doubt before it is done again")
                if attempt <= self.attempts.get(key, 0) and attempt != 1:
                    raise Broken(f"{key} has two attempts of number {attempt}")
                self.attempts[key] = attempt
                effect.open = True
            case journal.EffectDone(step, name, occurrence):
                self.known[step, name, occurrence] = Outside(finished=True)
            case journal.EffectFailed(step, name, occurrence) | EffectUnfinished(step, name, occurrence):
                self.known[step, name, occurrence] = Outside()
            case EffectSettled(step, name, occurrence, _, outcome):
                self.known[step, name, occurrence] = Outside(finished=outcome in FINISHED)
            case EffectsForgotten(step):
                self._drop(step)
            case StepCommitted(step):
                self._ended(step)
                self._drop(step)
            case StepAbandoned(step):
                self._ended(step)
            case journal.JournalOpened():
                self.opening = True
            case StepBegun(step):
                self._ended(step)

    def _ended(self, step: int) -> None:
        """A step ends, or begins again: none of its effects may be left without an end."""
        left = [key for key, effect in self.known.items() if key[0] == step and effect.open]
        if left:
            raise Broken(f"{left} have no end, and are in no doubt")

    def _drop(self, step: int) -> None:
        for key in [key for key in self.known if key[0] == step]:
            del self.known[key]

    opening: bool = False

    def _agrees(self) -> None:
        """The state says what the log says, and comes back from a snapshot as it went in."""
        state = self.run.state
        if self.opening:
            self.opening = False
            if state.effects.count(INTENDED):
                raise Broken("an effect has no end in a new process, and is in no doubt")
        finished = {key for key, effect in self.known.items() if effect.finished}
        step = state.unfinished.step if state.unfinished is not None else 0
        if finished != {(step, entry.name, entry.occurrence) for entry in state.effects.of(*FINISHED)}:
            raise Broken("state and log differ in what is finished")
        if dict(Counter(entry.status for entry in state.effects)) != dict(state.effects.counts):
            raise Broken("the counts are wrong")
        if decode_state(encode_state(state), JournalState) != state:
            raise Broken("a snapshot is not what was kept")

    def live(self, story: list[Any]) -> None:
        """Make these moves, as far as the journal lets them be made."""
        self.do(OpenJournal())
        self.do(BeginStep("post"))
        for move in story:
            self._move(*move)

    def _move(self, kind: str, *words: Any) -> None:
        state = self.run.state
        number = state.unfinished.step if state.unfinished is not None else state.committed + 1
        match kind, words:
            case "begin", (name,):
                self.do(BeginStep(name))
            case "effect", (name, occurrence, end):
                if self.do(IntendEffect(number, name, occurrence)):
                    attempt = self.run.last.reply["attempt"]
                    self._end(number, name, occurrence, attempt, end)
            case "late", (name, occurrence):
                self.do(
                    FinishEffect(number, name, occurrence, self.attempts.get((number, name, occurrence), 1), "late")
                )
            case "commit", (forget,):
                self.do(CommitStep(number, None, forget))
            case "abandon", (mismatch,):
                self.do(AbandonStep(number, "it failed", mismatch))
            case "kill", ():
                self.do(OpenJournal())
            case "settle", (name, outcome):
                self.do(SettleEffect(f"{name}#1", outcome, "by hand"))
            case "forget", ():
                self.do(ForgetEffects(number))
            case "anew", (name,):
                self.do(IntendEffect(number, name, 1, forget=True))

    def _end(self, number: int, name: str, occurrence: int, attempt: int, end: str) -> None:
        match end:
            case "finish":
                self.do(FinishEffect(number, name, occurrence, attempt, {"n": attempt}))
            case "fail":
                self.do(FailEffect(number, name, occurrence, attempt, "it raised"))
            case "doubt":
                self.do(DoubtEffect(number, name, occurrence, attempt, "no answer"))


def lived(story: list[Any], spec: Spec[JournalState] | None = None) -> History:
    """A history, judged as it is made."""
    history = History(Run.of(spec or journal.spec()))
    history.live(story)
    return history


def test_whatever_happens_nothing_finished_is_done_again_and_nothing_unfinished_without_doubt(release: bool) -> None:
    """Over any order of begins, effects, ends, kills, settlements and forgetting; and the state is the fold."""
    lives, seen = (3_000, Counter[str]()) if release else (200, Counter[str]())

    @settings(max_examples=lives, deadline=None)
    @given(st.lists(moves, max_size=25))
    def judge(story: list[Any]) -> None:
        seen.update(lived(story).seen)

    judge()
    print(f"{lives} lives:", dict(seen))
    for needed in ("EffectIntended", "EffectUnfinished", "EffectSettled", "CommandRefused", "StepOrder"):
        assert seen[needed], f"no history had {needed}"


# --- planted ------------------------------------------------------------------------------------------------------


def _forgets_doubt(state: JournalState, command: Command, ctx: Context) -> Decision:
    """Planted: a new process does not put in doubt what the one before it had begun."""
    decision = journal.decide(state, command, ctx)
    if isinstance(command, OpenJournal):
        kept = [event for event in decision.events if not isinstance(event, EffectUnfinished)]
        return attrs.evolve(decision, events=tuple(kept))
    return decision


def _repeats_silently(state: JournalState, command: Command, ctx: Context) -> Decision:
    """Planted: what is in flight is simply begun again."""
    decision = journal.decide(state, command, ctx)
    if isinstance(command, IntendEffect):
        kept = [event for event in decision.events if not isinstance(event, EffectUnfinished | EffectSettled)]
        return attrs.evolve(decision, events=tuple(kept))
    return decision


def _does_it_again(state: JournalState, command: Command, ctx: Context) -> Decision:
    """Planted: an effect that is finished is intended again."""
    try:
        return journal.decide(state, command, ctx)
    except StepOrder:
        raise
    except CommandRefused:
        if isinstance(command, IntendEffect):
            event = EffectIntended(command.step, command.name, command.occurrence, 9, "retry")
            return Decision((event,), reply={"attempt": 9})
        raise


def _ends_in_flight(state: JournalState, command: Command, ctx: Context) -> Decision:
    """Planted: an abandoned step leaves what it had in flight as it is."""
    decision = journal.decide(state, command, ctx)
    if isinstance(command, AbandonStep):
        return attrs.evolve(decision, events=decision.events[-1:])
    return decision


def _late_ends_count(state: JournalState, event: object) -> JournalState:
    """Planted: an effect that failed loses its place when another ends."""
    after = journal.evolve(state, event)
    if isinstance(event, journal.EffectDone):
        only = {name: shelf for name, shelf in after.effects.shelves.items() if event.name in str(shelf)}
        return attrs.evolve(after, effects=Book(only, after.effects.counts))
    return after


def _keeps_committed(state: JournalState, event: object) -> JournalState:
    """Planted: the effects of a committed step are taken for those of the next."""
    after = journal.evolve(state, event)
    return attrs.evolve(after, effects=state.effects) if isinstance(event, StepCommitted) else after


EFFECT = ("effect", "send", 1)
BEGUN = ("begin", "post")
PLANTED: dict[str, tuple[Spec[JournalState], list[Any]]] = {
    "forgets doubt": (
        attrs.evolve(journal.spec(), decide=_forgets_doubt),
        [BEGUN, (*EFFECT, "nothing"), ("kill",), BEGUN, (*EFFECT, "finish")],
    ),
    "repeats silently": (
        attrs.evolve(journal.spec(), decide=_repeats_silently),
        [BEGUN, (*EFFECT, "nothing"), (*EFFECT, "finish")],
    ),
    "does it again": (
        attrs.evolve(journal.spec(), decide=_does_it_again),
        [BEGUN, (*EFFECT, "finish"), ("kill",), BEGUN, (*EFFECT, "finish")],
    ),
    "ends in flight": (
        attrs.evolve(journal.spec(), decide=_ends_in_flight),
        [BEGUN, (*EFFECT, "nothing"), ("abandon", False)],
    ),
    "loses entries": (
        attrs.evolve(journal.spec(), evolve=_late_ends_count),
        [BEGUN, ("effect", "fetch", 1, "fail"), (*EFFECT, "finish")],
    ),
    "keeps committed": (
        attrs.evolve(journal.spec(), evolve=_keeps_committed),
        [BEGUN, (*EFFECT, "finish"), ("commit", False)],
    ),
}


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_journal_with_a_rule_left_out_is_caught(name: str) -> None:
    """By the very judge that finds nothing wrong with ours."""
    spec, story = PLANTED[name]
    lived(story)
    with pytest.raises(Broken):
        lived(story, spec)


# --- by hand ------------------------------------------------------------------------------------------------------


def begun(name: str = "post") -> Run[JournalState]:
    """A journal whose first step is open."""
    run = Run.of(journal.spec())
    run.tell(OpenJournal())
    run.tell(BeginStep(name))
    return run


def test_opening_puts_each_effect_without_an_end_in_doubt() -> None:
    """Together with its step, in the one decision that says that a process took over."""
    run = begun()
    run.tell(IntendEffect(1, "a", 1, "ask"))
    run.tell(FinishEffect(1, "a", 1, 1, None))
    run.tell(IntendEffect(1, "b", 1, "ask"))
    run.tell(IntendEffect(1, "b", 2, "skip"))
    events = run.tell(OpenJournal())
    assert [
        EffectUnfinished(1, "b", 1, 1, "ask", effects.ENDED_BEFORE),
        EffectUnfinished(1, "b", 2, 1, "skip", effects.ENDED_BEFORE),
    ] == list(events[2:])
    assert (1, 2) == (run.state.effects.count(DONE), run.state.effects.count(IN_DOUBT))


def test_a_step_in_doubt_keeps_what_its_effects_came_to_over_many_processes() -> None:
    """Opened again and again, nothing is lost and nothing is put in doubt twice."""
    run = begun()
    run.tell(IntendEffect(1, "a", 1))
    for _ in range(3):
        run.tell(OpenJournal())
    assert 1 == sum(isinstance(event, EffectUnfinished) for event in run.log)
    assert {"step": 1, "attempt": 2, "repeated": True} == run.ask(BeginStep("post"))
    assert {"attempt": 2} == run.ask(IntendEffect(1, "a", 1))


def test_what_is_in_doubt_as_its_step_is_committed_is_left_on_record() -> None:
    """The host went on without it: nobody will ever know, and that is said."""
    run = begun()
    run.tell(IntendEffect(1, "a", 1))
    run.tell(DoubtEffect(1, "a", 1, 1, "no answer"))
    events = run.tell(CommitStep(1, None))
    assert EffectSettled(1, "a", 1, 1, "left", "step ended") == events[0]


def test_a_step_with_an_effect_in_flight_cannot_be_committed() -> None:
    """Its end would belong to no step."""
    run = begun()
    run.tell(IntendEffect(1, "a", 1))
    with pytest.raises(StepOrder, match="1/a#1 has no end yet"):
        run.tell(CommitStep(1, None))


def test_a_step_abandoned_under_one_name_and_begun_under_another_lets_its_effects_go() -> None:
    """The host chose to do something else; but not over one that is in doubt."""
    run = begun()
    run.tell(IntendEffect(1, "a", 1))
    run.tell(FinishEffect(1, "a", 1, 1, None))
    run.tell(AbandonStep(1, "no use"))
    events = run.tell(BeginStep("other"))
    assert EffectsForgotten(1, "post", 1, 0, "the step is begun as 'other' now") == events[0]
    run.tell(IntendEffect(1, "b", 1))
    run.tell(AbandonStep(1, "no use"))
    with pytest.raises(JournalMismatch, match="1/b#1") as caught:
        run.tell(BeginStep("a third"))
    assert (1, ("1/b#1",)) == (caught.value.step, caught.value.effects)


def test_an_effect_is_settled_by_its_id_in_short_or_in_full() -> None:
    """What is in no doubt, or not there, cannot be."""
    for name in ("send mail", "send mail#1", "1/send mail", "1/send mail#1"):
        run = begun()
        run.tell(IntendEffect(1, "send mail", 1))
        run.tell(OpenJournal())
        assert {"effect": "1/send mail#1", "step": 1, "status": DONE} == run.ask(SettleEffect(name, DONE, 5))
        entry = run.state.effects.get("send mail#1")
        assert entry is not None
        assert (DONE, 5) == (entry.status, entry.result)
    for name in ("send mail", "other", "2/send mail#1"):
        with pytest.raises(NoSuchEffect):
            run.tell(SettleEffect(name, DONE, 5))
    with pytest.raises(CommandRefused, match="settled as"):
        run.tell(SettleEffect("send mail", "perhaps"))


def test_forgetting_is_for_a_step_that_is_not_open() -> None:
    """An open one does it by itself, in its own order."""
    run = begun()
    run.tell(IntendEffect(1, "a", 1))
    with pytest.raises(StepOrder, match="is open"):
        run.tell(ForgetEffects(1))
    run.tell(OpenJournal())
    assert {"step": 1, "name": "post", "forgotten": 1, "in_doubt": 1} == run.ask(ForgetEffects(1))
    for step in (1, 2):
        with pytest.raises(StepOrder, match="no effects on record"):
            run.tell(ForgetEffects(step))


def test_a_step_has_as_many_effects_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused, and those there are go on."""
    monkeypatch.setattr(effects, "MAX_EFFECTS", 3)
    run = begun()
    for number in (1, 2, 3):
        run.tell(IntendEffect(1, "a", number))
    with pytest.raises(TooManyEffects, match="3 effects"):
        run.tell(IntendEffect(1, "a", 4))
    run.tell(IntendEffect(1, "a", 3))


def test_keys_differ_in_whatever_differs() -> None:
    """No two places of a text run into each other, and another log has other keys."""
    words: list[tuple[Any, ...]] = [
        ("id", 1, "post", "send", 1),
        ("id2", 1, "post", "send", 1),
        ("id", 11, "post", "send", 1),
        ("id", 1, "pos", "tsend", 1),
        ("id", 1, "post", "send1", 1),
        ("id", 1, "post", "send", 11),
    ]
    keys = {effects.idempotency_key(*one) for one in words}
    assert len(words) == len(keys)
    assert all("8" == key[14] and key[19] in "89ab" for key in keys)


def test_a_key_is_the_same_in_every_release() -> None:
    """A server outside may know it for days."""
    assert "1998ab2d-ceac-87c9-a245-d205d96e2e57" == effects.idempotency_key("id", 1, "post", "send", 1)


def test_a_journal_has_an_id_from_its_first_opening_on() -> None:
    """One of an earlier release gets it when it is opened next."""
    old = Run.of(journal.spec())
    old.state = old.spec.evolve(old.state, journal.JournalOpened(1))
    old.log.append(journal.JournalOpened(1))
    old.tell(OpenJournal())
    assert ("id", 2) == (old.state.journal_id, old.state.start)
    old.tell(OpenJournal())
    assert journal.JournalOpened(3) == old.log[-1]


def snapshots(effects_of_one_step: int) -> list[int]:
    """How many effects there were at each snapshot of a step of many."""
    state, kept = JournalState(), []
    commands: list[Command] = [OpenJournal(), BeginStep("post")]
    for number in range(1, effects_of_one_step + 1):
        commands += [IntendEffect(1, "a", number), FinishEffect(1, "a", number, 1, number)]
    for command in commands:
        for event in journal.decide(state, command, at(0.0)).events:
            state = journal.evolve(state, event)
            if snapshot_due(state, event):
                kept.append(len(state.effects))
    return kept


def test_snapshots_of_a_step_of_many_effects_grow_apart() -> None:
    """All that is kept is written a few times over, not once for each five hundred events."""
    kept = snapshots(6_000)
    assert sum(kept) < 6 * 6_000
    gaps = [after - before for before, after in itertools.pairwise(kept)]
    assert sorted(gaps) == gaps
    assert kept[0] <= EFFECT_EVENTS
    print(f"a step of 6000 effects: snapshots at {kept}")


def test_a_book_finds_what_was_put_into_it() -> None:
    """Of many, in the order of their names."""
    book = Book()
    for number in range(1_000, 0, -1):
        book = book.put(Recorded("a", number, 1, INTENDED))
    for number in range(1, 501):
        book = book.put(Recorded("a", number, 1, DONE))
    assert (1_000, 500, 500) == (len(book), book.count(DONE), book.count(INTENDED))
    assert list(range(501, 1_001)) == [entry.occurrence for entry in book.of(INTENDED)]
    assert book.get("a#7") == Recorded("a", 7, 1, DONE)
    assert book.get("b#7") is None


def test_an_effect_changes_nothing_else_of_the_state() -> None:
    """Whatever fields it has: none goes back to what it is at first."""
    others = [field.name for field in attrs.fields(JournalState) if field.name not in {"effects", "since"}]
    values: dict[str, Any] = {name: f"a value of {name}" for name in others}
    values |= {"open": journal.OpenStep(1, "post", 2, 1), "aside": Aside(effects=3)}
    marked = attrs.evolve(JournalState(), **values)
    after = journal.evolve(marked, EffectIntended(1, "a", 1, 1, "retry"))
    assert values == {name: getattr(after, name) for name in others}


def test_every_command_of_the_journal_is_one_that_a_dead_letter_may_be_made_into() -> None:
    """They stand in several modules, so the spec lists them."""
    known = {one for one in vars(journal).values() if isinstance(one, type) and issubclass(one, Command)} - {Command}
    assert known == set(journal.spec().commands)


def test_what_a_mismatching_attempt_added_is_marked_and_what_was_there_is_not() -> None:
    """The right code need not ask for it; once it does, it is like any other."""
    run = begun()
    run.tell(IntendEffect(1, "a", 1))
    run.tell(FinishEffect(1, "a", 1, 1, None))
    run.tell(AbandonStep(1, "later"))
    run.tell(BeginStep("post"))
    for name in ("b", "c"):
        run.tell(IntendEffect(1, name, 1))
        run.tell(FailEffect(1, name, 1, 1, "it raised"))
    run.tell(AbandonStep(1, "it does not fit", mismatch=True))
    assert {"a#1": False, "b#1": True, "c#1": True} == {entry.key: entry.stray for entry in run.state.effects}
    run.tell(BeginStep("post"))
    run.tell(IntendEffect(1, "b", 1))
    assert {"a#1": False, "b#1": False, "c#1": True} == {entry.key: entry.stray for entry in run.state.effects}
