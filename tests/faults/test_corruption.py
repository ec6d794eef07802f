"""Damage of every kind to every file of a log: what it no longer says is told, and where that begins.

Each damaged log is read in every way, verified, and compared with what it said before. The release run does the same
more often, in two processes.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from eventstore import integrity
from eventstore.damage import walfile
from eventstore.damage.remains import Remains
from eventstore.reader import SqliteReader
from eventstore.records import Problem, Verification
from tests.faults.corrupting import Counts, Mutation, campaign, judge
from tests.faults.salvage_judging import judge_salvage, salvage_campaign
from tests.faults.specimens import MARK, WAL, Specimen, scratch, specimens

ROOT = Path(__file__).parents[2]
MUTATIONS, MUTATIONS_FOR_RELEASE = 100, 12_000
SALVAGES = 14
PROCESSES = 2


@pytest.fixture(scope="module")
def logs() -> list[Specimen]:
    """The logs that are damaged."""
    return specimens()


def test_all_damage_is_told_and_where_it_begins(logs: list[Specimen], release: bool) -> None:
    """Bits, sectors, pages and ends of the database, of its live WAL and of the mark."""
    counts = campaign(MUTATIONS, 1, logs=logs)
    print(counts)
    assert [] == counts.wrong
    assert counts.damaging > MUTATIONS // 4
    assert counts.placed > MUTATIONS // 10
    assert counts.owned
    if release:
        answers = in_processes(MUTATIONS_FOR_RELEASE // PROCESSES)
        for answer in answers:
            print(answer["counts"])
            assert [] == answer["wrong"]


def in_processes(each: int) -> list[dict[str, object]]:
    """The same at once in several processes, each with its own seed."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.salvage_judging", str(each), str(1000 + number)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    answers = [process.communicate(timeout=1800)[0] for process in started]
    assert all(process.returncode == 0 for process in started)
    return [json.loads(answer) for answer in answers]


def test_salvage_brings_back_all_that_is_whole_and_nothing_else(logs: list[Specimen]) -> None:
    """Each event whose bytes are untouched anywhere in the files is in the new log, which says what it lacks."""
    counts = salvage_campaign(SALVAGES, 6, logs)
    print(f"{counts.salvages} salvages brought {counts.salvaged} events back")
    assert [] == counts.wrong
    assert counts.salvaged


# --- weaker checkers, each of which misses something --------------------------------------------------------------


def missed(counts: Counts) -> bool:
    """Whether something that is different was told by nobody."""
    print(counts)
    return any("nobody tells" in wrong for wrong in counts.wrong)


def test_a_planted_checker_that_only_asks_sqlite_misses_damage(logs: list[Specimen]) -> None:
    """A flipped bit in a record is nothing that SQLite knows of."""

    def verify(reader: SqliteReader) -> Verification:
        with reader._pool.lend() as connection:
            lines = [line for (line,) in connection.execute("PRAGMA integrity_check")]
        problems = tuple(Problem("file", None, line) for line in lines if line != "ok")
        return Verification(0, 0, 0, 0, problems)

    assert missed(campaign(60, 2, verify, [log for log in logs if log.name == "closed"]))


def test_a_planted_checker_without_the_mark_misses_a_cut_tail(logs: list[Specimen]) -> None:
    """One bit in the WAL, and SQLite drops the rest of it without a word; what is left is whole."""

    def verify(reader: SqliteReader) -> Verification:
        with mock.patch.object(integrity, "read_mark", return_value=None):
            return reader.verify()

    assert missed(campaign(40, 3, verify, [log for log in logs if WAL in log.files]))


def test_a_planted_mark_without_commits_misses_what_came_after_the_last_event(logs: list[Specimen]) -> None:
    """A snapshot or a cursor that was acknowledged after it: only the count of commits tells."""
    (log,) = (log for log in logs if WAL in log.files)
    data = log.files[WAL]
    last = max(frame.start for frame in walfile.frames(data, 4096) if frame.trust == 0)
    cut = Mutation("a cut", WAL, last, data[:last])
    counts, directory = Counts(), scratch()

    def verify(reader: SqliteReader) -> Verification:
        with mock.patch.object(integrity, "is_behind", lambda mark, position, _: position < mark.position):
            return reader.verify()

    judge(log, cut, directory / "lrm.db", counts)
    assert ([], 1) == (counts.wrong, counts.damaging)
    judge(log, cut, directory / "lrm.db", counts, verify)
    assert missed(counts)
    shutil.rmtree(directory)


def test_a_planted_salvage_that_only_asks_sqlite_brings_less_back(logs: list[Specimen]) -> None:
    """Behind a flipped bit in the WAL are committed events that SQLite drops."""
    (log,) = (log for log in logs if WAL in log.files)
    at = 32 + 24 + 2 * (4096 + 24) + 50
    data = bytearray(log.files[WAL])
    data[at] ^= 1
    whole = Remains.regions
    with mock.patch.object(Remains, "regions", lambda remains: [one for one in whole(remains) if one.trust == 0]):
        counts, directory = Counts(), scratch()
        judge_salvage(log, Mutation("a flipped bit", WAL, at, bytes(data)), directory, counts)
        shutil.rmtree(directory)
    assert any("were whole and are not back" in wrong for wrong in counts.wrong)


def test_a_damaged_mark_neither_hides_anything_nor_makes_a_whole_log_look_damaged(logs: list[Specimen]) -> None:
    """At worst it is told that it cannot be read."""
    (log,) = (log for log in logs if log.name == "closed")
    chance = random.Random(5)
    counts, directory = Counts(), scratch()
    for at in range(0, len(log.files[MARK]), 3):
        data = bytearray(log.files[MARK])
        data[at] ^= 1 << chance.randrange(8)
        judge(log, Mutation("a flipped bit", MARK, at, bytes(data)), directory / "lrm.db", counts)
    shutil.rmtree(directory)
    assert ([], 0) == (counts.wrong, counts.damaging)
