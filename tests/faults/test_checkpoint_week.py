"""Seven simulated days with a step, and a checkpoint, each six seconds: the disk and the memory stay what they are.

The agent remembers its last steps, some facts and a few pictures, which are small stand-ins of random bytes. The log is
a real file; what is removed from it, and when, is what a running mode removes. Each day the process is killed once.
"""

from __future__ import annotations

import gc
import logging
import random
import resource
import sqlite3
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.protocol import EventReader
from lrm_actors.actors.checkpoints import sizes
from lrm_actors.actors.checkpoints.cutting import Cutter
from lrm_actors.actors.checkpoints.encoding import Encoder
from lrm_actors.domain import checkpointer, journal
from lrm_actors.domain.behavior import Command, Context, Decision, Spec
from lrm_actors.domain.checkpointer import EMERGENCY, PERIODIC, CheckpointerConfig
from lrm_actors.hosting.reading import CheckpointReader
from lrm_actors.hosting.trimming import Limits, Trimmer
from tests.faults.checkpoint_lives import SPEC, Simulated, handlers, wanted_keys
from tests.faults.cutting import memory_directory

DAY_S, STEP_S = 86_400.0, 6.0
CHECKPOINTS, CHECKPOINTS_FOR_RELEASE = 200, 100_800
LOOK_EVERY_S = 60.0
"""Between two looks at the log, as of a running mode."""
PICTURE_BYTES = 2_000
REMEMBERED = 40
"""Steps in the agent's state."""
PLANTED = 150
"""Checkpoints with a bug planted."""
RSS_EVERY = 500
FLAT_BYTES = 4 * 1024 * 1024
"""What the memory of the second half may grow by from its first part to its last: 4 MB in a hundred thousand steps."""
LIMITS = Limits(max_bytes=4_000_000, max_age_s=6 * 3600.0)
CONFIG = CheckpointerConfig(interval_s=3600.0, max_checkpoints=50, max_emergency=5, keep_hourly_h=24, keep_daily_days=7)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """A week of kills would fill the captured log."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def _small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that stand-ins are kept apart as pictures are."""
    monkeypatch.setattr(sizes, "BLOB_BYTES", PICTURE_BYTES)


@attrs.define
class Week:
    """What came of it."""

    checkpoints: int = 0
    kills: int = 0
    kept: int = 0
    compared: int = 0
    disk_bytes: list[int] = attrs.Factory(list)
    """Of the log's file at the end of each day."""
    live_bytes: list[int] = attrs.Factory(list)
    """What storing just what is kept would take."""
    peak_bytes: int = 0
    """Of the log's file and its WAL at any look."""
    left: int = 0
    """Attachments that nothing needs, or that are missing."""
    rss_bytes: list[int] = attrs.Factory(list)

    @property
    def worst(self) -> float:
        """The disk over what is live."""
        return max(disk / live for disk, live in zip(self.disk_bytes, self.live_bytes, strict=True))

    @property
    def grown_bytes(self) -> float:
        """Growth of the memory over the second half."""
        half = self.rss_bytes[len(self.rss_bytes) // 2 :]
        part = max(1, len(half) // 4)
        return statistics.median(half[-part:]) - statistics.median(half[:part])


class Agent:
    """The host."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.state: dict[str, Any] = {
            "history": [self._step(number) for number in range(REMEMBERED)],
            "facts": {f"fact {number}": {"value": "w" * 40, "seen": 0} for number in range(30)},
            "pictures": [chance.randbytes(PICTURE_BYTES) for _ in range(3)],
            "step": 0,
        }

    def _step(self, number: int) -> dict[str, Any]:
        text = f"{self.chance.random()} {self.chance.random()} " * 4
        return {"number": number, "text": text, "result": {"ok": True, "took": self.chance.random()}}

    def step(self, number: int) -> None:
        """One step."""
        state = self.state
        state["history"].append(self._step(number))
        del state["history"][0]
        state["facts"][f"fact {self.chance.randrange(30)}"]["seen"] = number
        state["pictures"].append(self.chance.randbytes(PICTURE_BYTES))
        del state["pictures"][0]
        state["step"] = number


def live(
    path: Path, checkpoints: int, day_s: float, config: CheckpointerConfig = CONFIG, spec: Spec[Any] = SPEC
) -> Week:
    """Let an agent live for so many checkpoints."""
    week, chance = Week(), random.Random(12)
    with Simulated(12, path, sqlite3.connect) as sim:
        sim.choices.suspended = True
        agent = Agent(chance)

        def begin() -> Trimmer:
            system = sim.system([journal.spec(), spec], handlers=handlers(sim, lambda: agent.state))
            sim.ask(checkpointer.NAME, checkpointer.Configure(config))
            sim.ask(journal.NAME, journal.OpenJournal())
            trimmer = Trimmer(path, sim.store, system, lambda: LIMITS)
            trimmer._consumers = ()  # the actors that read on in the log are not in this simulation
            return trimmer

        trimmer, looked_s = begin(), sim.clock.monotonic()
        for number in range(1, checkpoints + 1):
            begun = sim.ask(journal.NAME, journal.BeginStep("step"))
            agent.step(number)
            sim.ask(journal.NAME, journal.CommitStep(begun["step"], {"ok": True}))
            kind = EMERGENCY if number % 5_000 == 0 else PERIODIC
            sim.ask(checkpointer.NAME, checkpointer.TakeCheckpoint(kind, "step"))
            sim.run(STEP_S)
            week.checkpoints += 1
            if sim.clock.monotonic() - looked_s >= LOOK_EVERY_S:
                looked_s = sim.clock.monotonic()
                trimmer.look()
                week.peak_bytes = max(week.peak_bytes, _size(path))
            if number % RSS_EVERY == 0:
                gc.collect()
                week.rss_bytes.append(_rss())
            if number % int(day_s / STEP_S) == 0:
                sim.kill()
                week.kills += 1
                week.disk_bytes.append(_size(path))
                trimmer = begin()
                _compare(week, sim.store, sim.systems[-1].state(checkpointer.NAME), path, agent)
    return week


def _size(path: Path) -> int:
    return sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*") if not one.name.endswith("-shm"))


def _rss() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def _compare(week: Week, reader: EventReader, state: Any, path: Path, agent: Agent) -> None:
    """What just the kept checkpoints would take if they were all that was ever stored, and the events that stay."""
    checkpoints, encoder = CheckpointReader(reader, state), Encoder()
    stored = 0
    blobs: dict[str, int] = {}
    for info in state.kept:
        restored = checkpoints.restore(info.checkpoint_id)
        made = encoder.encode(Cutter(encoder.root).at_once(restored.state), checkpoint_id=info.checkpoint_id)
        stored += len(made.data)
        blobs |= {digest: len(data) for digest, data in made.blobs}
        week.compared += 1
    assert restored.state == agent.state, "the newest is not what was captured"
    week.left += len(set(reader.attachment_keys()) ^ set(wanted_keys(state)))
    week.kept = len(state.kept)
    week.live_bytes.append(stored + sum(blobs.values()) + _others_bytes(path))


def _others_bytes(path: Path) -> int:
    """The file without its attachments, and without the pages that are free."""
    copy = path.with_name("copy.db")
    copy.unlink(missing_ok=True)
    with sqlite3.connect(path) as log:
        log.execute("VACUUM INTO ?", (str(copy),))
    log.close()
    with sqlite3.connect(copy) as without:
        without.execute("DELETE FROM attachments")
    without.execute("VACUUM")
    without.close()
    size = copy.stat().st_size
    copy.unlink()
    return size


def test_a_week_of_checkpoints_takes_what_is_kept_and_no_more(release: bool) -> None:
    """At most twice of it, after retention, at the end of each day; and the memory is flat."""
    checkpoints = CHECKPOINTS_FOR_RELEASE if release else CHECKPOINTS
    day_s = DAY_S if release else checkpoints * STEP_S / 4
    with memory_directory() as scratch:
        week = live(scratch / "lrm.db", checkpoints, day_s)
    disk, alive = week.disk_bytes[-1], week.live_bytes[-1]
    print(
        f"checkpoints: {week.checkpoints}, kills: {week.kills}, kept: {week.kept}, restored: {week.compared},"
        f" disk: {disk / 1e6:.2f} MB, live: {alive / 1e6:.2f} MB, at most {week.worst:.2f} times, peak with the WAL:"
        f" {week.peak_bytes / 1e6:.2f} MB"
        + (f", memory: {week.rss_bytes[-1] / 1e6:.0f} MB, grown: {week.grown_bytes / 1e6:.2f} MB" if release else "")
    )
    assert week.worst <= 2.0
    assert 0 == week.left
    assert week.checkpoints == checkpoints
    if release:
        assert week.grown_bytes <= FLAT_BYTES
        assert disk <= 1.5 * week.disk_bytes[0], "the log grows from day to day"


def test_a_planted_retention_that_deletes_nothing_is_caught() -> None:
    """What was pruned is still there: the disk is far more than what is kept."""

    def decide(state: Any, command: Command, ctx: Context) -> Decision:
        decision: Decision = SPEC.decide(state, command, ctx)
        return attrs.evolve(decision, discard=())

    few = attrs.evolve(CONFIG, max_checkpoints=3)
    with memory_directory() as scratch:
        path = scratch / "lrm.db"
        week = live(path, PLANTED, PLANTED * STEP_S, few, attrs.evolve(SPEC, decide=decide))
    print(f"{week.worst:.1f} times of what is live")
    assert week.worst > 2.0
    assert week.left, "nobody saw that something is there that nothing needs"
