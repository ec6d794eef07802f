"""The marker is whole or nothing, and what it says is checked before anybody acts on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lrm_actors.adapters.browser_use import marker
from lrm_actors.adapters.browser_use.marker import Marker

WHOLE = Marker("a-launch", "/agent/browser/profile", 17, "boot/4711", 9222, "/devtools/browser/x")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """With the address that it makes; a second one takes its place, and nobody else may read it."""
    file = tmp_path / "browser.json"
    marker.write(file, WHOLE)
    assert WHOLE == marker.read(file)
    assert "ws://127.0.0.1:9222/devtools/browser/x" == WHOLE.cdp_url
    begun = Marker("another", "/agent/browser/profile")
    marker.write(file, begun)
    assert begun == marker.read(file)
    assert "" == begun.cdp_url
    assert [file] == list(tmp_path.iterdir())
    assert 0o600 == file.stat().st_mode & 0o777
    marker.remove(file)
    marker.remove(file)
    assert marker.read(file) is None


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"pid": "17"},
        {"pid": -1},
        {"pid": True},
        {"port": 70000},
        {"launch": ""},
        {"started": None},
        {"path": "@example.org/"},
    ],
    ids=str,
)
def test_what_cannot_be_is_as_good_as_nothing(tmp_path: Path, change: dict[str, Any]) -> None:
    """A value of another kind or out of its range, and an address that leads elsewhere."""
    file = tmp_path / "browser.json"
    marker.write(file, WHOLE)
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    assert marker.read(file) is None


def test_a_torn_one_is_as_good_as_nothing(tmp_path: Path) -> None:
    """At whichever byte it ends."""
    file = tmp_path / "browser.json"
    marker.write(file, WHOLE)
    data = file.read_bytes()
    for length in range(len(data)):
        file.write_bytes(data[:length])
        assert marker.read(file) is None
    file.write_bytes(b"[]")
    assert marker.read(file) is None
