"""What somebody who may write the file of an encrypted log, but has no key, cannot do unseen."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventstore import encryption, open_reader, open_store
from eventstore.checksums import (
    attachment_checksum,
    chain_anchor,
    chain_next,
    record_bytes,
    record_checksum,
    row_checksum,
    snapshot_checksum,
)
from eventstore.errors import (
    CorruptEvent,
    EventStoreError,
    WrongKey,
)
from eventstore.reader import SqliteReader
from tests.eventstore.sealed import (
    KEY,
    SECRET,
    assert_holds,
    everything,
    in_memory,
    sealed_values,
)
from tests.eventstore.support import Counted, append


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Where a log may be."""
    for place in in_memory(tmp_path):
        yield place / "lrm.db"


@contextlib.contextmanager
def tampered(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of somebody who may write the file of a closed log, and knows how it is made, but not its key."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection
        rechain(connection)
    path.with_name(f"{path.name}-mark").unlink(missing_ok=True)


def rechain(connection: sqlite3.Connection) -> None:
    """Compute every checksum and hash anew, which needs no key: what is left is what encryption alone can tell."""
    (log_id,) = connection.execute("SELECT value FROM meta WHERE key = 'log_id'").fetchone()
    chain = chain_anchor(log_id)
    rows = connection.execute(
        "SELECT e.position, s.name, e.version, t.name, e.schema_version, e.wall_us, e.monotonic_us, b.name, e.cause,"
        " e.command_id, e.correlation_id, e.depth, e.data FROM events AS e JOIN streams AS s ON s.id = e.stream_id"
        " JOIN types AS t ON t.id = e.type_id JOIN boots AS b ON b.id = e.boot_id ORDER BY e.position"
    ).fetchall()
    for row in rows:
        record = record_bytes(row[:12], row[12])
        chain = chain_next(chain, record)
        values = chain, record_checksum(record), row[0]
        connection.execute("UPDATE events SET chain = ?, checksum = ? WHERE position = ?", values)
    for row, stream, version, schema, data in connection.execute(
        "SELECT n.rowid, s.name, version, schema, data FROM snapshots AS n JOIN streams AS s ON s.id = n.stream_id"
    ).fetchall():
        checksum = snapshot_checksum(stream, version, schema, data)
        connection.execute("UPDATE snapshots SET checksum = ? WHERE rowid = ?", (checksum, row))
    for key, data in connection.execute("SELECT key, data FROM attachments").fetchall():
        checksum = attachment_checksum(key, data)
        connection.execute("UPDATE attachments SET checksum = ?, size = ? WHERE key = ?", (checksum, len(data), key))
    for command_id, reply in connection.execute("SELECT command_id, reply FROM receipts").fetchall():
        crc = row_checksum(command_id, reply)
        connection.execute("UPDATE receipts SET checksum = ? WHERE command_id = ?", (crc, command_id))


def error_of(work: Callable[[], Any]) -> str:
    """The class and message of what is raised, or what came back."""
    try:
        return f"came back: {work()!r}"
    except EventStoreError as error:
        return f"{type(error).__name__}: {error}"


SWAPS: dict[str, tuple[str, Callable[[SqliteReader], object], str]] = {
    "events of two streams": (
        "UPDATE events SET data = (SELECT data FROM events WHERE position = 3) WHERE position = 1",
        lambda reader: reader.get(1).event,
        "CorruptEvent: position 1: it is not what was encrypted",
    ),
    "events of two types": (
        "UPDATE events SET data = (SELECT data FROM events WHERE position = 2) WHERE position = 1",
        lambda reader: reader.get(1).event,
        "CorruptEvent: position 1: it is not what was encrypted",
    ),
    "an event's version": (
        "UPDATE events SET schema_version = 2 WHERE position = 1",
        lambda reader: reader.get(1).data,
        "CorruptEvent: position 1: it is not what was encrypted",
    ),
    "an event and a snapshot": (
        "UPDATE events SET data = (SELECT data FROM snapshots) WHERE position = 1",
        lambda reader: reader.get(1).data,
        "CorruptEvent: position 1: it is not what was encrypted",
    ),
    "an event for a plain one": (
        'UPDATE events SET data = CAST(\'{"word":"forged"}\' AS BLOB) WHERE position = 1',
        lambda reader: reader.get(1).event,
        "CorruptEvent: position 1: it is not encrypted",
    ),
    "an event, folded": (
        "UPDATE events SET data = (SELECT data FROM events WHERE position = 4) WHERE position = 2",
        lambda reader: reader.fold("diary", lambda state, one: [*state, one], []),
        "CorruptEvent: position 2: it is not what was encrypted",
    ),
    "attachments": (
        (
            "UPDATE attachments SET data = (SELECT data FROM attachments WHERE key = 'letters/page')"
            " WHERE key = 'diary/page'"
        ),
        lambda reader: reader.attachment("diary/page"),
        "CorruptAttachment: attachment 'diary/page': it is not what was encrypted",
    ),
    "an attachment for a plain one": (
        "UPDATE attachments SET data = x'00' WHERE key = 'diary/page'",
        lambda reader: reader.attachment("diary/page"),
        "CorruptAttachment: attachment 'diary/page': it is not encrypted",
    ),
    "replies": (
        (
            "UPDATE receipts SET reply = (SELECT reply FROM receipts WHERE command_id = 'command of letters')"
            " WHERE command_id = 'command of diary'"
        ),
        lambda reader: reader.receipt("command of diary"),
        "CorruptLog: the log is damaged: the receipt of command 'command of diary': it is not what was encrypted",
    ),
    "snapshots": (
        "UPDATE snapshots SET data = (SELECT data FROM snapshots WHERE stream_id = 2) WHERE stream_id = 1",
        lambda reader: reader.snapshot("diary"),
        "came back: None",  # as any damaged one it is passed over: the events have the truth
    ),
}


MADE: dict[bool, bytes] = {}
"""A log with two streams, by whether what it binds to is left out."""


@pytest.mark.parametrize("name", SWAPS)
@pytest.mark.parametrize("planted", [False, True])
def test_a_sealed_value_opens_nowhere_else(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str, planted: bool
) -> None:
    """Not even with every checksum and hash made to fit. A planted sealing that binds to nothing lets it pass."""
    if planted:
        monkeypatch.setattr(encryption, "_about", lambda *what: b"")
    sql, read, expected = SWAPS[name]
    if planted not in MADE:
        with open_store(path, key=KEY) as store:
            store.append(everything())
            store.append(everything(stream="letters"))
        MADE[planted] = path.read_bytes()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(MADE[planted])
    with tampered(path) as connection:
        connection.execute(sql)
    with open_reader(path) as reader:
        assert reader.verify().ok  # what was forged fits: only the key tells
    with open_reader(path, key=KEY, unknown="placeholder") as reader:
        told = error_of(lambda: read(reader))
        found = reader.verify().problems
    plain = "plain" in name
    assert (plain or not planted) == told.startswith(expected)
    assert (plain or not planted) == any("encrypted" in problem.detail for problem in found)


def test_in_a_log_that_became_encrypted_only_what_was_there_may_be_plain(path: Path) -> None:
    """Where the plain events end is told by the wrapped key, which nobody without the owner's can change."""
    with open_store(path) as store:
        append(store, "a", Counted(1))
    with open_store(path, key=KEY) as store:
        append(store, "a", Counted(2))
    with tampered(path) as connection:
        connection.execute("UPDATE events SET data = (SELECT data FROM events WHERE position = 1) WHERE position = 2")
    with open_reader(path, key=KEY) as reader:
        assert 1 == reader.get(1).event.n
        with pytest.raises(CorruptEvent, match="it is not encrypted"):
            reader.get(2)


def test_a_flipped_bit_is_seen_wherever_it_is(path: Path) -> None:
    """Form, key number, nonce, data and tag: each bit of a sealed value, with checksums that fit."""
    with open_store(path, key=KEY) as store:
        store.append(everything())
        (sealed, *_) = sealed_values(path)
        unsealer = store._unsealer
        assert SECRET in unsealer.event(1, "diary", "secret.kept", 1, sealed).decode()
        for bit in range(8 * len(sealed)):
            flipped = bytearray(sealed)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises(CorruptEvent):
                unsealer.event(1, "diary", "secret.kept", 1, bytes(flipped))
        for size in range(len(sealed)):
            with pytest.raises(CorruptEvent):
                unsealer.event(1, "diary", "secret.kept", 1, sealed[:size])
    print(f"flipped bits of a sealed value: {8 * len(sealed)}, cut at {len(sealed)} lengths, all refused")


def test_data_keys_open_only_where_they_were_wrapped(path: Path, tmp_path: Path) -> None:
    """A wrapped key put under another number, or into another log, is of no use."""
    other = tmp_path / "other" / "lrm.db"
    for place in (path, other):
        with open_store(place, key=KEY) as store:
            store.append(everything())
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (wrapped,) = connection.execute("SELECT wrapped FROM keys").fetchone()
    with contextlib.closing(sqlite3.connect(other, isolation_level=None)) as connection:
        connection.execute("UPDATE keys SET wrapped = ?", (wrapped,))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE keys SET id = 2")
    for place in (path, other):
        with pytest.raises(WrongKey):
            open_reader(place, key=KEY)


def test_a_damaged_data_key_is_read_from_its_second_copy(path: Path) -> None:
    """Each is there twice, on two pages: without it a log would be lost. The check of the file tells."""
    with open_store(path, key=KEY) as store:
        store.append(everything())
    data = path.read_bytes()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (wrapped,) = connection.execute("SELECT wrapped FROM keys").fetchone()
    places = [at for at in range(len(data)) if data.startswith(wrapped, at)]
    assert 2 == len(places)
    for damaged in ([places[0]], [places[1]], places):
        path.write_bytes(data)
        with path.open("r+b") as file:
            for at in damaged:
                file.seek(at + 20)
                file.write(bytes([data[at + 20] ^ 1]))
        if len(damaged) == 2:
            with pytest.raises(WrongKey):
                open_reader(path, key=KEY)
            continue
        with open_reader(path, key=KEY) as reader:
            assert_holds(reader)
            assert ["file"] == [problem.what for problem in reader.verify().problems]


def test_a_damaged_encrypted_log_raises_typed_errors_only(path: Path, release: bool) -> None:
    """Whatever byte is another: what is read is what was written, or an error of ours says what is wrong."""
    with open_store(path, key=KEY) as store:
        store.append(everything())
        written = list(store.read())
    path.with_name(f"{path.name}-mark").unlink()
    data = path.read_bytes()
    chance = random.Random(1)
    many, told = 5_000 if release else 150, 0
    for _ in range(many):
        at = chance.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :])
        try:
            with open_reader(path, key=KEY) as reader:
                for read in (lambda: reader.attachment("diary/page"), lambda: reader.snapshot("diary"), reader.verify):
                    with contextlib.suppress(EventStoreError):
                        read()
                for record in reader.read():
                    assert record.data == written[record.position - 1].data
        except EventStoreError:
            told += 1
    print(f"encrypted logs with a flipped bit: {many}, told of {told}, none read wrong")
