"""Where keys come from, and what is refused as none."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from eventstore import open_store
from eventstore.encrypting.keyring import Keyring, generate_key, key_from_environment, key_from_file
from eventstore.errors import (
    BadKey,
)

KEY, OTHER = (bytes([n]) * 32 for n in (1, 2))


def test_keys_come_from_the_environment_and_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In hex or base64, several with commas or lines between them; in a file also as the bytes that they are."""
    texts = [KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode(), base64.urlsafe_b64encode(KEY).decode()]
    texts.append(base64.b64encode(KEY).decode().rstrip("="))
    file = tmp_path / "key"
    for text in texts:
        monkeypatch.setenv("A_KEY", f" {text}\n")
        assert Keyring((KEY,)) == key_from_environment("A_KEY")
        file.write_text(f"{OTHER.hex()}\n{text}\n")
        file.chmod(0o600)
        assert Keyring((OTHER, KEY)) == key_from_file(file)
    monkeypatch.setenv("A_KEY", f"{OTHER.hex()}, {KEY.hex()}")
    assert Keyring((OTHER, KEY)) == key_from_environment("A_KEY")
    file.write_bytes(KEY)
    assert Keyring((KEY,)) == key_from_file(str(file))
    assert 32 == len(generate_key())
    assert generate_key() != generate_key()


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"\x07" * 31,
        b"\x07" * 33,
        "x" * 32,
        bytearray(b"\x07" * 32),
        7,
        [],
        [b"\x07" * 32] * 17,
        [b"\x07" * 32, "x" * 32],
        None,
    ],
)
def test_what_is_no_key_is_refused_without_being_repeated(path: Path, given: Any) -> None:
    """Before anything is made, and no part of it appears in the message: it may be a key with a slip of the pen."""
    with pytest.raises(BadKey) as refused:
        open_store(path, key=lambda: given)
    assert "x07" not in str(refused.value)
    assert "xxx" not in str(refused.value)
    assert not path.parent.exists()


def test_a_key_file_that_cannot_be_right_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that others can read, one that holds something else, one that is not there; the content is never told."""
    file = tmp_path / "key"
    for content in (b"", b"\n", b"passw0rd-of-mine", b"7" * 63, b"\xff" * 40, KEY.hex().encode() * 100):
        file.write_bytes(content)
        file.chmod(0o600)
        with pytest.raises(BadKey, match="holds no key") as refused:
            key_from_file(file)
        assert "passw0rd" not in str(refused.value)
    file.write_bytes(KEY)
    for mode in (0o640, 0o604, 0o666):
        file.chmod(mode)
        with pytest.raises(BadKey, match="can be read by others") as refused:
            key_from_file(file)
        assert "chmod 600" in refused.value.hint
    with pytest.raises(BadKey, match="cannot be read: No such file"):
        key_from_file(tmp_path / "none")
    monkeypatch.delenv("A_KEY", raising=False)
    with pytest.raises(BadKey, match="A_KEY is not set"):
        key_from_environment("A_KEY")
    monkeypatch.setenv("A_KEY", "passw0rd")
    with pytest.raises(BadKey, match="A_KEY holds no key") as refused:
        key_from_environment("A_KEY")
    assert "passw0rd" not in str(refused.value)


def test_a_keyring_shows_nothing_of_its_keys() -> None:
    """It may be printed, logged, or part of a traceback."""
    assert "<Keyring of 2>" == repr(Keyring((KEY, OTHER)))
    assert "<Keyring of 1>" == f"{Keyring([KEY])}"
