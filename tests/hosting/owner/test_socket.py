"""Asking the owner of a log over its socket: what comes back, where the socket is, and that none is left behind."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.errors import CommandRefused
from lrm_actors.hosting.owner import place, serving
from lrm_actors.hosting.owner.asking import ask_owner
from lrm_actors.hosting.owner.commands import Commands, _pieces
from lrm_actors.hosting.owner.errors import NoOwner, OwnerSilent, RequestFailed
from lrm_actors.hosting.owner.serving import OwnerSocket

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@contextlib.contextmanager
def serving_at(log: Path, **functions: Any) -> Iterator[OwnerSocket]:
    """An owner's socket beside a log, closed at the end."""
    served = OwnerSocket(log, Commands({"echo": dict, **functions}))
    try:
        yield served
    finally:
        served.close()


def refuse(_arguments: Any) -> Any:
    """A command that is refused."""
    msg = "not while it rains"
    raise CommandRefused(msg, hint="wait for the sun")


def test_a_command_is_carried_out_and_its_result_comes_back(tmp_path: Path) -> None:
    """Arguments and result are JSON data; a command may be added while requests are served."""
    log = tmp_path / "lrm.db"
    commands = Commands()
    served = OwnerSocket(log, commands)
    try:
        commands.register("add", lambda arguments: arguments["a"] + arguments["b"])
        assert ask_owner(log, "add", {"a": 2, "b": 3}) == 5
        assert commands.names() == ("add",)
    finally:
        served.close()


def test_what_goes_wrong_is_told_with_its_code(tmp_path: Path) -> None:
    """An error of ours keeps code, message and hint; any other is told by its class, and the owner goes on."""
    log = tmp_path / "lrm.db"
    with serving_at(log, refuse=refuse, fail=lambda arguments: 1 / 0, big=lambda arguments: "x" * 9_000_000):
        with pytest.raises(RequestFailed, match="LRM-2006: not while it rains") as refused:
            ask_owner(log, "refuse")
        assert (refused.value.owner_code, refused.value.hint) == ("LRM-2006", "wait for the sun")
        with pytest.raises(RequestFailed, match="LRM-5003: ZeroDivisionError"):
            ask_owner(log, "fail")
        with pytest.raises(RequestFailed, match="more than"):
            ask_owner(log, "big")
        with pytest.raises(RequestFailed, match="there is no command 'os.system'") as unknown:
            ask_owner(log, "os.system")
        assert "echo" in unknown.value.hint
        assert ask_owner(log, "echo", {"still": True}) == {"still": True}


def test_without_an_owner_that_is_said(tmp_path: Path) -> None:
    """No socket, a socket whose owner is dead, and a link, which is not followed."""
    log = tmp_path / "lrm.db"
    with pytest.raises(NoOwner, match="no socket"):
        ask_owner(log, "echo")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "lrm.sock"))
    with pytest.raises(NoOwner, match="refused"):
        ask_owner(log, "echo")
    (tmp_path / "other").mkdir()
    with serving_at(tmp_path / "other" / "lrm.db") as served:
        (tmp_path / "lrm.sock").unlink()
        (tmp_path / "lrm.sock").symlink_to(served.path)
        with pytest.raises(NoOwner):
            ask_owner(log, "echo")


def test_an_owner_that_says_nothing_or_nonsense_is_told_from_none(tmp_path: Path) -> None:
    """Both end with a typed error, the first when the time is up."""
    log = tmp_path / "lrm.db"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "lrm.sock"))
        silent.listen(1)
        with pytest.raises(OwnerSilent, match="none within 0.05 s"):
            ask_owner(log, "echo", timeout_s=0.05)

        def nonsense() -> None:
            for said in (b"[1]\n", b'{"ok": false}\n', b""):
                accepted, _ = silent.accept()
                with accepted:
                    accepted.recv(65_536)
                    accepted.sendall(said)

        accepted, _ = silent.accept()  # the one that waited too short
        accepted.close()
        teller = threading.Thread(target=nonsense)
        teller.start()
        for told in ("no reply", "no reply", "closed the connection"):
            with pytest.raises(OwnerSilent, match=told):
                ask_owner(log, "echo")
        teller.join()


def test_the_socket_is_for_its_user_alone_and_goes_with_its_owner(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask, and nothing is left when it was closed."""
    before = os.umask(0)
    try:
        with serving_at(tmp_path / "lrm.db") as served:
            found = served.path.lstat()
            assert stat.S_ISSOCK(found.st_mode)
            assert stat.S_IMODE(found.st_mode) == 0o600
            served.close()
            served.close()
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == []
    assert not [one for one in threading.enumerate() if one.name.startswith("lrm-socket")]


def test_planted_a_socket_for_everybody_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another mode the test above sees it."""
    monkeypatch.setattr(serving, "SOCKET_MODE", 0o666)
    with pytest.raises(AssertionError):
        test_the_socket_is_for_its_user_alone_and_goes_with_its_owner(tmp_path)


def test_a_dead_owners_socket_is_replaced_and_a_living_successors_is_not_removed(tmp_path: Path) -> None:
    """A killed owner leaves its socket; who owns the log next takes its place, and the first one's end is no harm."""
    log = tmp_path / "lrm.db"
    with serving_at(log) as first, serving_at(log, who=lambda arguments: "second"):
        assert ask_owner(log, "who") == "second"
        first.close()
        assert ask_owner(log, "who") == "second"


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_what_is_no_socket_is_left_alone(tmp_path: Path, kind: str) -> None:
    """A file, a link or a directory of that name is neither removed nor followed nor written."""
    there, target = tmp_path / "lrm.sock", tmp_path / "target"
    if kind == "file":
        there.write_text("precious")
    elif kind == "link":
        there.symlink_to(target)
    else:
        there.mkdir()
    with pytest.raises(FileExistsError, match="not a socket"):
        OwnerSocket(tmp_path / "lrm.db", Commands())
    assert [one.name for one in tmp_path.iterdir()] == ["lrm.sock"]
    assert kind != "file" or there.read_text() == "precious"


def test_a_path_too_long_for_a_socket_has_a_short_private_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a directory that only the user may enter; owner and asker find it without being told."""
    log = tmp_path / ("long" * 25) / "lrm.db"
    log.parent.mkdir()
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / "link").symlink_to(log.parent)
        monkeypatch.setattr(place, "SHORT_ROOT", root)
        for owner in (log, Path(root) / "link" / "lrm.db"):
            with serving_at(owner) as served:
                assert served.path.parent == Path(root) / f"lrm-{os.geteuid()}"
                assert stat.S_IMODE(served.path.parent.stat().st_mode) == 0o700
                for asker in (log, Path(root) / "link" / "lrm.db"):
                    assert ask_owner(asker, "echo", {"far": "away"}) == {"far": "away"}
            assert list(served.path.parent.iterdir()) == []


@pytest.mark.parametrize("kind", ["open", "link", "file"])
def test_a_short_place_that_others_may_enter_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Another user may have made it first: then there is no socket, rather than one that others could replace."""
    monkeypatch.setattr(place, "SHORT_ROOT", str(tmp_path))
    private = place.short_directory(os.geteuid())
    if kind == "open":
        private.mkdir()
        private.chmod(0o755)
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        private.symlink_to(tmp_path / "elsewhere")
    else:
        private.write_text("")
    with pytest.raises(OSError, match="not a directory that only this user may enter"):
        OwnerSocket(tmp_path / ("long" * 25) / "lrm.db", Commands())


def _in_child(served: OwnerSocket, told: Any) -> None:
    served.close()
    told.send(served._listener is not None and served._listener.fileno())
    told.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking with threads, which is what is tried here
def test_a_forked_child_neither_serves_nor_removes_its_parents_socket(tmp_path: Path) -> None:
    """The parent goes on answering while the child lives and when it has ended, whatever the child does to its copy."""
    log = tmp_path / "lrm.db"
    fork = multiprocessing.get_context("fork")
    with serving_at(log) as served:
        heard, told = fork.Pipe(duplex=False)
        child = fork.Process(target=_in_child, args=(served, told))
        child.start()
        try:
            assert heard.recv() == -1
        finally:
            child.join()
        assert child.exitcode == 0
        assert ask_owner(log, "echo", {"after": "fork"}) == {"after": "fork"}
    heard.close()
    told.close()


def test_planted_a_child_that_serves_on_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without letting go in the child, the listening socket stays open there."""
    monkeypatch.setattr(OwnerSocket, "abandon", lambda self: None)
    with pytest.raises(AssertionError):
        test_a_forked_child_neither_serves_nor_removes_its_parents_socket(tmp_path)


@given(data=JSON)
def test_a_reply_in_pieces_is_the_same_json(data: Any) -> None:
    """Whatever it is made of: it is cut so that no long one is made in one go."""
    assert json.loads("".join(_pieces(data))) == data
