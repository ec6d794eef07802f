"""kill -9 at random points of a process that writes a log: what it acknowledged is there, whole and in order.

A campaign runs in a process of its own, which forks one writer after the other onto the same log, kills it, and looks.
"""

from __future__ import annotations

import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.codec import decode_state, encode_state
from eventstore.opening import open_reader, open_store
from eventstore.protocol import EventReader
from eventstore.records import Batch, Cursor, NewEvent, Receipt, Snapshot, StreamWrite
from tests.eventstore.support import Counted

ROOT = Path(__file__).parents[2]
KILLS, KILLS_FOR_RELEASE = 15, 2000
STREAM = "tally"
VERSION = struct.Struct("<q")


@attrs.frozen
class Tally:
    """The state whose fold is compared."""

    count: int = 0
    total: int = 0

    def after(self, counted: Counted) -> Tally:
        """One event later."""
        return Tally(self.count + 1, self.total * 31 % 1_000_003 + counted.n)


def event_at(version: int) -> Counted:
    """What stands at a version: known beforehand, so that the reader can tell a wrong event from a right one."""
    return Counted(version, f"{version * 7919}" * (version % 40))


def fold(reader: EventReader, up_to: int | None = None) -> Tally:
    """The state by events alone."""
    state = Tally()
    for record in reader.read_stream(STREAM, up_to=up_to):
        state = state.after(record.event)
    return state


def recover(reader: EventReader) -> Tally:
    """The state as an actor recovers it: the newest snapshot and the events after it."""
    snapshot = reader.snapshot(STREAM)
    state, after = (decode_state(snapshot.data, Tally), snapshot.version) if snapshot is not None else (Tally(), 0)
    for record in reader.read_stream(STREAM, after=after):
        state = state.after(record.event)
    return state


def write_until_killed(path: Path, acks: int, seed: int, *, ack_first: bool) -> None:
    """The writer: batches of one to six events with a cursor, a receipt, and now and then a snapshot."""
    chance = random.Random(seed)
    store = open_store(path)
    grant = store.acquire(STREAM)
    version = grant.version
    state = recover(store)
    while True:
        events = [event_at(version + n) for n in range(1, chance.randrange(2, 8))]
        for one in events:
            state = state.after(one)
        after = version + len(events)
        snapshots = (Snapshot(STREAM, after, "tally/1", encode_state(state)),) if chance.random() < 0.1 else ()
        write = StreamWrite(STREAM, tuple(NewEvent(one) for one in events), version, grant.epoch)
        batch = Batch((write,), (Cursor("writer", after),), (Receipt(f"to-{after}", after),), snapshots)
        if ack_first:  # the planted bug
            os.write(acks, VERSION.pack(after))
            store.append(batch)
        else:
            store.append(batch)
            os.write(acks, VERSION.pack(after))
        version = after


@attrs.define
class Campaign:
    """Many kills of writers on one log, and what was found after each."""

    path: Path
    seed: int
    ack_first: bool = False
    kills: int = 0
    acked: int = 0
    """Version of the last acknowledged event."""
    unacknowledged: int = 0
    """Times that a batch was there whose acknowledgement the kill prevented."""
    seen: int = 0
    state: Tally = Tally()
    """The fold of all events seen."""
    problems: list[str] = attrs.field(factory=list)

    def run(self, kills: int) -> None:
        """Kill until enough or until something is wrong."""
        chance = random.Random(self.seed)
        while self.kills < kills and not self.problems:
            self._kill_one(chance)
            if self.path.exists() and self.path.stat().st_size:
                self._look(thoroughly=self.kills % max(25, kills // 8) == 0 or self.kills == kills)

    def _kill_one(self, chance: random.Random) -> None:
        """Let a writer go on for some acknowledgements, or for none, and a moment; then kill it."""
        receiving, sending = os.pipe()
        writer = os.fork()
        if writer == 0:
            os.close(receiving)
            try:
                write_until_killed(self.path, sending, chance.randrange(2**32), ack_first=self.ack_first)
            finally:
                os._exit(1)
        os.close(sending)
        acks = b""
        wanted = chance.choice([0, 1, 2, 5, 10, 20])
        while len(acks) < wanted * VERSION.size:
            acks += os.read(receiving, VERSION.size * wanted - len(acks)) or self._died(writer)
        time.sleep(chance.uniform(0, 0.004 if wanted else 0.02))  # the random point, not a wait for anything
        os.kill(writer, signal.SIGKILL)
        while more := os.read(receiving, 65536):
            acks += more
        os.close(receiving)
        _, status = os.waitpid(writer, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            self.problems.append(f"kill {self.kills}: the writer ended by itself")
        self.kills += 1
        if acks:
            self.acked = VERSION.unpack(acks[-VERSION.size :])[0]

    def _died(self, writer: int) -> bytes:
        os.waitpid(writer, 0)
        msg = "the writer died before it was killed"
        raise RuntimeError(msg)

    def _look(self, *, thoroughly: bool) -> None:
        """What a reader finds: nothing acknowledged missing, nothing wrong, batches whole."""
        try:
            with open_reader(self.path) as reader:
                version = reader.version(STREAM)
                if version < self.acked:
                    self.problems.append(f"kill {self.kills}: {self.acked} was acknowledged, {version} is there")
                self.unacknowledged += version > self.acked
                self.acked = version
                snapshot = reader.snapshot(STREAM)
                for record in reader.read(after=self.seen):
                    self.seen += 1
                    self.state = self.state.after(record.event)
                    if (record.position, record.version) != (self.seen, self.seen):
                        self.problems.append(f"gap: {record.position} at {self.seen}")
                    if record.event != event_at(self.seen):
                        self.problems.append(f"wrong event at {self.seen}")
                    if snapshot is None or snapshot.version != self.seen:
                        continue  # an older one was compared when it was new
                    if decode_state(snapshot.data, Tally) != self.state:
                        self.problems.append(f"the snapshot at {snapshot.version} is not the fold")
                if version and (reader.cursor("writer") != version or reader.receipt(f"to-{version}") is None):
                    self.problems.append(f"kill {self.kills}: half a batch at {version}")
                if thoroughly:
                    if fold(reader) != self.state:
                        self.problems.append("the state is not the fold")
                    self.problems += [f"verify: {problem}" for problem in reader.verify().problems]
        except Exception as error:
            self.problems.append(f"kill {self.kills}: {error!r}")


def run_campaign(path: Path, kills: int, seed: int, *, ack_first: bool = False) -> dict[str, Any]:
    """Run one in a process without threads, from which forking is safe."""
    arguments = [str(path), str(kills), str(seed), "ack-first" if ack_first else "honest"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.test_store_kill", *arguments],
        check=True,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=900,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    print(found)
    return found


def main() -> None:
    """The campaign's own process."""
    path, kills, seed, how = sys.argv[1:]
    campaign = Campaign(Path(path), int(seed), ack_first=how == "ack-first")
    campaign.run(int(kills))
    report = attrs.asdict(campaign, filter=lambda field, _: field.name not in ("path", "seed", "ack_first", "state"))
    print(json.dumps(report))


@pytest.mark.parametrize("seed", [1])
def test_no_acknowledged_event_is_lost(tmp_path: Path, release: bool, seed: int) -> None:
    """Killed at random points: every acknowledged event is there, 0 gaps, the state equals the fold."""
    kills = KILLS_FOR_RELEASE if release else KILLS
    path = tmp_path / "agent" / "lrm.db"
    found = run_campaign(path, kills, seed)
    assert [] == found["problems"]
    assert kills == found["kills"]
    assert found["acked"]
    with open_store(path) as store:
        assert found["acked"] == store.head
        assert store.verify().ok


def test_the_campaign_catches_a_writer_that_acknowledges_too_early(tmp_path: Path) -> None:
    """The planted bug: acknowledge, then commit. A kill between the two loses what was promised."""
    found = run_campaign(tmp_path / "agent" / "lrm.db", 200, 1, ack_first=True)
    assert any("was acknowledged" in problem for problem in found["problems"])


if __name__ == "__main__":
    main()
