"""An encrypted log: nothing of its data lies open in its files, and whoever has no key reads none."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstore import encryption, open_reader, open_store
from eventstore.encrypting import datakeys
from eventstore.encrypting.keyring import Keyring
from eventstore.errors import (
    CryptographyMissing,
    KeyRequired,
    WrongKey,
)
from eventstore.events import UnknownEvent
from eventstore.records import Batch
from eventstore.testing.conformance.keeping import Keeping
from eventstore.testing.conformance.retrying import Retrying
from tests.eventstore.sealed import (
    KEY,
    OTHER,
    SECRET,
    THIRD,
    EncryptedStore,
    assert_holds,
    everything,
    files_of,
    found_in,
    in_memory,
    sealed_values,
)
from tests.eventstore.support import Counted, append, counts


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Where a log may be."""
    for place in in_memory(tmp_path):
        yield place / "lrm.db"


class TestEncrypted(EncryptedStore, Keeping, Retrying):
    """What is asked of any store of what it keeps, asked of an encrypted log."""


def test_all_that_is_asked_of_any_store(release: bool) -> None:
    """Is asked of an encrypted log in a release run."""
    if not release:
        pytest.skip("with --profile release")
    suite = Path(__file__).with_name("encrypted_store.py")
    done = subprocess.run([sys.executable, "-m", "pytest", str(suite)], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout


# --- what lies in the files ------------------------------------------------------------------------------------------


def test_everything_comes_back_exactly(path: Path) -> None:
    """To the owner, after a restart, and to a reader; and the log is as it was written, with the key or without."""
    with open_store(path, key=KEY) as store:
        store.append(everything())
        assert_holds(store)
        assert store.verify().ok
    with open_store(path, key=lambda: KEY) as store, open_reader(path, key=Keyring((KEY,))) as reader:
        assert_holds(store)
        assert_holds(reader)
        assert reader.verify().ok
        assert not reader.locked
    with open_reader(path, unknown="placeholder") as reader:
        assert reader.verify().ok


@pytest.mark.parametrize("key", [KEY, None])
def test_no_secret_is_found_in_any_file(path: Path, tmp_path: Path, key: bytes | None) -> None:
    """Not in the database, its WAL or the mark, while it is open and after; in a log without a key it is found."""
    with open_store(path, key=key) as store:
        store.append(everything())
        shutil.copytree(path.parent, tmp_path / "live")
        store.append(Batch(discard=("diary/page",)))
    encrypted = key is not None
    assert encrypted == (found_in(tmp_path / "live" / "lrm.db", SECRET.encode()) == [])
    assert encrypted == (found_in(path, SECRET.encode()) == [])
    assert "lrm.db-wal" in dict(files_of(tmp_path / "live" / "lrm.db"))
    assert "lrm.db-mark" in dict(files_of(path))
    assert [] == found_in(path, KEY)


def test_neither_the_owners_key_nor_a_data_key_is_in_any_file(path: Path) -> None:
    """Data keys are there, wrapped; what they seal with is not."""
    with open_store(path, key=KEY) as store, contextlib.closing(sqlite3.connect(path)) as connection:
        store.append(everything())
        secrets = [one.key.secret for one in datakeys.read_keys(connection, path, Keyring((KEY,)))]
        assert [] == [name for secret in (*secrets, KEY) for name in found_in(path, secret)]
    assert 1 == len(secrets)


def test_what_a_batch_was_is_not_told_by_its_digest(path: Path, tmp_path: Path) -> None:
    """Two logs given the same batch under the same idempotency key have nothing in common that a guesser could use."""
    for place in (path, tmp_path / "b" / "lrm.db"):
        with open_store(place, key=KEY) as store:
            store.append(everything())
    digests = set()
    for place in (path, tmp_path / "b" / "lrm.db"):
        with contextlib.closing(sqlite3.connect(place)) as connection:
            digests.add(connection.execute("SELECT digest FROM appends").fetchone()[0])
    assert 2 == len(digests)


@pytest.mark.parametrize("planted", [False, True])
def test_no_nonce_is_used_twice(path: Path, monkeypatch: pytest.MonkeyPatch, planted: bool) -> None:
    """One used twice gives both values away. A planted generator that repeats itself is seen."""
    if planted:
        monkeypatch.setattr(encryption, "urandom", bytes)
    with open_store(path, key=KEY) as store:
        for n in range(20):
            store.append(everything(stream=f"diary/{n}"))
    nonces = [value[5:17] for value in sealed_values(path)]
    assert 20 * 5 == len(nonces)
    assert planted == (len(set(nonces)) < len(nonces))


# --- without the key, and with a wrong one ---------------------------------------------------------------------------


def test_a_wrong_key_and_none_are_refused_before_anything_is_changed(path: Path) -> None:
    """Owner and reader are told which it is, and what to do; not a byte of the log is another after it."""
    with open_store(path, key=KEY) as store:
        store.append(everything())
    before = dict(files_of(path))
    for opened in (open_store, open_reader):
        with pytest.raises(WrongKey, match="is encrypted, and the key given does not open it") as wrong:
            opened(path, key=OTHER)
        assert ("ES-6001", str(path), 1) == (wrong.value.code, wrong.value.path, wrong.value.tried)
        with pytest.raises(WrongKey, match="none of the 2 keys given opens it"):
            opened(path, key=Keyring((OTHER, THIRD)))
    with pytest.raises(KeyRequired, match="is encrypted, and no key was given") as missing:
        open_store(path)
    assert "LRM_LOG_KEY" in missing.value.hint
    assert before == dict(files_of(path))
    with open_store(path, key=KEY) as store:
        assert_holds(store)


def test_without_the_key_the_shape_of_a_log_can_be_read_and_nothing_else(path: Path) -> None:
    """Names, versions, times, cursors and checks need none; whatever holds data says what is missing."""
    with open_store(path, key=KEY) as store:
        store.append(everything())
    with open_reader(path) as reader:
        assert reader.locked
        assert (2, 1, 2) == (reader.head, reader.first, reader.version("diary"))
        assert ["diary"] == [info.name for info in reader.streams()]
        assert 0 == reader.cursor("reader")
        assert ("diary/page",) == reader.attachment_keys()
        assert 2 == reader.position_at(1e12)
        verified = reader.verify()
        assert (2, 1, 1) == (verified.events, verified.snapshots, verified.attachments)
        for read in (
            lambda: reader.get(1),
            lambda: list(reader.read()),
            lambda: list(reader.read_stream("diary")),
            lambda: reader.fold("diary", lambda state, one: state, None),
            lambda: reader.snapshot("diary"),
            lambda: reader.attachment("diary/page"),
            lambda: list(reader.attachments(["diary/page"])),
            lambda: reader.receipt("command of diary"),
        ):
            with pytest.raises(KeyRequired):
                read()


def test_placeholders_stand_for_what_cannot_be_read_without_the_key(path: Path) -> None:
    """So that a tool can still list types, times and streams; nothing passes for data."""
    with open_store(path, key=KEY) as store:
        store.append(everything())
        written = list(store.read())
    with open_reader(path, unknown="placeholder") as reader:
        shown = list(reader.read())
        with pytest.raises(KeyRequired):  # a state without its data is none
            reader.fold("diary", lambda state, one: state, None)
    placeholder = UnknownEvent("secret.kept", 1, {}, "encrypted, and no key was given")
    assert (placeholder, b"{}") == (shown[0].event, shown[0].data)
    for one, other in zip(written, shown, strict=True):
        same = ("position", "stream", "version", "type", "schema_version", "recorded_at", "command_id")
        assert [getattr(one, name) for name in same] == [getattr(other, name) for name in same]


def test_a_key_is_not_used_where_nothing_is_encrypted(path: Path) -> None:
    """A reader may be given one for any log; data may begin with the byte that encrypted data begin with."""
    with open_store(path) as store:
        store.append(everything("\x01"))
        assert 2 == len(list(store.read()))
    for key in (KEY, None):
        with open_reader(path, key=key) as reader:
            assert reader.attachment("diary/page").data == b"\x01"
            assert reader.snapshot("diary") is not None
            assert reader.verify().ok
            assert not reader.locked
    with open_store(path) as store, pytest.raises(KeyRequired, match="is not encrypted: there is no key to change"):
        store.rotate_key(KEY)


def test_encryption_without_its_library_is_refused_before_anything_is_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to install. A log that is not encrypted is read all the same."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(CryptographyMissing) as missing:
        open_store(path, key=KEY)
    assert "lrm-actors[crypto]" in missing.value.hint
    assert not path.parent.exists()
    with open_store(path) as store:
        append(store, "a", Counted(1))
    with open_reader(path, key=KEY) as reader:
        assert [1] == counts(reader, "a")
