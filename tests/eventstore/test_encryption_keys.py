"""The keys of an encrypted log: how they are changed, how much each seals, and how a log comes to have any."""

from __future__ import annotations

import base64
import contextlib
import io
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstore import open_reader, open_store
from eventstore.copying.backups import backup
from eventstore.copying.portable import export_log, import_log
from eventstore.encrypting import datakeys, sealing
from eventstore.encrypting.keyring import Keyring
from eventstore.errors import (
    CorruptAttachment,
    CorruptLog,
    EventStoreError,
    IdempotencyConflict,
    KeyRequired,
    OutcomeUnknown,
    WrongKey,
)
from eventstore.records import Batch
from eventstore.reserve import Reserve
from tests.eventstore.sealed import (
    KEY,
    OTHER,
    SECRET,
    assert_holds,
    everything,
    found_in,
    in_memory,
    sealed_values,
)
from tests.eventstore.support import Counted, Fault, append, counts, faulty, io_error, left_open
from tests.runtime.support import PATIENCE_S, Add, Look, Note, counter, running


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Where a log may be."""
    for place in in_memory(tmp_path):
        yield place / "lrm.db"


# --- changing keys ---------------------------------------------------------------------------------------------------


def test_the_owners_key_is_changed_without_writing_anything_anew(path: Path) -> None:
    """The old one opens the log no more, nor is what it opened left in its files; data and hashes are as they were."""
    with open_store(path, key=KEY) as store:
        store.append(everything())
        with contextlib.closing(sqlite3.connect(path)) as connection:
            (wrapped,) = connection.execute("SELECT wrapped FROM keys").fetchone()
        sealed = sealed_values(path)
        store.rotate_key(OTHER)
        store.append(everything(stream="letters"))
        assert_holds(store)
        assert [] == found_in(path, wrapped)
    assert set(sealed) <= set(sealed_values(path))
    for opened in (open_store, open_reader):
        with pytest.raises(WrongKey):
            opened(path, key=KEY)
    with open_reader(path, key=OTHER) as reader:
        assert_holds(reader)
        assert_holds(reader, stream="letters")


def test_with_several_keys_a_log_is_locked_with_the_newest_from_the_next_start_on(path: Path) -> None:
    """Put the new key first, restart, drop the old one: no program is needed."""
    with open_store(path, key=KEY) as store:
        store.append(everything())
    with open_store(path, key=lambda: [OTHER, KEY]) as store:
        assert_holds(store)
    with pytest.raises(WrongKey):
        open_store(path, key=KEY)
    with open_store(path, key=OTHER) as store:
        assert_holds(store)


def key_numbers(path: Path) -> list[int]:
    """By which data key each event is sealed."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [int.from_bytes(row[0][1:5]) for row in connection.execute("SELECT data FROM events ORDER BY position")]


def test_values_of_several_data_keys_are_read_side_by_side(path: Path) -> None:
    """A new one seals what is written from then on; a reader that was there before learns of it by itself."""
    keys = [KEY]
    with open_store(path, key=KEY) as store, open_reader(path, key=lambda: keys[-1]) as reader:
        store.append(everything())
        assert_holds(reader)
        store.rotate_key(OTHER, new_data_key=True)
        store.append(everything(stream="letters"))
        with pytest.raises(WrongKey):
            list(reader.read())
        keys.append(OTHER)  # whatever fetches the key is asked again
        assert_holds(reader)
        assert_holds(reader, stream="letters")
        assert reader.verify().ok
    assert [1, 1, 2, 2] == key_numbers(path)
    with open_store(path, key=OTHER) as store:
        append(store, "a", Counted(1))
        assert [1] == counts(store, "a")
    assert [1, 1, 2, 2, 2] == key_numbers(path)


def test_a_change_of_keys_whose_outcome_is_unknown_leaves_a_log_that_goes_on(path: Path) -> None:
    """Whether it was carried out or not: the owner goes on, and one of the two keys opens it afterwards."""
    for carried_out in (True, False):
        place = path.with_name(f"{carried_out}.db").parent / str(carried_out) / "lrm.db"
        faults: list[Fault] = []
        with open_store(place, key=KEY, connect=faulty(faults)) as store:
            store.append(everything())
            faults.append(Fault("COMMIT", io_error(), carried_out=carried_out))
            with pytest.raises(OutcomeUnknown):
                store.rotate_key(OTHER, new_data_key=True)
            store.settle()
            store.append(everything(stream="letters"))
            assert_holds(store)
            assert_holds(store, stream="letters")
        used, unused = (OTHER, KEY) if carried_out else (KEY, OTHER)
        with pytest.raises(WrongKey):
            open_reader(place, key=unused)
        with open_reader(place, key=used) as reader:
            assert_holds(reader, stream="letters")


@pytest.mark.parametrize("planted", [False, True])
def test_no_data_key_seals_more_than_it_may(path: Path, monkeypatch: pytest.MonkeyPatch, planted: bool) -> None:
    """Counted ahead and in the log, so that neither a kill nor a restart forgets. A planted count in memory does."""
    monkeypatch.setattr(sealing, "MAX_SEALS", 30)
    monkeypatch.setattr(sealing, "SEALS_AT_ONCE", 8)
    if planted:
        monkeypatch.setattr(sealing, "replace_key", lambda *given: None)
    for n in range(12):
        store = open_store(path, key=KEY)
        store.append(everything(stream=f"diary/{n}"))
        if n % 2:
            store.close()
        else:  # as a kill leaves it
            store._log_lock.release()
            store._writer.transactions._connection.close()
            left_open(store)
    with open_reader(path, key=KEY) as reader, contextlib.closing(sqlite3.connect(path)) as connection:
        for n in range(12):
            assert_holds(reader, stream=f"diary/{n}")
        keys = datakeys.read_keys(connection, path, Keyring((KEY,)))
    used = [int.from_bytes(value[1:5]) for value in sealed_values(path)]
    sealed = {number: used.count(number) for number in set(used)}
    assert planted == any(many > 30 for many in sealed.values())
    assert planted == any(sealed.get(one.key.number, 0) > one.key.reserved for one in keys)
    assert planted or len(keys) > 2
    print(f"\nvalues sealed by each data key, at most 30: {sealed}")


def test_a_batch_larger_than_what_is_counted_at_once_is_sealed_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one data key, and counted."""
    monkeypatch.setattr(sealing, "SEALS_AT_ONCE", 2)
    with open_store(path, key=KEY) as store:
        append(store, "a", *(Counted(n) for n in range(10)))
        assert list(range(10)) == counts(store, "a")


def test_callers_seal_at_once_and_each_gets_its_own(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From several threads, with counts that run out all the time."""
    monkeypatch.setattr(sealing, "SEALS_AT_ONCE", 3)
    with open_store(path, key=KEY) as store:
        threads = [
            threading.Thread(target=lambda name=name: [append(store, name, Counted(n)) for n in range(20)])
            for name in ("a", "b", "c", "d")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 4 * [list(range(20))] == [counts(store, name) for name in ("a", "b", "c", "d")]
        assert store.verify().ok


# --- a log that was not encrypted before -----------------------------------------------------------------------------


def test_a_log_becomes_encrypted_when_it_is_opened_with_a_key(path: Path) -> None:
    """Events that were there stay as they are and are read; all else is sealed at once, and what follows."""
    with open_store(path) as store:
        store.append(everything("before"))
    with open_reader(path) as older, open_reader(path, key=KEY) as other, open_store(path, key=KEY) as store:
        store.append(everything(stream="letters"))
        for reader in (other, store):
            assert_holds(reader, "before")
            assert_holds(reader, stream="letters")
            assert reader.verify().ok
        assert "before" in str(older.get(1).event)
        for read in (lambda: older.get(3), lambda: older.attachment("diary/page"), lambda: older.snapshot("diary")):
            with pytest.raises(KeyRequired):
                read()
        retried = store.append(everything("before"))
        assert (1, 2) == (retried.first_position, retried.last_position)
        with pytest.raises(IdempotencyConflict):
            store.append(attrs_replace(everything("another"), "batch of diary"))
    assert [] == found_in(path, SECRET.encode())
    with open_reader(path, key=KEY) as reader:
        assert reader.verify().ok
    with pytest.raises(KeyRequired):
        open_store(path)


def attrs_replace(batch: Batch, key: str) -> Batch:
    """The events of a batch under another idempotency key."""
    return Batch(batch.writes, idempotency_key=key)


def test_what_is_damaged_is_not_made_to_look_sound_by_encrypting_it(path: Path) -> None:
    """It stays what it is, and is reported as before."""
    with open_store(path) as store:
        store.append(everything())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for table, column in (("snapshots", "data"), ("attachments", "data"), ("receipts", "reply")):
            connection.execute(f"UPDATE {table} SET {column} = x'7b7d'")
    with open_store(path, key=KEY) as store:
        assert store.snapshot("diary") is None
        for read in (lambda: store.attachment("diary/page"), lambda: store.receipt("command of diary")):
            with pytest.raises((CorruptAttachment, CorruptLog)):
                read()
        assert {"attachment", "receipt", "snapshot"} == {problem.what for problem in store.verify().problems}


def test_a_first_start_that_is_cut_short_ends_encrypted(path: Path) -> None:
    """The tables were made and the key was not: nothing is stored yet, and the next start makes it."""
    faults = [Fault("INSERT INTO keys", io_error())]
    with pytest.raises(EventStoreError):
        open_store(path, key=KEY, connect=faulty(faults))
    with open_store(path, key=KEY) as store:
        store.append(everything())
    assert [] == found_in(path, SECRET.encode())


# --- copies ----------------------------------------------------------------------------------------------------------


def test_an_export_stays_encrypted_and_makes_the_same_log_again(path: Path, tmp_path: Path) -> None:
    """Without the key, byte for byte, with the wrapped data keys in it; the key opens what is imported."""
    with open_store(path, key=KEY) as store:
        store.append(everything())
        store.rotate_key(OTHER, new_data_key=True)
        store.append(everything(stream="letters"))
    exported, again = io.BytesIO(), io.BytesIO()
    export_log(path, exported)
    assert SECRET.encode() not in exported.getvalue()
    assert base64.b64encode(SECRET.encode())[:-4] not in exported.getvalue()
    imported = tmp_path / "imported" / "lrm.db"
    import_log(io.BytesIO(exported.getvalue()), imported)
    export_log(imported, again)
    assert exported.getvalue() == again.getvalue()
    with pytest.raises(WrongKey):
        open_store(imported, key=KEY)
    with open_store(imported, key=OTHER) as store:
        assert_holds(store)
        assert_holds(store, stream="letters")
        append(store, "a", Counted(1))
        assert store.verify().ok


def test_a_backup_needs_no_key_to_be_made_and_checked(path: Path, tmp_path: Path) -> None:
    """While the owner writes; it opens with the key that was right when it was made."""
    with open_store(path, key=KEY) as store:
        store.append(everything())
        backup(path, tmp_path / "copy" / "lrm.db")
        store.rotate_key(OTHER)
    with open_store(tmp_path / "copy" / "lrm.db", key=KEY) as copy:
        assert_holds(copy)


# --- actors ----------------------------------------------------------------------------------------------------------


def test_actors_live_on_an_encrypted_log(path: Path) -> None:
    """They recover from its snapshots and events, a retried command gets its first reply, and nothing is in plain."""
    with open_store(path, key=KEY) as store, running(counter(snapshot_every=2), store=store) as system:
        assert [1, 2, 3] == [system.ask_blocking("counter", Add(1), timeout_s=PATIENCE_S) for _ in range(3)]
        system.ask_blocking("counter", Note(SECRET), timeout_s=PATIENCE_S)
        assert 13 == system.ask_blocking("counter", Add(10), timeout_s=PATIENCE_S, command_id="once")
    assert [] == found_in(path, SECRET.encode())
    with open_store(path, key=KEY) as store, running(counter(snapshot_every=2), store=store) as system:
        snapshot = store.snapshot("counter")
        assert snapshot is not None
        assert snapshot.version >= 2
        assert 13 == system.ask_blocking("counter", Add(10), timeout_s=PATIENCE_S, command_id="once")
        assert 13 == system.ask_blocking("counter", Look(), timeout_s=PATIENCE_S)
        assert store.verify().ok


def test_a_data_key_that_was_rolled_back_opens_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk opening is tried again with a little of the reserve, and makes another key of the same number."""
    with open_store(path) as store:
        append(store, "a", Counted(1))
    monkeypatch.setattr(Reserve, "_free_bytes", lambda _reserve: 0)
    full = Fault("UPDATE keys", io_error(sqlite3.SQLITE_FULL))
    with open_store(path, key=KEY, connect=faulty([full])) as store:
        assert full.left == 0
        append(store, "a", Counted(2))
        assert [1, 2] == counts(store, "a")
