"""A power cut at any moment: what was acknowledged is there, batches are whole, and nothing is unreadable.

Each run is captured below SQLite, and every state that a disk may be left in, which reorders and tears what was not
synchronised, is put into memory and judged. The release run does the same in two processes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.encrypting import datakeys, sealing
from eventstore.testing import FaultVFS
from tests.faults.careless import careless
from tests.faults.cutting import Counts, cut_power
from tests.faults.histories import WORKLOADS, encrypted, singles
from tests.faults.running import Run, Told

ROOT = Path(__file__).parents[2]
STATES, STATES_FOR_RELEASE = 5_000, 500_000
SHARE = 0.24
"""Of all points of a run that are cut at by default."""
PROCESSES = 2


@pytest.fixture
def vfs() -> Iterator[FaultVFS]:
    """A file system to capture by."""
    with FaultVFS() as made:
        yield made


def campaign(wanted: int, first_seed: int) -> Counts:
    """All workloads with one seed after the other, until there are enough states."""
    counts = Counts()
    seed = first_seed
    with FaultVFS() as vfs:
        while counts.states < wanted and not counts.problems:
            for make in WORKLOADS.values():
                run = cut_power(counts, vfs, make(seed), seed=seed, samples=24, reader_every=25, owner_every=100)
                counts.problems += [f"the program gave up: {run.gave_up}"] if run.gave_up else []
            seed += PROCESSES
    return counts


def test_whatever_a_power_cut_leaves_holds_what_was_promised(vfs: FaultVFS, release: bool) -> None:
    """In each of the distinct states, over single appends, batches, snapshots, creation, migration and settling."""
    counts = Counts()
    if release:
        for found in _in_processes(STATES_FOR_RELEASE // PROCESSES + 1):
            for name, value in found.items():
                setattr(counts, name, getattr(counts, name) + value)
    else:
        for number, make in enumerate(WORKLOADS.values()):
            before = counts.states
            run = cut_power(
                counts, vfs, make(number), seed=number, samples=6, share=SHARE, reader_every=25, owner_every=100
            )
            assert not run.gave_up
            print(f"{run.history.name}: {counts.states - before} states")
    print(f"power cut: {counts}")
    assert [] == counts.problems
    assert counts.states >= (STATES_FOR_RELEASE if release else STATES)
    assert counts.read
    assert counts.owned


def _in_processes(states_each: int) -> list[dict[str, Any]]:
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.test_power_cut", str(states_each), str(1000 + number)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    answers = [process.communicate(timeout=900)[0] for process in started]
    assert all(process.returncode == 0 for process in started)
    return [json.loads(answer) for answer in answers]


def test_losing_nothing_is_never_a_loss(vfs: FaultVFS) -> None:
    """The check of the check: where the disk keeps everything, no workload may be found wanting."""
    counts = Counts()
    for make in WORKLOADS.values():
        cut_power(counts, vfs, make(3), model="keep_all", share=0.15)
    assert [] == counts.problems


def lost(counts: Counts) -> bool:
    """Whether the judge noticed that something promised is gone."""
    print(counts)
    return any("is lost" in problem for problem in counts.problems)


def test_the_planted_normal_is_caught(vfs: FaultVFS) -> None:
    """A commit that does not wait for the disk is lost by a power cut, which no kill would show."""
    counts = Counts()
    cut_power(counts, vfs, singles(1), connect=careless(vfs))
    assert lost(counts)


@pytest.mark.parametrize("nth", [1, 5])
def test_one_planted_dropped_fsync_is_caught(vfs: FaultVFS, nth: int) -> None:
    """A single sync of the WAL that is answered without being done, though the next one makes up for it."""
    counts = Counts()
    history = attrs.evolve(singles(2, 6), wal_pages=1000)  # a checkpoint would make up for it at once
    cut_power(counts, vfs, history, plant=lambda vfs: vfs.drop("sync", nth, file="wal", sticky=False))
    assert lost(counts)


def test_what_was_sealed_with_a_key_that_is_nowhere_is_caught(vfs: FaultVFS, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner that sealed it can read it; whoever comes after the power cut cannot."""
    counts = Counts()
    real = datakeys.aes_gcm
    monkeypatch.setattr(sealing, "aes_gcm", lambda _secret: real(bytes(32)))
    cut_power(counts, vfs, encrypted(1), share=0.1)
    print(counts)
    assert any("unreadable" in problem for problem in counts.problems)


def test_a_dropped_fsync_of_the_file_is_caught(vfs: FaultVFS) -> None:
    """The WAL is begun anew while what was copied out of it is not on the disk."""
    counts = Counts()
    cut_power(counts, vfs, singles(2, 60), plant=lambda vfs: vfs.drop("sync", file="main"))
    print(counts)
    assert counts.problems


def test_a_disk_that_lies_is_caught(vfs: FaultVFS) -> None:
    """One whose syncs do nothing."""
    counts = Counts()
    cut_power(counts, vfs, singles(1), model="lying")
    assert counts.problems


WHOLE = {"started": 7, "durable": 7, "removable": 2, "gone": 1}


@pytest.mark.parametrize(
    ("steps", "removed", "marks", "wrong"),
    [
        ([0, 2, 1, 3, 4, 5, 7], 1, {}, ""),
        ([0, 1, 2, 3, 4, 5], 1, {}, "step 7 was in and is lost"),
        ([0, 1, 2, 3, 4, 5], 1, {"durable": 6}, ""),
        ([0, 1, 2, 3, 5, 7], 1, {"durable": -1}, "missing before step 7"),
        ([0, 1, 2, 3, 4, 5, 6, 7], 1, {}, "step 6 was refused for certain and is there"),
        ([0, 1, 2, 3, 4, 5, 7], 1, {"started": 6}, "never began"),
        ([0, 1, 2, 4, 3, 5, 7], 1, {}, "out of order"),
        ([0, 1, 2, 3], 1, {"durable": 3, "done 5": 1}, "are lost, which are done"),
        ([0, 1, 2, 3, 4, 5, 7], 0, {}, "0 events are removed, of 2; 1 were"),
        ([0, 1, 2, 3, 4, 5, 7], 3, {}, "3 events are removed, of 2; 1 were"),
    ],
)
def test_the_verdict_sees_each_kind_of_wrong(steps: list[int], removed: int, marks: dict[str, int], wrong: str) -> None:
    """And nothing else: steps 1 to 3 are asked for at the same time, 6 was refused, and 7 found after settling."""
    told: dict[int, Told] = {**dict.fromkeys(range(6), "done"), 6: "refused", 7: "in"}
    made = [attrs.evolve(step, together=number in (2, 3)) for number, step in enumerate(singles(1, 8).steps)]
    run = Run(attrs.evolve(singles(1, 8), steps=tuple(made)), told)
    found = run.verdict(steps, removed, WHOLE | marks)
    assert bool(wrong) is bool(found), found
    assert any(wrong in one for one in found) or not wrong


def main() -> None:
    """One process of the release run."""
    wanted, first_seed = map(int, sys.argv[1:])
    print(json.dumps(attrs.asdict(campaign(wanted, first_seed))))


if __name__ == "__main__":
    main()
