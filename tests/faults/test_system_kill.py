"""A real process with the whole system in it, killed at random points: nothing acknowledged is lost or comes twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import defaultdict
from contextlib import AbstractContextManager
from pathlib import Path

import attrs
import pytest

from eventstore.errors import LogNotFound, NotALog
from eventstore.opening import open_reader
from eventstore.protocol import EventReader
from tests.faults import lives
from tests.faults.parents import Parent, parent
from tests.machines.world import PATIENCE_S, check_deliveries, check_folds, check_log

KILLS, KILLS_FOR_RELEASE = 15, 300
LOG_LIVES = 15
"""Lives of one log; then another is begun, so that looking at it does not take longer and longer."""
LONGEST_LIFE_S = 0.3
SEED = 20_011


@attrs.define
class Counts:
    """What happened in a run."""

    kills: int = 0
    acknowledged: int = 0
    events: int = 0
    deliveries: int = 0
    steps: int = 0


class Agents(Parent):
    """Begins lives, reads what they acknowledge, and kills them."""

    def begin(self, life: int, planted: str, directory: Path) -> int:
        """Begin a life; its process id."""
        return self._order(f"{life} {planted or '-'} {directory}\n".encode())

    def acknowledged(self, pid: int, chance: random.Random) -> list[tuple[str, int]]:
        """What a life acknowledges until it is killed: at a random moment, or right after a random one of its lines.

        Half of the moments count from its first line, so that the other half may fall into its start-up, however slow
        the machine is.
        """
        lines = self._read(PATIENCE_S) if chance.random() < 0.5 else []
        deadline_s = time.monotonic() + chance.uniform(0.0, LONGEST_LIFE_S)
        enough = chance.choice((chance.randrange(1, 200), 1_000_000))
        while len(lines) < enough and (left_s := deadline_s - time.monotonic()) > 0:
            lines += self._read(left_s)
        os.kill(pid, signal.SIGKILL)
        return [*lines, *self._until("ended")[:-1]]


def agents() -> AbstractContextManager[Agents]:
    """A process without threads that forks the lives."""
    return parent(Agents, "tests.faults.lives")


def check(reader: EventReader, acknowledged: dict[str, list[int]]) -> None:
    """Everything acknowledged is there, once, in order, without gaps; and every state is the fold."""
    names = [spec.name for spec in lives.actors()]
    check_log(reader, names)
    check_folds(reader, lives.actors())
    check_deliveries(reader, all_of_them=False, kinds=lives.KINDS, names=names)
    added = []
    for name in lives.COUNTERS:
        stored = [record.event.amount for record in reader.read_stream(name)]
        added += stored
        lost = sorted(set(acknowledged[name]) - set(stored))
        assert [] == lost, f"acknowledged by {name} and lost: {lost}"
    assert len(added) == len(set(added)), "a command was carried out twice"
    steps = [record.event.step for record in reader.read_stream("journal") if record.type == "journal.step_committed"]
    assert list(range(1, len(steps) + 1)) == steps
    assert set(acknowledged["journal"]) <= set(steps), f"acknowledged steps lost: {acknowledged['journal']}, {steps}"


def check_left_files(log: Path, acknowledged: dict[str, list[int]]) -> None:
    """What the killed process left, read as it lies. Its log may not have come into being yet."""
    try:
        reader = open_reader(log)
    except (LogNotFound, NotALog):
        assert not any(acknowledged.values())
        return
    with reader:
        check(reader, acknowledged)


def check_at_rest(directory: Path, counts: Counts) -> None:
    """One more life, which is left to come to rest: now every delivery was made, exactly once."""
    last = lives.world(directory)
    try:
        last.settle()
        reader = last.store
        names = [spec.name for spec in last.specs]
        check_deliveries(reader, all_of_them=True, kinds=lives.KINDS, names=names)
        in_log_order = [str(record.event.amount) for record in reader.read(types=["counting.added"])]
        assert in_log_order == [record.event.text for record in reader.read_stream("noter")]
        counts.events += reader.head
        counts.deliveries += reader.version("tally") + reader.version("noter")
        counts.steps += last.system.state("journal").committed
    finally:
        last.close()


def kill_again_and_again(root: Path, kills: int, planted: str = "") -> Counts:
    """So many lives, each killed, each looked at; a new log now and then."""
    counts, chance = Counts(), random.Random(SEED)
    acknowledged: dict[str, list[int]] = defaultdict(list)
    with agents() as lives_of:
        for life in range(1, kills + 1):
            directory = root / f"log-{(life - 1) // LOG_LIVES}"
            pid = lives_of.begin(life, planted, directory)
            lines = lives_of.acknowledged(pid, chance)
            counts.kills += 1
            counts.acknowledged += len(lines)
            for name, number in lines:
                acknowledged[name].append(number)
            check_left_files(directory / "lrm.db", acknowledged)
            if life % LOG_LIVES == 0 or life == kills:
                check_at_rest(directory, counts)
                acknowledged.clear()
    return counts


def test_a_killed_system_loses_nothing_and_repeats_nothing(tmp_path: Path, release: bool) -> None:
    """0 acknowledged commands lost, 0 gaps, every state the fold of its events, every wired event delivered once."""
    kills = KILLS_FOR_RELEASE if release else KILLS
    counts = kill_again_and_again(tmp_path, kills)
    print(counts)
    assert kills == counts.kills
    assert counts.acknowledged > kills, "the lives were too short to prove anything"
    assert counts.deliveries > kills
    assert counts.steps > 0


@pytest.mark.parametrize(
    ("planted", "told"), [("reply_before_append", "and lost"), ("cursor_apart", "delivered|not delivered")]
)
def test_planted_bugs_are_found_by_a_few_kills(planted: str, told: str, tmp_path: Path) -> None:
    """A reply before its append loses what was acknowledged; a cursor ahead of its events loses deliveries."""
    with pytest.raises(AssertionError, match=told):
        kill_again_and_again(tmp_path, kills=LOG_LIVES, planted=planted)
