"""Tasks that fail while others go on: what one had finished is not done again, and goes by the same keys.

A plain step that was given a key is as good as a task in this. A model of the outside counts what was done of each.
Each planted bug is a journal with one rule left out.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore.codec import decode_state, encode_state
from lrm_actors.domain import journal
from lrm_actors.domain.behavior import Spec
from lrm_actors.domain.journal import (
    AbandonStep,
    BeginStep,
    CommitStep,
    DoubtEffect,
    EffectDone,
    EffectSettled,
    FailEffect,
    FinishEffect,
    ForgetEffects,
    IntendEffect,
    JournalState,
    OpenJournal,
    SettleEffect,
    StepBegun,
    TaskEffectSettled,
    TaskForgotten,
    TaskSetAside,
    TaskTakenBack,
)
from lrm_actors.domain.journaling import aside
from lrm_actors.domain.journaling.book import DONE, FINISHED, IN_DOUBT, INTENDED
from lrm_actors.domain.journaling.effects import LATE, idempotency_key
from lrm_actors.domain.sleeps import BeginSleep
from lrm_actors.domain.tasks import TaskCall
from lrm_actors.errors import CommandRefused, JournalMismatch, NoSuchEffect, StepOrder, TaskConflict
from lrm_actors.inspect.effects import unfinished_effects
from tests.domain.kit import Run

JOBS = ("A", "B", "C")
"""C is a step with a key, the others are tasks."""
KEYED = "C"


def begin(key: str, task: str = "job", given: str = "", *, is_step: bool = False) -> BeginStep:
    """The begin of one."""
    return BeginStep(f"{task} {key}", task=TaskCall(task, key, given, is_step))


def opened() -> Run[JournalState]:
    """A journal that its first process has opened."""
    run = Run.of(journal.spec())
    run.tell(OpenJournal())
    return run


def pay(run: Run[JournalState], name: str = "pay", *, doubt: bool = False) -> str:
    """One effect of the open step, and the idempotency key that it has."""
    step = run.state.open
    assert step is not None
    attempt = run.ask(IntendEffect(step.step, name, 1))["attempt"]
    if doubt:
        run.tell(DoubtEffect(step.step, name, 1, attempt, "no answer"))
    else:
        run.tell(FinishEffect(step.step, name, 1, attempt, f"paid by {step.name}"))
    return key_of(run.state, name)


def key_of(state: JournalState, name: str = "pay") -> str:
    """The idempotency key of an effect of the open step."""
    assert state.open is not None
    return idempotency_key(state.journal_id, state.open.keyed, state.open.name, name, 1)


def fail(run: Run[JournalState], error: str = "the printer is down") -> None:
    """The open step is abandoned."""
    assert run.state.open is not None
    run.tell(AbandonStep(run.state.open.step, error))


def commit(run: Run[JournalState]) -> None:
    """The open step is done."""
    assert run.state.open is not None
    run.tell(CommitStep(run.state.open.step, None))


def failed(key: str = "B", *, doubt: bool = False, is_step: bool = False) -> Run[JournalState]:
    """A journal whose second step was a task that failed after an effect."""
    run = opened()
    run.tell(begin("A"))
    pay(run)
    commit(run)
    run.tell(begin(key, is_step=is_step))
    pay(run, doubt=doubt)
    fail(run)
    return run


@pytest.mark.parametrize("is_step", [False, True])
@pytest.mark.parametrize("killed", [False, True])
def test_a_task_that_failed_goes_on_after_others_with_what_it_had_finished(killed: bool, is_step: bool) -> None:
    """In another step, in this process or the next, and under the keys of the step in which it began."""
    run = failed(is_step=is_step)
    key = idempotency_key(run.state.journal_id, 2, "job B", "pay", 1)
    run.tell(begin("C"))
    assert TaskSetAside(2, "job B", 1, "job", "B", 1, 0) in run.log
    assert key != pay(run)
    commit(run)
    if killed:
        run.tell(OpenJournal())
    assert {"step": 3, "attempt": 2, "repeated": False, "origin": 2} == run.ask(begin("B", is_step=is_step))
    assert TaskTakenBack(3, "job B", "job", "B", 2, 1, 0) == run.log[-1]
    assert key == key_of(run.state)
    assert [("pay", DONE, "paid by job B")] == [(one.name, one.status, one.result) for one in run.state.effects]
    with pytest.raises(CommandRefused, match="finished"):
        run.tell(IntendEffect(3, "pay", 1))
    fail(run)
    assert {"step": 3, "attempt": 3, "repeated": False, "origin": 2} == run.ask(begin("B", is_step=is_step))
    commit(run)
    assert {} == run.state.aside.tasks
    assert ["A", "C", *(() if is_step else "B")] == [name.split()[-1] for name in run.state.tasks.done]


def test_without_effects_on_record_there_is_nothing_to_set_aside() -> None:
    """As before: the next step has its number, and the next attempt."""
    run = opened()
    run.tell(begin("B"))
    fail(run)
    assert {"step": 1, "attempt": 2, "repeated": False} == run.ask(begin("C"))
    assert not [event for event in run.log if isinstance(event, TaskSetAside)]


def test_what_is_in_doubt_of_a_task_is_set_aside_with_it() -> None:
    """It stays in doubt, so other tasks go on meanwhile; nobody forgets that."""
    run = failed(doubt=True)
    run.tell(begin("C"))
    commit(run)
    run.tell(begin("B"))
    assert [IN_DOUBT] == [entry.status for entry in run.state.effects]


def test_a_task_in_whose_middle_the_process_died_waits_for_a_known_one_only() -> None:
    """Another of its own name, or one that was set aside; any other may be the same under the new name of its code."""
    run = failed()
    run.tell(begin("C"))
    pay(run)
    run.tell(OpenJournal())
    before = len(run.log)
    for other in (begin("C", "renamed"), BeginStep("something else")):
        with pytest.raises(JournalMismatch, match="2/pay#1"):
            run.tell(other)
    assert before == len(run.log)
    assert not run.ask(begin("B"))["repeated"]
    commit(run)
    assert run.ask(begin("C"))["repeated"], "its process died inside it"
    run.tell(OpenJournal())
    assert {"step": 3, "attempt": 4, "repeated": False} == run.ask(begin("D"))


def test_it_is_called_with_the_same_or_refused() -> None:
    """What is set aside belongs to the arguments that it was called with."""
    run = opened()
    run.tell(begin("B", given="abc"))
    pay(run)
    fail(run)
    run.tell(begin("C"))
    commit(run)
    with pytest.raises(TaskConflict):
        run.tell(begin("B", given="def"))
    run.tell(begin("B", given="abc"))


def test_its_sleeps_wait_with_it() -> None:
    """So the task that goes on meanwhile does not take them for its own."""
    run = opened()
    run.tell(begin("B"))
    pay(run)
    run.tell(BeginSleep("a while", True, 1, 60.0))
    fail(run)
    run.tell(begin("C"))
    assert not run.ask(BeginSleep("a while", True, 1, 5.0))["resumed"]
    commit(run)
    run.tell(begin("B"))
    assert run.ask(BeginSleep("a while", True, 1, 60.0))["resumed"]


@pytest.mark.parametrize("name", ["job B/pay#1", "job B/pay", "pay", "pay#1"])
def test_an_effect_set_aside_can_be_settled(name: str) -> None:
    """By the name of its step, which may be left out where it is the only one in doubt."""
    run = failed(doubt=True)
    run.tell(begin("C"))
    assert {"effect": "job B/pay#1", "step": 2, "status": DONE} == run.ask(SettleEffect(name, DONE, 7))
    assert TaskEffectSettled("job", "B", 2, "pay", 1, 1, DONE, "by hand", 7) == run.log[-1]
    with pytest.raises(NoSuchEffect, match="in no doubt" if "B" in name else "none of this name"):
        run.tell(SettleEffect(name, DONE, 7))
    commit(run)
    run.tell(begin("B"))
    assert [(DONE, 7)] == [(entry.status, entry.result) for entry in run.state.effects]


def test_one_name_that_several_have_in_doubt_is_asked_back() -> None:
    """Which of them is not guessed."""
    run = failed(doubt=True)
    run.tell(begin("C"))
    pay(run, doubt=True)
    fail(run)
    run.tell(begin("D"))
    with pytest.raises(NoSuchEffect, match="2 steps set aside have one: say 'job B/pay#1'"):
        run.tell(SettleEffect("pay", DONE))


def test_what_is_set_aside_can_be_forgotten() -> None:
    """By the name of its step; the task then begins anew."""
    run = failed()
    with pytest.raises(StepOrder, match="nothing called 'job B' is set aside"):
        run.tell(ForgetEffects(0, task="job B"))
    run.tell(begin("C"))
    told = run.ask(ForgetEffects(0, task="job B"))
    assert {"step": 2, "name": "job B", "forgotten": 1, "in_doubt": 0} == told
    commit(run)
    assert {"step": 3, "attempt": 1, "repeated": False} == run.ask(begin("B"))


@pytest.mark.parametrize(("bound", "most", "left"), [("MAX_ASIDE", 3, 3), ("MAX_ASIDE_EFFECTS", 2, 2)])
def test_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch, bound: str, most: int, left: int) -> None:
    """So many, with so many effects; each that goes is said."""
    monkeypatch.setattr(aside, bound, most)
    run = opened()
    for number in range(6):
        run.tell(begin(str(number)))
        pay(run)
        fail(run)
    run.tell(begin("last"))
    going = [event for event in run.log if isinstance(event, TaskForgotten)]
    assert [str(number) for number in range(6 - left)] == [event.key for event in going]
    assert {(1, 0, "too much is set aside")} == {(event.finished, event.in_doubt, event.why) for event in going}
    assert [str(number) for number in range(6 - left, 6)] == [one.call.key for one in run.state.aside.tasks.values()]
    assert left == run.state.aside.effects
    pay(run)
    fail(run)
    kept, before = [one.call.key for one in run.state.aside.tasks.values()], len(run.log)
    run.tell(begin(kept[0]))  # it makes room for the one that is set aside
    assert not [event for event in run.log[before:] if isinstance(event, TaskForgotten)]


def test_the_newest_keeps_its_effects_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be done twice."""
    monkeypatch.setattr(aside, "MAX_ASIDE_EFFECTS", 1)
    run = opened()
    run.tell(begin("B"))
    pay(run, "one")
    pay(run, "two")
    fail(run)
    run.tell(begin("C"))
    assert 2 == run.state.aside.effects


def test_a_step_with_a_key_that_is_done_leaves_its_key_to_another() -> None:
    """Its block cannot be left out as a call can: the next one of its key does all of it anew, under other keys."""
    run = failed(is_step=True)
    run.tell(begin("C"))
    commit(run)
    run.tell(begin("B", is_step=True))
    done = key_of(run.state)
    commit(run)
    assert {"step": 4, "attempt": 1, "repeated": False} == run.ask(begin("B", is_step=True))
    assert done != pay(run)


def test_a_process_that_died_in_a_step_with_a_key_may_begin_with_another_of_its_name() -> None:
    """As one that died in a task: what the step had finished waits for it, and it is in doubt when it begins again."""
    run = failed(is_step=True)
    run.tell(begin("C", is_step=True))
    key = pay(run)
    run.tell(OpenJournal())
    for other in (begin("C", "renamed", is_step=True), BeginStep("something else")):
        with pytest.raises(JournalMismatch, match="2/pay#1"):
            run.tell(other)
    assert not run.ask(begin("D", is_step=True))["repeated"]
    commit(run)
    assert {"step": 3, "attempt": 3, "repeated": True, "origin": 2} == run.ask(begin("C", is_step=True))
    assert key == key_of(run.state)


def test_a_step_without_effects_on_record_is_begun_again_by_its_key_as_any_other() -> None:
    """There is nothing to keep."""
    run = opened()
    run.tell(begin("B", is_step=True))
    assert TaskCall("job", "B", "", is_step=True) == run.state.tasks.open
    fail(run)
    run.tell(BeginStep("look"))
    assert run.state.tasks.open is None
    commit(run)
    assert {"step": 2, "attempt": 1, "repeated": False} == run.ask(begin("B", is_step=True))
    assert ["B", None, "B"] == [event.key for event in run.log if isinstance(event, StepBegun)]


@pytest.mark.parametrize("is_step", [False, True])
def test_two_calls_whose_names_and_keys_read_the_same_are_two(is_step: bool) -> None:
    """Neither has what the other had finished, nor its idempotency keys: a server would take one for the other."""
    run = opened()
    calls = [("send", "to my Ada"), ("send to", "my Ada"), ("send to my", "Ada")]
    keys = []
    for task, key in calls:
        run.tell(begin(key, task, is_step=is_step))
        assert not list(run.state.effects)
        keys.append(pay(run))
        fail(run)
    assert 3 == len(set(keys))
    for (task, key), of in zip(calls, keys, strict=True):
        run.tell(begin(key, task, is_step=is_step))
        assert (of, [DONE]) == (key_of(run.state), [entry.status for entry in run.state.effects])
        fail(run)
        run.tell(begin(key, task, is_step=is_step))
        assert of == key_of(run.state)
        commit(run)


@pytest.mark.parametrize("killed", [False, True])
def test_a_task_and_a_step_of_one_name_and_key_are_two(killed: bool) -> None:
    """Each took back what the other had finished, and its idempotency keys."""
    run, keys = opened(), {}
    for is_step in (False, True):
        run.tell(begin("B", is_step=is_step))
        assert not list(run.state.effects)
        keys[is_step] = pay(run)
        run.tell(OpenJournal()) if killed else fail(run)
    assert keys[False] != keys[True]
    for is_step in (False, True, False):
        run.tell(begin("B", is_step=is_step))
        assert (keys[is_step], [DONE]) == (key_of(run.state), [entry.status for entry in run.state.effects])
        fail(run)
    run.tell(begin("C"))
    assert 2 == len(run.state.aside.tasks) == run.state.aside.effects
    assert decode_state(encode_state(run.state), JournalState) == run.state
    fail(run)
    run.tell(begin("B", is_step=True))
    commit(run)
    assert [False] == [one.call.is_step for one in run.state.aside.tasks.values()]


ALIKE: dict[str, tuple[str, str, bool]] = {
    "send [to Ada]": ("send", "to Ada", False),
    "send to [Ada]": ("send to", "Ada", False),
    "step send to [Ada]": ("send to", "Ada", True),
}
"""What calls that read the same are told by."""


def alike() -> Run[JournalState]:
    """All of them are set aside, with an effect in doubt."""
    run = opened()
    for task, key, is_step in ALIKE.values():
        run.tell(begin(key, task, is_step=is_step))
        pay(run, doubt=True)
        fail(run)
    run.tell(begin("C"))
    return run


@pytest.mark.parametrize("name", ALIKE)
def test_what_reads_the_same_has_an_id_of_its_own(name: str) -> None:
    """Under the one id that all of them had the first of them was settled, or forgotten, whichever was meant."""
    run = alike()
    assert [f"{one}/pay#1" for one in ALIKE] == [one.effect for one in unfinished_effects(run.state, alive=True)]
    with pytest.raises(
        NoSuchEffect, match=r"3 steps set aside have one: say 'send \[to Ada\]/pay#1' or 'send to \[Ada\]"
    ):
        run.tell(SettleEffect("send to Ada/pay", DONE, 7))
    told = run.ask(SettleEffect(f"{name}/pay", DONE, 7))
    assert f"{name}/pay#1" == told["effect"]
    settled = {one.apart for one in run.state.aside.tasks.values() if not one.effects.count(IN_DOUBT)}
    assert {name} == settled
    with pytest.raises(StepOrder, match="3 steps set aside read 'send to Ada'") as asked:
        run.tell(ForgetEffects(0, task="send to Ada"))
    assert "'step send to [Ada]'" in asked.value.hint
    run.tell(ForgetEffects(0, task=name))
    assert {*ALIKE} - {name} == {one.apart for one in run.state.aside.tasks.values()}
    left = next(one for one in ALIKE if one != name)
    run.tell(ForgetEffects(0, task=left))
    assert ["send to Ada/pay#1"] == [one.effect for one in unfinished_effects(run.state, alive=True)]


def test_one_set_aside_is_told_from_the_step_that_reads_the_same() -> None:
    """That one has a number."""
    run = alike()
    fail(run)
    task, key, is_step = ALIKE["send [to Ada]"]
    run.tell(begin(key, task, is_step=is_step))
    ids = {one.effect for one in unfinished_effects(run.state, alive=True)}
    assert {"1/pay#1", "send to [Ada]/pay#1", "step send to [Ada]/pay#1"} == ids
    run.tell(ForgetEffects(0, task="step send to [Ada]"))
    with pytest.raises(NoSuchEffect, match=r"say 'send to \[Ada\]/pay#1', or 1 in place of its name"):
        run.tell(SettleEffect("send to Ada/pay", DONE, 7))
    for effect in ("1/pay", "send to [Ada]/pay"):
        run.tell(SettleEffect(effect, DONE, 7))
    assert not any(one.of.status == IN_DOUBT for one in unfinished_effects(run.state, alive=True))


def test_a_late_end_of_one_that_reads_like_another_counts_for_neither() -> None:
    """Nobody knows whose it is, and both stay in doubt."""
    run = alike()
    run.tell(FinishEffect(1, "pay", 1, 1, 7, of="send to Ada"))
    assert 3 == sum(one.effects.count(IN_DOUBT) for one in run.state.aside.tasks.values())


def test_a_plain_step_forgets_and_says_so() -> None:
    """It has no key: a later one of its name may be another."""
    run = opened()
    run.tell(BeginStep("order B"))
    pay(run)
    fail(run)
    assert {"step": 1, "attempt": 2, "repeated": False, "forgotten": 1} == run.ask(BeginStep("order C"))
    assert {} == run.state.aside.tasks


def test_a_state_from_before_has_nothing_set_aside() -> None:
    """Its snapshot opens, and so do the events of its steps."""
    run = failed()
    encoded = encode_state(run.state)
    assert decode_state(encoded, JournalState) == run.state
    fresh = decode_state(encode_state({"committed": 3, "journal_id": "old"}), JournalState)
    assert JournalState(committed=3, journal_id="old") == fresh
    assert (None, None) == (StepBegun(1, "look", 1).origin, StepBegun(1, "look", 1).key)
    call = encode_state({"task": "job", "key": "B", "given": "abc"})
    assert TaskCall("job", "B", "abc") == decode_state(call, TaskCall)


def test_a_word_of_a_step_that_is_over_is_not_for_the_one_that_has_its_number() -> None:
    """Neither its end nor a new intent; its end counts for its task, once, and only where it was in doubt."""
    run = failed(doubt=True)
    run.tell(begin("C"))
    run.tell(IntendEffect(2, "pay", 1, of="job C"))
    with pytest.raises(StepOrder, match="step 2 is not open"):
        run.tell(IntendEffect(2, "post", 1, of="job B"))
    assert () == run.tell(FailEffect(2, "pay", 1, 1, "no", "job B"))
    assert () == run.tell(DoubtEffect(2, "pay", 1, 1, "no", "job B"))
    assert () == run.tell(FinishEffect(2, "pay", 1, 1, None, "it is no JSON value", "job B"))
    assert () == run.tell(FinishEffect(2, "pay", 1, 2, 9, of="job B"))
    [settled] = run.tell(FinishEffect(2, "pay", 1, 1, 9, of="job B"))
    assert TaskEffectSettled("job", "B", 2, "pay", 1, 1, DONE, LATE, 9) == settled
    assert () == run.tell(FinishEffect(2, "pay", 1, 1, 9, of="job B"))
    assert [INTENDED] == [entry.status for entry in run.state.effects]
    run.tell(FinishEffect(2, "pay", 1, 1, 5, of="job C"))
    assert [5] == [entry.result for entry in run.state.effects]


# --- any order ----------------------------------------------------------------------------------------------------

moves = st.one_of(
    st.tuples(st.just("begin"), st.sampled_from((*JOBS, "plain"))),
    st.tuples(st.just("pay"), st.sampled_from(("pay", "post")), st.booleans()),
    st.just(("commit",)),
    st.just(("abandon",)),
    st.just(("kill",)),
    st.tuples(st.just("settle"), st.sampled_from(JOBS)),
)


class Broken(AssertionError):
    """A rule does not hold."""


@attrs.define
class Shop:
    """What was done outside, by task and effect, kept apart from the journal's own state."""

    run: Run[JournalState]
    done: set[tuple[str, str]] = attrs.Factory(set)
    keys: dict[tuple[str, str], str] = attrs.Factory(dict)
    over: set[str] = attrs.Factory(set)
    seen: Counter[str] = attrs.Factory(Counter)

    def live(self, story: list[Any]) -> None:
        """Make these moves, as far as the journal lets them be made."""
        self.run.tell(OpenJournal())
        for move in story:
            try:
                self._move(*move)
            except (CommandRefused, JournalMismatch) as error:
                self.seen[type(error).__name__] += 1
            self._agrees()

    def _move(self, kind: str, *words: Any) -> None:
        state = self.run.state
        if kind == "begin" and state.open is not None:
            self._tell(AbandonStep(state.open.step, "another one is wanted"))
        match kind, words:
            case "begin", ("plain",):
                self._tell(BeginStep("plain"))
            case "begin", (job,) if job not in self.over:
                self._tell(begin(job, is_step=job == KEYED))
            case "pay", (name, doubt) if state.open is not None and state.open.name != "plain":
                self._pay(name, doubt)
            case "commit", () if state.open is not None:
                self._tell(CommitStep(state.open.step, None))
                self.over.add(state.open.name.split()[-1])
            case "abandon", () if state.open is not None:
                self._tell(AbandonStep(state.open.step, "no"))
            case "kill", ():
                self._tell(OpenJournal())
            case "settle", (job,):
                self._tell(SettleEffect(f"job {job}/pay#1", DONE))
                self.done.add((f"job {job}", "pay"))

    def _tell(self, command: Any) -> None:
        self.seen.update(type(event).__name__ for event in self.run.tell(command))

    def _pay(self, name: str, doubt: bool) -> None:
        step = self.run.state.open
        assert step is not None
        which = (step.name, name)
        key = key_of(self.run.state, name)
        if self.keys.setdefault(which, key) != key:
            raise Broken(f"{which} has two keys")
        events = self.run.tell(IntendEffect(step.step, name, 1))
        if which in self.done:
            raise Broken(f"{which} is done again")
        attempt = events[-1].attempt  # type: ignore[attr-defined]
        if doubt:
            self._tell(DoubtEffect(step.step, name, 1, attempt, "no answer"))
        else:
            self._tell(FinishEffect(step.step, name, 1, attempt, None))
            self.done.add(which)

    def _agrees(self) -> None:
        state = self.run.state
        kept = [(state.unfinished.name, state.effects)] if state.unfinished is not None else []
        kept += [(task.name, task.effects) for task in state.aside.tasks.values()]
        finished = {(name, entry.name) for name, book in kept for entry in book.of(*FINISHED)}
        if finished != {which for which in self.done if which[0].split()[-1] not in self.over}:
            raise Broken("the state and the outside differ in what is done")
        if state.aside.effects != sum(len(task.effects) for task in state.aside.tasks.values()):
            raise Broken("the effects set aside are miscounted")
        if decode_state(encode_state(state), JournalState) != state:
            raise Broken("a snapshot is not what was kept")


def lived(story: list[Any], spec: Spec[JournalState] | None = None) -> Shop:
    """A history, judged as it is made."""
    shop = Shop(Run.of(spec or journal.spec()))
    shop.live(story)
    return shop


def test_in_any_order_each_task_does_its_effects_once_and_under_one_key(release: bool) -> None:
    """Whatever fails, is killed, settled, or begun in between."""
    lives, seen = (3_000, Counter[str]()) if release else (150, Counter[str]())

    @settings(max_examples=lives, deadline=None)
    @given(st.lists(moves, max_size=30))
    def judge(story: list[Any]) -> None:
        seen.update(lived(story).seen)

    judge()
    seen.update(lived(SHOP_STORY).seen)
    seen.update(lived(KEYED_STORY).seen)
    print(f"{lives} lives:", dict(seen))
    for needed in (EffectDone, TaskSetAside, TaskTakenBack, TaskEffectSettled):
        assert seen[needed.__name__], f"no history had {needed.__name__}"


PAID, DOUBTED = ("pay", "pay", False), ("pay", "pay", True)
SHOP_STORY: list[Any] = [
    *[("begin", "A"), PAID, ("commit",)],
    *[("begin", "B"), DOUBTED, ("abandon",)],
    *[("begin", "C"), PAID, ("settle", "B"), ("kill",)],
    *[("begin", "B"), PAID, ("pay", "post", False), ("commit",)],
    *[("begin", "C"), PAID, ("commit",)],
]
KEYED_STORY: list[Any] = [
    *[("begin", KEYED), PAID, ("pay", "post", True), ("abandon",)],
    *[("begin", "A"), PAID, ("kill",)],
    *[("begin", KEYED), PAID, ("pay", "post", False), ("abandon",)],
    *[("begin", "plain"), ("commit",)],
    *[("begin", KEYED), PAID, ("pay", "post", False), ("commit",)],
]


def _keeps_nothing(state: JournalState, event: object) -> JournalState:
    """Planted: a task that waits is forgotten."""
    after = journal.evolve(state, event)
    return attrs.evolve(after, aside=aside.Aside()) if isinstance(event, TaskSetAside) else after


def _new_keys(state: JournalState, event: object) -> JournalState:
    """Planted: a task that goes on in another step has the keys of that one."""
    if isinstance(event, StepBegun):
        event = StepBegun(event.step, event.name, event.attempt, event.at, event.of, key=event.key)
    return journal.evolve(state, event)


def _takes_nothing(state: JournalState, event: object) -> JournalState:
    """Planted: what was set aside does not count when the task goes on."""
    return state if isinstance(event, TaskTakenBack) else journal.evolve(state, event)


def _still_in_doubt(state: JournalState, event: object) -> JournalState:
    """Planted: what somebody found out about a task that waits is not taken up."""
    return state if isinstance(event, TaskEffectSettled | EffectSettled) else journal.evolve(state, event)


def _plain(state: JournalState, event: object) -> JournalState:
    """Planted: what a step with a key had finished is forgotten, as that of one without."""
    if isinstance(event, StepBegun):
        event = StepBegun(event.step, event.name, event.attempt, event.at, event.of, event.origin)
    return journal.evolve(state, event)


PLANTED = {
    "keeps nothing": _keeps_nothing,
    "new keys": _new_keys,
    "takes nothing": _takes_nothing,
    "still in doubt": _still_in_doubt,
}
KEYED_PLANTED = {"keeps nothing": _keeps_nothing, "takes nothing": _takes_nothing, "heeds no key": _plain}


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_journal_with_a_rule_left_out_is_caught(name: str) -> None:
    """By the very judge that finds nothing wrong with ours."""
    lived(SHOP_STORY)
    with pytest.raises(Broken):
        lived(SHOP_STORY, attrs.evolve(journal.spec(), evolve=PLANTED[name]))


@pytest.mark.parametrize("name", sorted(KEYED_PLANTED))
def test_a_journal_that_leaves_out_a_rule_of_steps_with_a_key_is_caught(name: str) -> None:
    """In the same way."""
    lived(KEYED_STORY)
    with pytest.raises(Broken):
        lived(KEYED_STORY, attrs.evolve(journal.spec(), evolve=KEYED_PLANTED[name]))
