"""The ways to damage a log, and what is then asked: is every difference told, and where it begins?"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from eventstore.errors import EventStoreError
from eventstore.opening import open_reader, open_store
from eventstore.reader import SqliteReader
from eventstore.records import Batch, Cursor, NewEvent, StreamWrite
from tests.eventstore.support import Counted, FakeClock
from tests.faults.specimens import (
    DATABASE,
    MARK,
    PAGE,
    SECTOR,
    WAL,
    Specimen,
    names_of,
    rows_of,
    said_by,
    scratch,
    specimens,
)

# --- damage -------------------------------------------------------------------------------------------------------


@attrs.frozen
class Mutation:
    """One change to one file."""

    what: str
    file: str
    at: int
    data: bytes
    """The whole file, damaged."""

    def __str__(self) -> str:
        return f"{self.what} at byte {self.at} of lrm.db{self.file}"


def _flip(data: bytes, at: int, chance: random.Random, _older: bytes) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _garble(data: bytes, at: int, chance: random.Random, _older: bytes) -> bytes:
    garbage = chance.randbytes(chance.randint(1, 24))
    return data[:at] + garbage[: len(data) - at] + data[at + len(garbage) :]


def _zero(size: int) -> Callable[..., bytes]:
    def change(data: bytes, at: int, _chance: random.Random, _older: bytes) -> bytes:
        at -= at % size
        return data[:at] + bytes(len(data[at : at + size])) + data[at + size :]

    return change


def _stale(data: bytes, at: int, _chance: random.Random, older: bytes) -> bytes:
    at -= at % PAGE
    return data[:at] + older[at : at + PAGE] + data[at + len(older[at : at + PAGE]) :]


def _misplace(data: bytes, at: int, chance: random.Random, _older: bytes) -> bytes:
    at -= at % PAGE
    other = chance.randrange(0, len(data), PAGE)
    page = data[other : other + PAGE]
    return (data[:at] + page + data[at + PAGE :])[: len(data)]


def _cut(data: bytes, at: int, chance: random.Random, _older: bytes) -> bytes:
    return data[: at - at % chance.choice((1, SECTOR, PAGE))]


_WAYS: dict[str, tuple[Callable[..., bytes], int]] = {
    "a flipped bit": (_flip, 9),
    "garbage": (_garble, 3),
    "a zeroed sector": (_zero(SECTOR), 3),
    "a zeroed page": (_zero(PAGE), 1),
    "a stale page": (_stale, 2),
    "a misplaced page": (_misplace, 1),
    "a cut": (_cut, 2),
}


def mutation(specimen: Specimen, chance: random.Random) -> Mutation:
    """One of all the ways, somewhere."""
    names = list(_WAYS)
    what = chance.choices(names, [_WAYS[name][1] for name in names])[0]
    if WAL in specimen.files:
        file = chance.choices((DATABASE, WAL, MARK), (8, 12, 1))[0]
    else:
        file = chance.choices((DATABASE, MARK), (20, 1))[0]
    data = specimen.files[file]
    at = chance.randrange(len(data))
    return Mutation(what, file, at, _WAYS[what][0](data, at, chance, specimen.older.get(file, b"")))


# --- judging ------------------------------------------------------------------------------------------------------


@attrs.define
class Counts:
    """What was done, and what was found wanting."""

    mutations: int = 0
    damaging: int = 0
    by_error: int = 0
    """Told by a typed error when it was opened or read, before anybody verified."""
    placed: int = 0
    """Those of them whose first bad event was known, and named rightly."""
    owned: int = 0
    """Damaged logs that could be opened for writing all the same."""
    salvages: int = 0
    salvaged: int = 0
    """Events brought back by them."""
    by_way: Counter[str] = attrs.field(factory=Counter)
    wrong: list[str] = attrs.field(factory=list)

    def __str__(self) -> str:
        ways = ", ".join(f"{what} {many}" for what, many in sorted(self.by_way.items()))
        return (
            f"{self.mutations} mutations, {self.damaging} damaging ({self.by_error} met by reading), all told;"
            f" first bad event right in {self.placed}; damaging: {ways}"
        )


Verify = Callable[[SqliteReader], Any]


def judge(
    specimen: Specimen,
    one: Mutation,
    path: Path,
    counts: Counts,
    verify: Verify = SqliteReader.verify,
) -> None:
    """Damage a log and ask whether everything that is now different is told."""
    specimen.lay(path, {one.file: one.data})
    counts.mutations += 1
    where = f"{specimen.name}: {one}"
    try:
        reader = open_reader(path)
    except EventStoreError:
        counts.damaging += 1
        counts.by_error += 1
        counts.by_way[one.what] += 1
        return
    except Exception as error:
        counts.wrong.append(f"{where}: open raised {error!r}")
        return
    with reader:
        try:
            same = said_by(reader) == specimen.says
            met = False
        except EventStoreError:
            same, met = False, True
        except Exception as error:
            counts.wrong.append(f"{where}: reading raised {error!r}")
            return
        try:
            problems = verify(reader).problems
        except EventStoreError:
            problems, met = (), True
        except Exception as error:
            counts.wrong.append(f"{where}: verify raised {error!r}")
            return
        if same:
            if one.file == MARK and any(problem.what != "mark" for problem in problems):
                counts.wrong.append(f"{where}: a damaged mark made {problems}")
            return
        counts.damaging += 1
        counts.by_way[one.what] += 1
        counts.by_error += met
        if not problems:
            if not met:
                counts.wrong.append(f"{where}: nobody tells")
            return
        _check_place(specimen, where, reader, problems, counts)


def _check_place(specimen: Specimen, where: str, reader: SqliteReader, problems: Any, counts: Counts) -> None:
    """Whether the first position told is that of the first event that is not what it was."""
    found = rows_of(reader, range(min(specimen.rows), max(specimen.rows) + 1))
    changed = [position for position, row in specimen.rows.items() if row not in found.get(position, ())]
    logically = [p for p in changed if specimen.rows[p][:13] not in [row[:13] for row in found.get(p, ())]]
    if not logically:
        return
    told = min((problem.position for problem in problems if problem.position is not None), default=None)
    elsewhere = names_of(reader) != specimen.names  # then an event whose own bytes are right is bad all the same
    if told is None or told > min(logically) or (told not in changed and not elsewhere):
        counts.wrong.append(f"{where}: {told} is told, the first bad event is {changed[0]}: {problems[:3]}")
    else:
        counts.placed += 1


def own(specimen: Specimen, one: Mutation, path: Path, counts: Counts) -> None:
    """Go on with a damaged log: it is refused, or goes on, and every error is one of the store's."""
    specimen.lay(path, {one.file: one.data})
    try:
        with open_store(path, clock=FakeClock(), accept_lost_tail=True, reserve_bytes=0) as store:
            counts.owned += 1
            store.acquire("owned/0")
            store.append(Batch((StreamWrite("a", (NewEvent(Counted(1000)),)),), cursors=(Cursor("reader", 1),)))
            store.verify()
    except EventStoreError:
        return
    except Exception as error:
        counts.wrong.append(f"{specimen.name}: {one}: owning it raised {error!r}")


def campaign(
    wanted: int, seed: int, verify: Verify = SqliteReader.verify, logs: list[Specimen] | None = None
) -> Counts:
    """So many mutations."""
    counts = Counts()
    chance = random.Random(seed)
    logs = logs or specimens()
    directory = scratch()
    try:
        for number in range(wanted):
            specimen = logs[number % len(logs)]
            one = mutation(specimen, chance)
            judge(specimen, one, directory / "lrm.db", counts, verify)
            if number % 8 == 0:
                own(specimen, one, directory / "owned" / "lrm.db", counts)
    finally:
        shutil.rmtree(directory)
    return counts
