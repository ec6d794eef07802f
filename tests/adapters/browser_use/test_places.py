"""Where a browser's files stand, and what is taken away of one that is dead."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lrm_actors.adapters.browser_use import launching, places
from lrm_actors.adapters.browser_use.browser_errors import BrowserInUse, BrowserNotFound, BrowserUnreachable
from lrm_actors.adapters.browser_use.launching import Options
from lrm_actors.adapters.browser_use.places import Places, find_executable

SOCKET = "/org.chromium.Chromium.AbCdEf/SingletonSocket"


@pytest.mark.parametrize("length", [20, 60, 61, 120, 250])
def test_the_temporary_directory_leaves_room_for_a_socket(length: int) -> None:
    """However long the path of the directory is; and it is the same each time, so that none is ever forgotten."""
    there = Places(Path("/" + "a" * (length - 14)))
    assert len(f"{there.temporary}{SOCKET}") < 108
    assert there.temporary == Places(there.directory).temporary
    assert (length <= 60) == there.temporary.is_relative_to(there.directory)


def test_what_a_dead_browser_left_is_taken_away(tmp_path: Path) -> None:
    """Its locks, its port, its temporary files and dumps; never what the profile remembers."""
    there = Places(tmp_path / "browser")
    there.prepare()
    (there.profile / "SingletonLock").symlink_to("another-host-17")
    there.port_file.write_text("9222\n/devtools/browser/x")
    for directory in (there.temporary, there.crashes):
        (directory / "left").write_text("")
    (there.profile / "Cookies").write_text("kept")
    there.prepare()
    assert ["Cookies"] == [path.name for path in there.profile.iterdir()]
    assert [] == [*there.temporary.iterdir(), *there.crashes.iterdir()]
    there.clear()
    assert not there.temporary.exists()
    assert not there.crashes.exists()


def test_a_directory_that_was_there_is_left_as_it_is(tmp_path: Path) -> None:
    """Whatever else stands in it, and whoever may enter it."""
    tmp_path.chmod(0o755)
    for name in ("tmp", "crashes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kept").write_text("")
    there = Places(tmp_path)
    there.prepare()
    there.clear()
    assert 0o755 == tmp_path.stat().st_mode & 0o777
    assert 0o700 == there.profile.stat().st_mode & 0o777
    assert all((tmp_path / name / "kept").exists() for name in ("tmp", "crashes"))


def test_a_temporary_directory_of_somebody_else_is_not_entered(tmp_path: Path) -> None:
    """A link in its place leads nowhere, and what it points to stays."""
    there = Places(tmp_path / ("browser" * 12))
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "kept").write_text("")
    there.temporary.symlink_to(tmp_path / "target")
    try:
        with pytest.raises(BrowserInUse):
            there.prepare()
        assert (tmp_path / "target" / "kept").exists()
    finally:
        there.temporary.unlink()


def test_a_directory_is_claimed_by_one(tmp_path: Path) -> None:
    """Until the claim is let go."""
    there = Places(tmp_path / "browser")
    claim = there.take_lock()
    with pytest.raises(BrowserInUse):
        there.take_lock()
    os.close(claim)
    os.close(there.take_lock())


def test_where_no_browser_is_the_names_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That were looked for; one on the path is found first, then one that playwright installed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PLAYWRIGHT_BROWSERS_PATH", raising=False)
    monkeypatch.setattr(places, "ELSEWHERE", ())
    with pytest.raises(BrowserNotFound, match="chromium-browser"):
        find_executable()
    kept = tmp_path / ".cache/ms-playwright/chromium-1200/chrome-linux/chrome"
    kept.parent.mkdir(parents=True)
    for path in (kept, tmp_path / "google-chrome"):
        path.write_text("")
        path.chmod(0o755)
        assert str(path) == find_executable()


def test_the_command_line_has_what_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is needed besides: no sandbox as root only, and no shared memory where there is little."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(launching, "_shared_memory_bytes", lambda: 1 << 30)
    there = Places(tmp_path / "browser")
    options = Options("/opt/chromium", headless=False, args=("--lang=de", "--disable-features=A,B"), window=(800, 600))
    command = launching.command_of(options, there, "a-launch")
    assert "/opt/chromium" == command[0]
    assert {"--lang=de", "--window-size=800,600", f"--user-data-dir={there.profile}", "--lrm-launch=a-launch"} <= set(
        command
    )
    assert [",A,B"] == [word[-4:] for word in command if word.startswith("--disable-features=")]
    assert not {"--headless=new", "--no-sandbox", "--disable-dev-shm-usage"} & set(command)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(launching, "_shared_memory_bytes", lambda: 64 << 20)
    assert {"--headless=new", "--no-sandbox", "--disable-dev-shm-usage"} <= set(
        launching.command_of(Options("/opt/chromium"), there, "a-launch")
    )


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("wss://ada:secret@browsers.example/secret?token=secret", "wss://browsers.example"),
        ("http://127.0.0.1:9222", "http://127.0.0.1:9222"),
        ("http://[secret", "an address that is none"),
    ],
)
def test_an_address_is_named_without_its_secrets(address: str, named: str) -> None:
    """In the error and in its attribute."""
    error = BrowserUnreachable(address, "gone")
    assert named == error.address
    assert named in str(error)
    assert "secret" not in f"{error} {error.address}"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("9222\n/devtools/browser/x", (9222, "/devtools/browser/x")),
        ("9222\n/devtools/browser/x\n", None),
        ("9222\n", None),
        ("9222", None),
        ("", None),
        ("many\n/devtools/browser/x", None),
    ],
)
def test_a_port_is_read_when_all_of_it_is_there(tmp_path: Path, text: str, read: tuple[int, str] | None) -> None:
    """What Chromium has written in part is read as nothing yet."""
    (tmp_path / "port").write_text(text)
    assert read == launching.read_port(tmp_path / "port")
    assert launching.read_port(tmp_path / "none") is None
