"""What a program asks of a store, step by step, and what must then be in the log: the workloads of the fault proofs.

Every step that stores something has events whose numbers name the step, so that whoever looks at a log can tell which
steps are in it, and what else must be there for just those.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from pathlib import Path
from typing import Literal, TypeAlias

import attrs

from eventstore.codec import encode_event, encode_value
from eventstore.prepare import SNAPSHOTS_KEPT
from eventstore.records import (
    Attachment,
    Batch,
    Cursor,
    Durability,
    NewEvent,
    Receipt,
    Retention,
    Snapshot,
    StreamWrite,
)
from eventstore.schema import SCHEMA_VERSION
from tests.eventstore.support import Counted

StepKind: TypeAlias = Literal["append", "acquire", "barrier", "reopen", "retain"]

MOST_EVENTS = 1000
"""Of one step: event ``n`` belongs to step ``n // MOST_EVENTS``."""
TYPE = "sample.counted"
GOLDEN = Path(__file__).parents[1] / "golden/0.1.0/lrm.db"


@attrs.frozen
class Step:
    """One thing that the program asks for."""

    kind: StepKind = "append"
    batch: Batch = attrs.field(factory=Batch)
    stream: str = ""
    """What to acquire."""
    retention: Retention = attrs.field(factory=Retention)
    """What to retain. It must have a number of events."""
    together: bool = False
    """Whether it is asked for at the same time as the step before, by another thread. Only for appends."""


@attrs.frozen
class Found:
    """What is in a log, or ought to be."""

    events: tuple[tuple[str, int, str, bytes], ...] = ()
    """Stream, version, type and data, by position."""
    cursors: dict[str, int] = attrs.field(factory=dict)
    receipts: dict[str, bytes] = attrs.field(factory=dict)
    snapshots: dict[tuple[str, int], bytes] = attrs.field(factory=dict)
    attachments: dict[str, bytes] = attrs.field(factory=dict)
    removed: int = 0
    """Events at the beginning that are no longer kept."""


@attrs.frozen
class History:
    """The steps of a program, and what was in the log before."""

    name: str
    steps: tuple[Step, ...]
    wal_pages: int = 8
    """Pages of the WAL after which it is copied into the file: few, so that it happens within the history."""
    before: Callable[[Path], None] | None = None
    """Makes the log that the program finds; None where it finds none."""
    from_creation: bool = False
    """Whether the disk's trouble begins before the first step, while the log is made or migrated."""
    failing_syncs: tuple[int, ...] = ()
    """Syncs of the WAL that fail, counted from the first step."""
    key: bytes | None = None
    """What the log is encrypted with."""

    def all_names(self) -> Found:
        """Everything beside events that any of the steps may leave, by name: what to look for."""
        batches = [step.batch for step in self.steps]
        return Found(
            cursors={one.consumer: 0 for batch in batches for one in batch.cursors},
            receipts={one.command_id: b"" for batch in batches for one in batch.receipts},
            snapshots={(one.stream, one.version): b"" for batch in batches for one in batch.snapshots},
        )

    def group(self, number: int) -> int:
        """The first of the steps that are asked for at the same time as this one."""
        while self.steps[number].together:
            number -= 1
        return number


def step_of(data: bytes) -> int:
    """Which step an event belongs to."""
    return int(data[data.index(b":") + 1 : data.index(b",")]) // MOST_EVENTS


def steps_in(history: History, found: Found, base: Found, absent: Collection[int] = ()) -> list[int]:
    """Which steps are in a log, by their events, in the order of the log.

    Of those whose events are no longer kept it is known that they came before: all but what the program knows to be
    ``absent``.
    """
    ours = found.events[max(0, len(base.events) - found.removed) :]
    steps = list(dict.fromkeys(step_of(data) for _, _, name, data in ours if name == TYPE))
    if found.removed:
        oldest = min(steps, default=len(history.steps))
        steps[:0] = [n for n in range(oldest) if history.steps[n].kind == "append" and n not in absent]
    return steps


def expected(history: History, steps: Iterable[int], base: Found, removed: int = 0) -> Found:
    """What a log holds after just these steps, in order, and without so many events at its beginning."""
    events = list(base.events)
    versions = {stream: version for stream, version, _, _ in events}
    cursors, receipts, attachments = dict(base.cursors), dict(base.receipts), dict(base.attachments)
    snapshots = dict(base.snapshots)
    for number in steps:
        batch = history.steps[number].batch
        for write in batch.writes:
            for new in write.events:
                versions[write.stream] = versions.get(write.stream, 0) + 1
                kind, data = encode_event(new.event)
                events.append((write.stream, versions[write.stream], kind.name, data))
        cursors |= {cursor.consumer: cursor.position for cursor in batch.cursors}
        receipts |= {receipt.command_id: encode_value(receipt.reply) for receipt in batch.receipts}
        attachments = {key: data for key, data in attachments.items() if key not in batch.discard}
        attachments |= {one.key: one.data for one in batch.attachments}
        for one in batch.snapshots:
            snapshots[one.stream, one.version] = one.data
            kept = sorted(version for stream, version in snapshots if stream == one.stream)[-SNAPSHOTS_KEPT:]
            snapshots = {key: data for key, data in snapshots.items() if key[0] != one.stream or key[1] in kept}
    return Found(tuple(events[removed:]), cursors, receipts, snapshots, attachments, removed)


# --- the workloads ------------------------------------------------------------------------------------------------


def _events(chance: random.Random, step: int, many: int, first: int = 0) -> tuple[NewEvent, ...]:
    numbers = range(step * MOST_EVENTS + first, step * MOST_EVENTS + first + many)
    return tuple(NewEvent(Counted(n, "x" * chance.choice((0, 20, 200, 900)))) for n in numbers)


def singles(seed: int, steps: int = 24) -> History:
    """One event at a time, on one to three streams."""
    chance = random.Random(seed)
    streams = ["a", "b", "c"][: chance.randint(1, 3)]
    made = [
        Step(batch=Batch((StreamWrite(chance.choice(streams), _events(chance, n, 1)),))) for n in range(steps)
    ]  # fmt: skip
    return History("singles", tuple(made), chance.randint(4, 12))


def batches(seed: int, steps: int = 14) -> History:
    """Several events on several streams with a cursor, some too large for a page."""
    chance = random.Random(seed)
    made = []
    for n in range(steps):
        first = chance.randint(1, 5)
        large = Counted(n * MOST_EVENTS + 99, "y" * chance.randint(1, 9000))
        writes = [StreamWrite("a", _events(chance, n, first)), StreamWrite("b/1", _events(chance, n, 2, first))]
        if chance.random() < 0.3:
            writes.append(StreamWrite("b/2", (NewEvent(large),)))
        chance.shuffle(writes)
        made.append(Step(batch=Batch(tuple(writes), (Cursor("consumer", n // 2),))))
    return History("batches", tuple(made), chance.randint(5, 20))


def extras(seed: int, steps: int = 14) -> History:
    """Snapshots, receipts and attachments beside each event, replaced and discarded again."""
    chance = random.Random(seed)
    made = [Step("acquire", stream="owned")]
    for n in range(1, steps):
        attached = tuple(
            Attachment(f"k{chance.randrange(3)}-{i}", chance.randbytes(chance.choice((10, 700, 6000))))
            for i in range(2)
        )
        batch = Batch(
            (StreamWrite("a", _events(chance, n, 1)),),
            (Cursor("one", n // 2), Cursor(f"many-{n % 3}", n // 3)),  # never past the end, were a step missing
            (Receipt(f"command-{n}", {"step": n}),),
            (Snapshot("a", n, "a/1", bytes([n]) * chance.choice((20, 3000))),) if chance.random() < 0.6 else (),
            attached if chance.random() < 0.5 else (),
            (f"k{chance.randrange(3)}-0",) if chance.random() < 0.3 else (),
        )
        made.append(Step(batch=batch))
    return History("extras", tuple(made), chance.randint(6, 24))


def relaxed(seed: int, steps: int = 24) -> History:
    """Events that may be lost, strict ones between them, and barriers, after which nothing before may be lost."""
    chance = random.Random(seed)
    made = []
    for n in range(steps):
        if chance.random() < 0.15:
            made.append(Step("barrier"))
            continue
        durability = Durability.STRICT if chance.random() < 0.25 else Durability.RELAXED
        made.append(Step(batch=Batch((StreamWrite("a", _events(chance, n, 1)),), durability=durability)))
    return History("relaxed", tuple(made), chance.randint(4, 12))


def reopening(seed: int, steps: int = 12) -> History:
    """Closed and opened again in between: the WAL is copied, deleted and made anew each time."""
    chance = random.Random(seed)
    made = []
    for n in range(steps):
        if n % 4 == 3:
            made.append(Step("reopen"))
        else:
            made.append(Step(batch=Batch((StreamWrite("a", _events(chance, n, chance.randint(1, 3))),))))
    return History("reopening", tuple(made), chance.randint(4, 12))


def crowd(seed: int, rounds: int = 6) -> History:
    """Several threads that append at the same moment, so that one commits for the others."""
    chance = random.Random(seed)
    made = []
    for n in range(rounds * 4):
        writes = [StreamWrite(f"t{n % 4}", _events(chance, n, chance.randint(1, 3)))]
        made.append(Step(batch=Batch(tuple(writes), (Cursor(f"c{n % 4}", n // 8),)), together=n % 4 != 0))
    return History("crowd", tuple(made), chance.randint(6, 20))


def retaining(seed: int, steps: int = 16) -> History:
    """The oldest events are removed now and then, of which some are covered by snapshots and others need not be."""
    chance = random.Random(seed)
    made: list[Step] = []
    version = 0
    for n in range(steps):
        if n % 4 == 3:
            retention = Retention(max_events=chance.randint(2, 5), expendable=chance.choice(((), ("a",))))
            made.append(Step("retain", retention=retention))
            continue
        many = chance.randint(1, 4)
        version += many
        snapshots = (Snapshot("a", version, "a/1", bytes([n]) * 50),) if chance.random() < 0.6 else ()
        made.append(Step(batch=Batch((StreamWrite("a", _events(chance, n, many)),), snapshots=snapshots)))
    return History("retaining", tuple(made), chance.randint(4, 12))


def creation(seed: int) -> History:
    """A log where there was none."""
    made = singles(seed, 2)
    return History("creation", made.steps, from_creation=True)


def migration(seed: int) -> History:
    """A log of the first release."""
    made = singles(seed, 2)
    return History("migration", made.steps, before=_first_release, from_creation=True)


def _first_release(path: Path) -> None:
    path.parent.mkdir(parents=True)
    shutil.copy(GOLDEN, path)
    with closing(sqlite3.connect(path)) as log:
        version = log.execute("PRAGMA user_version").fetchone()[0]
        if version == SCHEMA_VERSION:  # there is nothing to migrate yet: the same steps over again
            log.execute("PRAGMA user_version = 0")


def settling(seed: int) -> History:
    """Syncs that fail under a commit now and then: the outcome is unknown, and is settled."""
    chance = random.Random(seed)
    made = singles(seed, 12)
    failing = tuple(sorted(chance.sample(range(1, 20), 3)))
    return History("settling", made.steps, made.wal_pages, failing_syncs=failing)


def encrypted(seed: int) -> History:
    """Events, snapshots, receipts and attachments of an encrypted log, with a data key anew in each of its lives."""
    made = extras(seed, 9)
    steps = [*made.steps[:5], Step("reopen"), *made.steps[6:]]
    return attrs.evolve(made, name="encrypted", steps=tuple(steps), key=bytes(range(32)), from_creation=True)


WORKLOADS: dict[str, Callable[[int], History]] = {
    "singles": singles,
    "batches": batches,
    "extras": extras,
    "relaxed": relaxed,
    "reopening": reopening,
    "creation": creation,
    "migration": migration,
    "settling": settling,
    "retaining": retaining,
    "crowd": crowd,
    "encrypted": encrypted,
}
