"""The commands over an encrypted log: what each needs the key for, where it comes from, and how it is changed."""

from __future__ import annotations

import re
import shutil
from functools import partial
from pathlib import Path

import pytest

from eventstore import open_reader, open_store
from eventstore.errors import BadKey, KeyRequired, WrongKey
from lrm_actors import LongRunningMode
from lrm_actors.cli import exits
from lrm_actors.inspect.keys import log_key
from tests.cli.conftest import Lived, Lrm
from tests.inspect import logs
from tests.mode_kit import records, settings

KEY, OTHER = (bytes([n]) * 32 for n in (1, 2))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """The life of ``life`` in an encrypted log."""
    path = tmp_path_factory.mktemp("sealed") / "agent-1" / "lrm.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "open_store", partial(open_store, key=KEY))
        return Lived(path, logs.lived(path))


@pytest.fixture
def sealed(made: Lived, tmp_path: Path) -> Lived:
    """A copy of it."""
    path = tmp_path / "sealed" / "agent-1" / "lrm.db"
    shutil.copytree(made.path.parent, path.parent)
    return Lived(path, made.at)


def key_file(tmp_path: Path, key: bytes = KEY, name: str = "key") -> Path:
    """A file with a key that nobody else can read."""
    path = tmp_path / name
    path.write_text(key.hex(), encoding="ascii")
    path.chmod(0o600)
    return path


COMMANDS = ("log", "show 2", "why 2", "replay", "checkpoints", "checkpoints show latest", "verify")


def test_with_the_key_each_command_says_what_it_says_of_a_log_in_plain(
    lrm: Lrm, life: Lived, sealed: Lived, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From a file, before or after the command's name, or from the variable."""
    given = key_file(tmp_path)

    def said(*words: object) -> str:
        done = lrm(*words)
        assert exits.OK == done.code
        return re.sub(r"\d\d:\d\d:\d\d", "a time", done.out)

    for command in COMMANDS:
        plain = said(*command.split(), "--log", life.path)
        assert plain == said(*command.split(), "--log", sealed.path, "--key-file", given)
    assert plain == said("--key-file", given, *command.split(), "--log", sealed.path)
    monkeypatch.setenv("LRM_LOG_KEY", KEY.hex())
    assert plain == said(*command.split(), "--log", sealed.path)


def test_without_the_key_a_command_says_so_or_does_what_needs_none(lrm: Lrm, sealed: Lived) -> None:
    """``log`` lists what is in the clear, ``verify`` checks the hashes; all others end with a code of their own."""
    done = lrm("log", sealed.path)
    assert (exits.OK, sealed.at["last"]) == (done.code, len(done.out.splitlines()))
    assert all("encrypted, and no key was given" in line for line in done.out.splitlines())
    assert {} == lrm("log", "--json", sealed.path).lines[0]["data"]
    done = lrm("verify", sealed.path)
    assert exits.OK == done.code
    assert "encrypted, and no key was given" in done.out
    assert lrm("verify", "--json", sealed.path).document["locked"]
    for command in ({*COMMANDS} - {"log", "verify"}) | {"health"}:
        done = lrm(*command.split(), "--log", sealed.path)
        assert (exits.NO_KEY, "") == (done.code, done.out)
        assert "error ES-6002:" in done.err
        assert "try: give the key: --key-file FILE, or LRM_LOG_KEY" in done.err


def test_a_wrong_key_or_one_that_is_none_ends_with_the_same_code(
    lrm: Lrm, sealed: Lived, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With words of its own each, and never with a part of the key."""
    assert "error ES-6001:" in lrm("log", sealed.path, "--key-file", key_file(tmp_path, OTHER)).err
    loose = key_file(tmp_path)
    loose.chmod(0o644)
    done = lrm("log", sealed.path, "--key-file", loose)
    assert exits.NO_KEY == done.code
    assert "can be read by others" in done.err
    monkeypatch.setenv("LRM_LOG_KEY", "passw0rd")
    done = lrm("log", "--json", sealed.path)
    assert exits.NO_KEY == done.code
    assert "ES-6003" == done.document["error"]["code"]
    assert "passw0rd" not in done.out + done.err


def test_rekey_changes_the_key(lrm: Lrm, sealed: Lived, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From then on only the new one opens the log; given in files or in variables."""
    new = key_file(tmp_path, OTHER, "new")
    done = lrm("rekey", sealed.path, "--key-file", key_file(tmp_path), "--new-key-file", new)
    assert (exits.OK, "") == (done.code, done.err)
    assert f"{sealed.path}: locked with the new key; the old one opens it no more\n" == done.out
    assert exits.NO_KEY == lrm("replay", sealed.path, "--key-file", tmp_path / "key").code
    monkeypatch.setenv("LRM_LOG_KEY", OTHER.hex())
    monkeypatch.setenv("LRM_NEW_LOG_KEY", KEY.hex())
    document = lrm("rekey", sealed.path, "--json", "--new-data-key").document
    last = sealed.at["last"]
    assert {
        "schema": "lrm.rekey/1",
        "path": str(sealed.path),
        "was_encrypted": True,
        "head": last,
    } == document
    assert exits.OK == lrm("verify", sealed.path, "--key-file", tmp_path / "key").code


def test_rekey_encrypts_a_log_that_was_not(lrm: Lrm, life: Lived, tmp_path: Path) -> None:
    """From then on, and says what stays as it is."""
    given = key_file(tmp_path)
    done = lrm("rekey", life.path, "--new-key-file", given)
    assert f"{life.path}: encrypted from now on\n" == done.out
    assert f"its events up to #{life.at['last']} stay as they are" in done.err
    with pytest.raises(KeyRequired):
        open_store(life.path)
    assert exits.OK == lrm("verify", life.path, "--key-file", given).code


def test_rekey_does_nothing_by_half(lrm: Lrm, sealed: Lived, tmp_path: Path) -> None:
    """Without a new key, with a wrong old one, without a log, or while an agent runs, all is as it was."""
    given, wrong = key_file(tmp_path), key_file(tmp_path, OTHER, "other")
    assert exits.USAGE == lrm("rekey", sealed.path, "--key-file", given).code
    assert exits.NO_KEY == lrm("rekey", sealed.path, "--new-key-file", wrong).code
    assert exits.NO_KEY == lrm("rekey", sealed.path, "--key-file", wrong, "--new-key-file", wrong).code
    assert exits.NOT_FOUND == lrm("rekey", tmp_path / "none.db", "--new-key-file", wrong).code
    assert not (tmp_path / "none.db").exists()
    with open_store(sealed.path, key=KEY):
        assert exits.LOCKED == lrm("rekey", sealed.path, "--key-file", given, "--new-key-file", wrong).code
    with open_reader(sealed.path, key=KEY) as reader:
        assert reader.verify().ok


def test_what_reads_or_shortens_a_log_does_not_encrypt_it(
    lrm: Lrm, life: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is set is for logs that are encrypted already; only ``rekey`` and a running agent make one so."""
    monkeypatch.setenv("LRM_LOG_KEY", KEY.hex())
    assert exits.OK == lrm("verify", life.path).code
    assert exits.OK == lrm("retain", life.path, "--keep-events", 5).code
    with open_reader(life.path) as reader:
        assert not reader.locked


def test_copies_need_no_key_and_removing_needs_it(lrm: Lrm, sealed: Lived, tmp_path: Path) -> None:
    """``backup``, ``export`` and ``import`` give an encrypted log; ``retain`` owns the log, and for that the key."""
    assert exits.OK == lrm("backup", tmp_path / "b.db", sealed.path).code
    assert exits.OK == lrm("export", tmp_path / "e.jsonl", sealed.path).code
    assert exits.OK == lrm("import", tmp_path / "e.jsonl", tmp_path / "i.db").code
    for copy in (tmp_path / "b.db", tmp_path / "i.db"):
        with pytest.raises(WrongKey):
            open_reader(copy, key=OTHER)
        assert exits.OK == lrm("replay", copy, "--key-file", key_file(tmp_path)).code
    assert exits.NO_KEY == lrm("retain", sealed.path, "--keep-events", 5).code
    assert exits.OK == lrm("retain", sealed.path, "--keep-events", 5, "--key-file", key_file(tmp_path)).code


def test_an_agent_encrypts_its_log_with_the_key_in_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampled: dict[str, float]
) -> None:
    """Through restarts; nothing of what it did is found in its files, and without the key it does not start."""
    word = "a-word-that-must-not-be-found"
    monkeypatch.setenv("LRM_LOG_KEY", KEY.hex())
    for lives in (1, 2):
        with LongRunningMode(settings(tmp_path / "logs")) as mode:
            with mode.step("keep a secret") as step:
                step.result = word
            assert lives * [word] == [record.event.result for record in records(mode, "journal.step_committed")]
    for key, error in (("", KeyRequired), (OTHER.hex(), WrongKey), ("passw0rd", BadKey)):
        monkeypatch.setenv("LRM_LOG_KEY", key)
        with pytest.raises(error), LongRunningMode(settings(tmp_path / "logs")):
            pass
    files = [path for path in (tmp_path / "logs").rglob("*") if path.is_file()]
    assert "lrm.db" in {path.name for path in files}
    assert [] == [path.name for path in files if word.encode() in path.read_bytes()]


def test_the_variable_may_be_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """As good as not set."""
    monkeypatch.setenv("LRM_LOG_KEY", " ")
    assert log_key() is None
