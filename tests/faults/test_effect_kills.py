"""An agent with effects on a real HTTP server, killed again and again: none is lost, none comes twice unannounced."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.errors import LogNotFound, NotALog
from eventstore.opening import open_reader
from eventstore.records import Record
from tests.faults import effect_lives
from tests.faults.effect_lives import IN_A_STEP, Life, kind_of
from tests.faults.effect_parent import Agents, Told, Truth, agents, begin_anew, listed, server, truth_of

KILLS, KILLS_FOR_RELEASE = 5, 200
EFFECTS, EFFECTS_FOR_RELEASE = 60, 1_000
SEED = 8_004


@attrs.define
class Counts:
    """What happened in a run."""

    agents: int = 0
    kills: int = 0
    effects: int = 0
    in_doubt: int = 0
    probed: int = 0
    retried: int = 0
    set_aside: int = 0
    """Batches that others went on before."""
    taken_back: int = 0
    missing: int = 0
    duplicated: int = 0
    """Of those with a probe or an idempotent server."""
    plain_twice: int = 0
    """Of those with neither, each reported as in doubt before."""


def journal_of(log: Path) -> list[Record]:
    """The events of the journal, read as they lie."""
    try:
        with open_reader(log) as reader:
            return list(reader.read_stream("journal"))
    except (LogNotFound, NotALog):  # it had not come into being yet
        return []


def count_of(records: list[Record], *kinds: str) -> Counter[int]:
    """How often there is an event of these kinds of each effect, by its number."""
    types = {f"journal.effect_{kind}" for kind in kinds}
    return Counter(number_of(record.event) for record in records if record.type in types)


def number_of(event: Any) -> int:
    """Which effect an event is about."""
    return effect_lives.number_of(event.name, event.occurrence)


def check_killed(log: Path, truth: Truth, told: Told, before: set[int]) -> set[int]:
    """Everything that the server was asked for, and that is not recorded, is listed as in doubt; which are.

    One kill adds one at most to those that were in doubt before, which may wait with their batches.
    """
    records = journal_of(log)
    recorded = count_of(records, "done") + finished(records)
    doubtful = listed(log) if records else {}
    forgotten = truth.keys.keys() - recorded.keys() - doubtful.keys()
    assert not forgotten, f"asked for, neither recorded nor listed as in doubt: {forgotten}"
    assert len(doubtful.keys() - before) <= 1, f"one at a time is done, and these are in doubt: {doubtful}"
    for number, key in doubtful.items():
        assert {key} >= set(truth.keys.get(number, ())), f"effect {number} is listed with another key"
    lost = set(told.recorded) - recorded.keys()
    assert not lost, f"recorded, as the agent was told, and lost: {lost}"
    check_repeated(truth, records)
    return set(doubtful)


def check_repeated(truth: Truth, records: list[Record]) -> None:
    """What can be known to have been done was done once, and each repetition was reported as in doubt before it."""
    doubts = count_of(records, "in_doubt")
    for number, keys in truth.keys.items():
        times = len(truth.done[number])
        assert 1 == len(set(keys)), f"effect {number} was asked for under several keys: {set(keys)}"
        assert 1 == times or kind_of(number) == "plain", f"effect {number} ({kind_of(number)}) was done {times} times"
        assert len(keys) - 1 <= doubts[number], f"effect {number} was repeated, and not reported as in doubt before"


def finished(records: list[Record]) -> Counter[int]:
    """Those that a probe found to have happened."""
    settled = (record.event for record in records if record.type == "journal.effect_settled")
    return Counter(number_of(event) for event in settled if event.outcome == "done")


def check_finished(log: Path, truth: Truth, effects: int, counts: Counts) -> None:
    """Each effect was done, and is on record once, with the receipt that the server gave last."""
    records = journal_of(log)
    probed = finished(records)
    recorded, doubts = count_of(records, "done") + probed, count_of(records, "in_doubt")
    ends = [record.event for record in records if record.type in {"journal.effect_done", "journal.effect_settled"}]
    results = {number_of(event): event.result for event in ends if event.result is not None}
    for number in range(effects):
        done = truth.done.get(number, [])
        counts.missing += not done
        assert done, f"effect {number} is missing"
        assert 1 == recorded[number], f"effect {number} is {recorded[number]} times on record"
        assert results[number] == done[-1], f"effect {number} is on record with another receipt"
        counts.plain_twice += len(done) > 1 and kind_of(number) == "plain"
        counts.duplicated += len(done) > 1 and kind_of(number) != "plain"
    assert doubts.total() <= counts.kills, "more than one in doubt per kill"
    check_repeated(truth, records)
    counts.agents += 1
    counts.effects += effects
    counts.retried += sum(len(keys) - 1 for keys in truth.keys.values())
    counts.probed += probed.total()
    counts.set_aside += sum(record.type == "journal.task_set_aside" for record in records)
    counts.taken_back += sum(record.type == "journal.task_taken_back" for record in records)


@attrs.frozen
class Processes:
    """What outlives every life."""

    lives: Agents
    port: int


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    """The parent of all lives, and the server."""
    with agents() as lives, server() as port:
        yield Processes(lives, port)


def kill_again_and_again(processes: Processes, root: Path, kills: int, effects: int, planted: str = "") -> Counts:
    """So many lives that are killed, each looked at, and one that comes to its end; another agent when one is done."""
    counts, chance, lives, port = Counts(), random.Random(SEED), processes.lives, processes.port
    while counts.kills < kills:
        begin_anew(port)
        directory = root / f"agent-{counts.agents}"
        life = Life(port, effects // IN_A_STEP, planted, directory)
        log = directory / "default" / "lrm.db"
        told, doubtful = Told(), set[int]()
        while counts.kills < kills and told.killed:
            told = lives.kill_one(life, chance)
            counts.kills += told.killed
            before, doubtful = doubtful, check_killed(log, truth_of(port), told, doubtful)
            counts.in_doubt += len(doubtful - before)
        if told.killed:
            lives.begin(life)
            lives.finish()
        check_finished(log, truth_of(port), effects, counts)
    return counts


def test_effects_of_a_killed_agent_are_neither_lost_nor_doubled(
    processes: Processes, tmp_path: Path, release: bool
) -> None:
    """0 missing, 0 duplicated with a probe or an idempotent server, at most one in doubt per kill, all listed."""
    kills, effects = (KILLS_FOR_RELEASE, EFFECTS_FOR_RELEASE) if release else (KILLS, EFFECTS)
    counts = kill_again_and_again(processes, tmp_path, kills, effects)
    print(counts)
    assert kills == counts.kills
    assert counts.probed + counts.retried > 0, "no kill fell between a deed and its record"
    assert counts.taken_back > 0, "no batch waited for others"


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        ("call_before_intent", "neither recorded nor listed as in doubt"),
        ("doubt_forgotten", "was done 2 times|not reported as in doubt"),
        ("key_ignored", "neither recorded nor listed|not reported as in doubt|done 2 times|under several keys"),
    ],
)
def test_planted_bugs_are_found_by_a_few_kills(processes: Processes, planted: str, told: str, tmp_path: Path) -> None:
    """A call before its intent is durable, a doubt that nobody speaks of any more, and a key that keeps nothing."""
    with pytest.raises(AssertionError, match=told):
        kill_again_and_again(processes, tmp_path, 40, 60, planted=planted)
