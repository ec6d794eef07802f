"""Pythons 3.12.0 to 3.12.3 take ``?1`` for a name, and warn of each value: where warnings are errors, nothing works."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from eventstore import writing
from eventstore.errors import Fenced
from eventstore.opening import open_reader, open_store
from eventstore.records import Attachment, Batch, Cursor, NewEvent, Snapshot, StreamWrite
from tests.eventstore.support import Counted, append, one_write

COUNTS = (1, 2, 16, 17, 50, 60)


class Numbered(sqlite3.Connection):
    """Refuses what these Pythons warn of."""

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """As ever, but for one thing."""
        assert not re.search(r"\?\d", sql), sql
        return super().execute(sql, *values)

    def executemany(self, sql: str, values: Iterable[Any]) -> sqlite3.Cursor:
        """The same."""
        assert not re.search(r"\?\d", sql), sql
        return super().executemany(sql, values)


def connect(*args: Any, **options: Any) -> sqlite3.Connection:
    """A connection of such a Python."""
    return sqlite3.connect(*args, factory=Numbered, **options)


@pytest.fixture
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The statements that these Pythons get."""
    monkeypatch.setattr(writing, "_INSERTS", {size: writing._insert_in_order(size) for size in writing._INSERTS})


def test_where_a_number_would_be_a_name_no_statement_has_one(path: Path, in_order: None) -> None:
    """Everything that a store does, on a connection that refuses it."""
    with open_store(path, connect=connect) as store:
        for count in COUNTS:
            append(store, "a/one", *(Counted(n) for n in range(count)))
        events = (NewEvent(Counted(1)),)
        for n in range(5):
            version = store.append(Batch((StreamWrite("b", events),))).versions["b"]
            attachments = (Attachment(f"k/{n % 2}", b"x"),)
            store.append(Batch(snapshots=(Snapshot("b", version, "1", b"s"),), attachments=attachments))
            store.append(Batch(cursors=(Cursor("consumer", version),)))
        store.append(one_write("b", Counted(2), idempotency_key="once"))
        assert 1 == len(store.streams("a/"))
        assert sum(COUNTS) == sum(1 for _ in store.read_category("a"))
        assert ["k/0", "k/1"] == list(store.attachment_keys("k/"))
        assert store.verify().ok


def test_what_is_bound_in_order_is_stored_in_order(path: Path, in_order: None) -> None:
    """Numbered values or not: of any number of events, and neither stores anything for an owner that is one no more."""
    with open_store(path) as store:
        for count in COUNTS:
            append(store, "a", *(Counted(n) for n in range(count)))
        with open_reader(path) as reader:
            assert reader.verify().ok
            assert [n for count in COUNTS for n in range(count)] == [record.event.n for record in reader.read()]
            assert list(range(1, sum(COUNTS) + 1)) == [record.position for record in reader.read()]
            assert list(range(1, sum(COUNTS) + 1)) == [record.version for record in reader.read()]
        other = sqlite3.connect(path)
        other.execute("UPDATE owner SET token = 'another'")
        other.commit()
        other.close()
        with pytest.raises(Fenced):
            append(store, "a", Counted(1), Counted(2))
        assert sum(COUNTS) == store.head
