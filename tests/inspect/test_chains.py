from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventstore.errors import CorruptEvent
from eventstore.events import event, find_type
from eventstore.reader import SqliteReader
from eventstore.records import Batch, NewEvent, Record, StreamWrite
from lrm_actors.domain import analyzer, breaker, checkpointer, journal, modes, monitor, supervisor
from lrm_actors.domain.analyzer import FailureFacts
from lrm_actors.domain.deadlines import Deadline
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.tasks import TaskBegun
from lrm_actors.inspect import BadTarget, TargetNotFound, resolve, why
from lrm_actors.inspect.chains import OBSERVATIONS, WORDS
from tests.inspect.conftest import Lived
from tests.inspect.logs import BOOT, LogWriter

chains = importlib.import_module("lrm_actors.inspect.chains")
NEVER = Deadline(0.0, 0.0, 0.0, BOOT)


@event("strange.happened", 1)
class Strange:
    what: str


class Tampered:
    """A reader in which some records name another cause, or cannot be read. What is planted must be found."""

    def __init__(self, reader: SqliteReader, causes: dict[int, int | None], unreadable: int | None = None) -> None:
        self._reader = reader
        self._causes = causes
        self._unreadable = unreadable
        self.first = reader.first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def _changed(self, record: Record) -> Record:
        return msgspec.structs.replace(record, cause=self._causes.get(record.position, record.cause))

    def get(self, position: int) -> Record:
        if position == self._unreadable:
            raise CorruptEvent(position, "planted")
        return self._changed(self._reader.get(position))

    def read(self, **how: Any) -> Iterator[Record]:
        return map(self._changed, self._reader.read(**how))


@pytest.mark.parametrize(
    ("target", "observation", "way", "links"),
    [
        ("restart", "exit by signal 9", ("restart", "browser_exit"), 7),
        ("restart:browser", "exit by signal 9", ("restart", "browser_exit"), 7),
        ("restart:component:browser", "exit by signal 9", ("restart", "browser_exit"), 7),
        ("restart:process", "exit by signal 9 (SIGKILL)", ("second_start", "exit"), 2),
        ("process", "exit by signal 9 (SIGKILL)", ("second_start", "exit"), 2),
        ("breaker", "3 timeouts in a row", ("breaker", "timeouts"), 2),
        ("breaker:site", "3 timeouts in a row", ("breaker", "timeouts"), 2),
        ("mode", "cpu 41.0 %, memory 83.2 %", ("mode", "sample"), 4),
        ("mode:degraded", "cpu 41.0 %, memory 83.2 %", ("mode", "sample"), 4),
        ("health", "cpu 41.0 %, memory 83.2 %", ("health", "sample"), 2),
        ("failure:browser", "exit by signal 9", (None, "browser_exit"), 4),
        ("analyzer.failure_recorded", "exit by signal 9", ("failure", "browser_exit"), 2),
    ],
)
def test_each_thing_is_explained_by_what_was_seen(
    life: Lived, target: str, observation: str, way: tuple[str | None, str], links: int
) -> None:
    """From the last of its kind, along the causes, to the observation it began with."""
    chain = why(life.reader, target)
    begins, ends = way
    if begins is not None:
        assert life.at[begins] == chain.links[0].record.position
    assert (life.at[ends], observation, links) == (chain.root.position, chain.observation, len(chain.links))
    assert (True, "observation", "") == (chain.ends_at_observation, chain.began, chain.problem)


@pytest.mark.parametrize("form", ["17", "#17", 17, " 17 "])
def test_a_position_is_explained(life: Lived, form: str | int) -> None:
    """With or without its sign, and each link is told in a sentence."""
    chain = why(life.reader, form)
    assert life.at["restart"] == chain.links[0].record.position
    assert "the component browser was restarted in 0.08 s, attempt 1" == chain.links[0].sentence
    assert all(link.sentence for link in chain.links)


def test_what_nobody_saw_begins_with_a_call(life: Lived) -> None:
    """A chain without an observation is sound, and says that it is none."""
    chain = why(life.reader, life.at["commit"])
    assert (False, "call", "", "") == (chain.ends_at_observation, chain.began, chain.observation, chain.problem)


@pytest.mark.parametrize(
    ("causes", "problem"),
    [
        ({17: 19}, "#17 names #19 as its cause, which is not before it"),
        ({17: 17}, "#17 names #17 as its cause, which is not before it"),
        ({15: 16}, "#15 names #16 as its cause, which is not before it"),
        ({17: 999}, "#17 names #999 as its cause, which is not before it"),
    ],
)
def test_a_planted_wrong_link_is_reported(life: Lived, causes: dict[int, int | None], problem: str) -> None:
    """A cause that is later, itself, or nowhere: the chain ends there, says so, and explains nothing."""
    chain = why(Tampered(life.reader, causes), "restart")
    assert (problem, "broken", False, "") == (
        chain.problem,
        chain.began,
        chain.ends_at_observation,
        chain.observation,
    )


def test_a_cause_that_retention_has_removed_is_reported(life: Lived) -> None:
    """It was there, and how the chain went on before it cannot be told."""
    tampered = Tampered(life.reader, {14: 5})
    tampered.first = 6
    assert "the cause of #14, #5, is not kept any more" == why(tampered, "restart").problem


def test_a_cause_of_zero_is_none(life: Lived) -> None:
    """Older releases stored it where there was no event: the chain begins there, and is sound."""
    chain = why(Tampered(life.reader, {life.at["commit"]: 0}), life.at["commit"])
    assert (life.at["commit"], "call", "") == (chain.root.position, chain.began, chain.problem)


def test_a_planted_damage_on_the_way_is_reported(life: Lived) -> None:
    """A cause that cannot be read breaks the chain."""
    tampered = Tampered(life.reader, {}, unreadable=life.at["failure"])
    chain = why(tampered, "restart")
    assert f"cannot be read: position {life.at['failure']}: planted" in chain.problem


def test_a_planted_link_to_another_observation_is_followed(life: Lived) -> None:
    """A link that is wrong but possible leads to a wrong observation: who compares it with the facts finds out."""
    tampered = Tampered(life.reader, {12: life.at["exit"]})
    chain = why(tampered, "restart")
    assert (life.at["exit"], True) == (chain.root.position, chain.ends_at_observation)


def test_a_chain_that_is_too_long_is_cut(life: Lived, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and does not end at an observation."""
    monkeypatch.setattr(chains, "MAX_LINKS", 3)
    chain = why(life.reader, "restart")
    assert (3, "longer than 3 links") == (len(chain.links), chain.problem)


@pytest.mark.parametrize("target", ["nothing", "", "restart!", "-1", "1.", "١٢", "9" * 5_000], ids=lambda one: one[:8])
def test_a_word_without_a_meaning_is_refused(life: Lived, target: str) -> None:
    """With what can be asked about instead."""
    with pytest.raises((BadTarget, TargetNotFound)) as refused:
        why(life.reader, target)
    assert refused.value.hint


@pytest.mark.parametrize(
    "target", ["#999", "0", "restart:llm", "breaker:llm", "mode:minimal", "health:failing", "failure:llm", "no.such"]
)
def test_what_did_not_happen_is_not_found(life: Lived, target: str) -> None:
    """Nothing else is explained in its place."""
    with pytest.raises(TargetNotFound) as missing:
        why(life.reader, target)
    assert target == missing.value.target


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("mode:minimal", "the last change of the operation mode to minimal"),
        ("breaker:llm", "the last opening of a breaker of llm"),
        ("checkpoint:c9", "the last checkpoint with the id c9"),
    ],
)
def test_what_was_looked_for_is_told(life: Lived, target: str, told: str) -> None:
    """In a sentence that a reader understands."""
    with pytest.raises(TargetNotFound, match=told):
        why(life.reader, target)


@pytest.mark.parametrize("name", ["checkpoint_1700000010000_0123abcd", "0123abcd", "abcd", "latest", ""])
def test_a_checkpoint_is_named_as_with_the_commands_of_checkpoints(life: Lived, name: str) -> None:
    """By its id, the end of it, or as the latest."""
    assert life.at["checkpoint"] == resolve(life.reader, f"checkpoint:{name}" if name else "checkpoint").position
    with pytest.raises(TargetNotFound):
        resolve(life.reader, "checkpoint:bcd")


@pytest.mark.parametrize("word", WORDS)
def test_an_empty_log_has_nothing_to_explain(writer: LogWriter, word: str) -> None:
    """Every word is answered with what is missing."""
    with pytest.raises(TargetNotFound):
        resolve(writer.store, word)


def test_the_newest_of_many_is_found(writer: LogWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """However far back it stands, and however much of the same came before."""
    first = writer.add("modes", modes.ModeChanged("normal", "minimal", "x"))
    for _ in range(40):
        writer.add("modes", modes.HealthConsidered("warning", "x"))
    last = writer.add("modes", modes.ModeChanged("minimal", "degraded", "x"))
    padding = (NewEvent(Strange("padding")),) * 2_500
    writer.store.append(Batch(writes=(StreamWrite("notes", padding),)))
    assert last == resolve(writer.store, "mode").position
    assert first == resolve(writer.store, "mode:minimal").position


def test_a_mode_that_is_held_and_was_the_same_before_is_explained_by_who_holds_it(writer: LogWriter) -> None:
    """Until it is let go, or changes; then by its last change."""
    changed = writer.add("modes", modes.ModeChanged("normal", "minimal", "x"))
    held = writer.add("modes", modes.Pinned("minimal", "the site is moved"))
    assert held == resolve(writer.store, "mode").position == resolve(writer.store, "mode:minimal").position
    with pytest.raises(TargetNotFound):
        resolve(writer.store, "mode:normal")
    writer.add("modes", modes.Pinned(None, "by hand"))
    assert changed == resolve(writer.store, "mode").position
    writer.add("modes", modes.Pinned("normal", "by hand"))
    changed = writer.add("modes", modes.ModeChanged("minimal", "normal", "by hand"))
    assert changed == resolve(writer.store, "mode").position


def test_a_word_that_is_nearly_one_is_taken_for_a_slip(writer: LogWriter) -> None:
    """What was probably meant comes first."""
    with pytest.raises(BadTarget) as refused:
        resolve(writer.store, "modes")
    assert str(refused.value.hint).startswith("give 'mode', or a position")


def test_a_first_start_is_no_restart(writer: LogWriter) -> None:
    """Only a process whose predecessor did not end in order was restarted."""
    writer.add("supervisor", supervisor.ProcessStarted(1, 41, restarted=False))
    with pytest.raises(TargetNotFound):
        why(writer.store, "restart")
    assert 1 == resolve(writer.store, "process").position


def test_a_failure_that_the_host_reported_is_an_observation_itself(writer: LogWriter) -> None:
    """Nothing came before it in the log."""
    facts = FailureFacts("llm", message="read timed out")
    writer.add("analyzer", analyzer.FailureRecorded("llm", "llm_timeout", "f", "read timed out", facts, 1.0, BOOT))
    chain = why(writer.store, "failure")
    assert (True, "llm_timeout: read timed out") == (chain.ends_at_observation, chain.observation)


def test_a_forced_opening_begins_with_a_call(writer: LogWriter) -> None:
    """Somebody's order is no observation."""
    writer.add("breaker/llm", breaker.Opened("llm", 1, "forced: by hand", NEVER))
    assert "call" == why(writer.store, "breaker").began


EXAMPLES = [
    (supervisor.ProcessExitObserved(1, "exit status 1"), "exit status 1"),
    (supervisor.ChildFailed("actor:x", "KeyError", "'a'", "Do", 1.0, BOOT), "KeyError: 'a'"),
    (supervisor.ChildFailed("actor:x", "KeyError", "", "Do", 1.0, BOOT), "KeyError"),
    (monitor.HeartbeatMissed("browser", 3.21, 1.0), "heartbeat missed for 3.2 s"),
    (monitor.ComponentExited("browser", -9, "exit by signal 9"), "exit by signal 9"),
    (monitor.Sampled(Metrics(memory_percent=96.0)), "cpu unknown, memory 96.0 %"),
    (breaker.FailuresObserved("s", ("status 500: x", "status 500: y")), "2 failures in a row: 2 status 500"),
    (breaker.ProbeFailed("s", 2, "timeout: z"), "probe failed: timeout: z"),
    (supervisor.ChildEnded("actor:shop", 1.0, BOOT), "actor:shop ended by itself"),
    (checkpointer.ChangeMissed(("a.b", "c"), "identity"), "'identity' missed a change at a.b, c"),
    (checkpointer.TroubleNoted("no checkpoint for 90 s"), "no checkpoint for 90 s"),
    (checkpointer.TroubleNoted(""), "checkpoints are in order again"),
    (modes.MemoryReclaimed("cache", 5, 0, 0.1), "cache gave 5 bytes back"),
    (modes.MemoryReclaimed("cache", 0, 9, 0.1, "KeyError: x"), "cache: KeyError: x"),
]


@pytest.mark.parametrize(("seen", "told"), EXAMPLES, ids=lambda one: type(one).__name__)
def test_what_was_seen_is_told_in_a_few_words(writer: LogWriter, seen: object, told: str) -> None:
    """The words that a comparison with the injected fault goes by."""
    position = writer.add("any", seen)
    assert told == why(writer.store, position).observation


def test_every_observation_is_an_event_of_ours() -> None:
    """None is named that no actor stores."""
    assert [] == [name for name in OBSERVATIONS if find_type(name) is None]
    assert [] == [name for _, types, _ in WORDS.values() for name in types if find_type(name) is None]


def test_the_reference_marks_the_same_observations() -> None:
    """What it calls one is one here, in each direction."""
    text = (Path(__file__).parents[2] / "docs/reference/events.md").read_text(encoding="utf-8")
    marked = re.findall(r"^\| `([a-z_.]+)` \|.*\*Observation\.\*", text, re.MULTILINE)
    assert sorted(OBSERVATIONS) == sorted(marked)


def links(writer: LogWriter, target: str | int) -> list[str]:
    """The types of a chain, the newest first."""
    return [link.record.type.removeprefix("journal.") for link in why(writer.store, target).links]


def put_aside(writer: LogWriter, *later: object) -> None:
    """A task whose effect is in doubt gives the number of its step to another with such an effect, and what follows."""
    for one in (
        journal.StepBegun(5, "report", 1),
        journal.EffectIntended(5, "pay", 1, 1, "ask"),
        journal.EffectUnfinished(5, "pay", 1, 1, "ask", "no answer"),
        journal.StepAbandoned(5, "report", "KeyError"),
        journal.TaskSetAside(5, "report", 1, "report", "may", 0, 1),
        journal.StepBegun(5, "other", 1),
        journal.EffectIntended(5, "pay", 1, 1, "retry"),
        journal.EffectDone(5, "pay", 1, 1, 1),
        *later,
    ):
        writer.add("journal", one)


SETTLED = journal.TaskEffectSettled("report", "may", 5, "pay", 1, 1, "done", "by hand", 5)
ASIDE = ["effect_in_doubt", "effect_intended", "step_begun"]


def test_an_effect_of_a_task_set_aside_is_explained(writer: LogWriter) -> None:
    """By what became of it when its step was open, and never by the other step that has its number now."""
    put_aside(writer, SETTLED)
    for target in ("effect", "effect:pay", "effect:5/pay#1", "effect:report/pay#1", "effect:report may/pay#1"):
        assert ["task_effect_settled", *ASIDE] == links(writer, target)
    assert 2 == why(writer.store, "effect").links[-2].record.position
    assert ["effect_done", "effect_intended", "step_begun"] == links(writer, "journal.effect_done")
    assert 6 == why(writer.store, "journal.effect_done").root.position


def test_an_effect_is_found_by_what_its_step_is_called(writer: LogWriter) -> None:
    """As ``lrm effects`` lists what is set aside, and an error names one in doubt. Another step's is never taken."""
    for number, (step, effect) in enumerate([("a", "b/pay"), ("a/b", "pay"), ("a", "pay"), ("pay", "a")], 1):
        writer.add("journal", journal.StepBegun(number, step, 1))
        writer.add("journal", journal.EffectDone(number, effect, 1, 1, None))
        writer.add("journal", journal.StepCommitted(number, step, None))
    writer.add("journal", journal.StepBegun(5, "a", 1))

    def found(name: str) -> int:
        return why(writer.store, f"effect:{name}").links[0].record.position

    assert [8, 8, 5, 11] == [found(name) for name in ("a/pay", "a/pay#1", "a/b/pay", "pay/a")]
    assert [5, 5] == [found(name) for name in ("2/pay", "2/pay#1")]
    for name in ("b/pay#2", "pay/pay", "5/pay", "a/"):
        with pytest.raises(TargetNotFound):
            found(name)


def test_an_effect_is_found_by_what_tells_its_step_from_one_that_reads_the_same(writer: LogWriter) -> None:
    """As ``lrm effects`` lists them: by name and key."""
    for step, (begun, task) in enumerate(
        (
            (journal.StepBegun(1, "send to Ada", 1), TaskBegun(1, "send", "to Ada", "")),
            (journal.StepBegun(2, "send to Ada", 1), TaskBegun(2, "send to", "Ada", "")),
            (journal.StepBegun(3, "send to Ada", 1, key="Ada"), None),
        ),
        1,
    ):
        for one in (begun, task, journal.EffectDone(step, "mail", 1, 1, None)):
            if one is not None:
                writer.add("journal", one)
        writer.add("journal", journal.StepCommitted(step, "send to Ada", None))
    for name, position in (("send [to Ada]", 3), ("send to [Ada]", 7), ("step send to [Ada]", 10), ("send to Ada", 10)):
        assert position == why(writer.store, f"effect:{name}/mail#1").links[0].record.position
    writer.add("journal", journal.TaskEffectSettled("send", "to Ada", 1, "mail", 1, 1, "done", "by hand", 5))
    assert ["task_effect_settled"] == links(writer, "effect:send [to Ada]/mail#1")[:1]


def test_an_effect_of_a_task_that_goes_on_is_explained_across_its_steps(writer: LogWriter) -> None:
    """Its records before are those of another step's number."""
    put_aside(
        writer,
        SETTLED,
        journal.StepCommitted(5, "other", None),
        journal.StepBegun(6, "report", 2, origin=5),
        journal.TaskTakenBack(6, "report", "report", "may", 5, 1, 0),
        journal.EffectSettled(6, "pay", 1, 1, "skipped", "by hand"),
        journal.EffectIntended(6, "look", 1, 1, "retry"),
    )
    for target in ("effect:6/pay#1", "effect:6/pay", "effect:report/pay"):
        assert ["effect_settled", "task_effect_settled", *ASIDE] == links(writer, target)
    assert ["effect_intended", "step_begun"] == links(writer, "journal.effect_intended")


def test_an_effect_that_was_forgotten_is_explained_by_that(writer: LogWriter) -> None:
    """It is done anew. Where another step has the number, what was forgotten of the one before is none of its own."""
    first = (
        journal.StepBegun(1, "pay", 1),
        journal.EffectDone(1, "pay", 1, 1, 5),
        journal.EffectsForgotten(1, "pay", 1, 0, "by hand"),
    )
    for one in (*first, journal.StepBegun(1, "pay", 2), journal.EffectIntended(1, "pay", 1, 1, "ask")):
        writer.add("journal", one)
    assert ["effect_intended", "effects_forgotten"] == links(writer, "journal.effect_intended")
    writer.add("journal", journal.EffectsForgotten(1, "pay", 0, 0, "the step is begun as 'buy' now"))
    writer.add("journal", journal.StepBegun(1, "buy", 1))
    writer.add("journal", journal.EffectIntended(1, "pay", 1, 1, "ask"))
    assert ["effect_intended", "step_begun"] == links(writer, "journal.effect_intended")


def test_an_effect_is_explained_by_all_that_became_of_it(writer: LogWriter) -> None:
    """Each attempt of it, and no other effect, down to the begin of its step."""
    writer.add("journal", journal.StepBegun(1, "pay", 1))
    writer.add("journal", journal.EffectIntended(1, "look", 1, 1, "retry"))
    writer.add("journal", journal.EffectIntended(1, "pay", 1, 1, "ask"))
    writer.add("journal", journal.EffectIntended(1, "pay", 2, 1, "ask"))
    writer.add("journal", journal.EffectUnfinished(1, "pay", 1, 1, "ask", "no answer"))
    writer.add("journal", journal.EffectSettled(1, "pay", 1, 1, "done", "by hand", 5))
    writer.add("journal", journal.EffectDone(1, "look", 1, 1, None))
    told = ["effect_settled", "effect_in_doubt", "effect_intended", "step_begun"]
    for target in ("effect:pay#1", "effect:1/pay#1"):
        chain = why(writer.store, target)
        assert told == [link.record.type.removeprefix("journal.") for link in chain.links]
        assert "call" == chain.began
    assert "journal.effect_done" == why(writer.store, "effect").links[0].record.type
    with pytest.raises(TargetNotFound, match="of buy"):
        why(writer.store, "effect:buy")
