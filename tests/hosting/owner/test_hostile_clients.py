"""Clients of the owner's socket that mean harm, or are broken: the owner answers everybody else all the same."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrm_actors.hosting.owner import peer, serving
from lrm_actors.hosting.owner.asking import ask_owner
from lrm_actors.hosting.owner.commands import Commands
from lrm_actors.hosting.owner.serving import MAX_CONNECTIONS, OwnerSocket
from tests.hosting.owner.kit import PATIENCE_S, connect, read_to_end, send


@contextlib.contextmanager
def served_at(log: Path, commands: Commands | None = None) -> Iterator[Path]:
    """The path of a served socket, which still answers at the end."""
    served = OwnerSocket(log, commands or Commands({"echo": dict}))
    try:
        yield served.path
        if commands is None:
            assert ask_owner(log, "echo", {"still": "here"}) == {"still": "here"}
    finally:
        served.close()
    assert served._connections == {}


GARBAGE = [
    b"\n",
    b"\0\xff\xfe\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"[]\n",
    b'{"command": 7}\n',
    b'{"command": "echo", "arguments": [1]}\n',
    b"[" * 60_000 + b"\n",
    b'{"command": "' + b"e" * 60_000 + b'"}\n',
]


@pytest.mark.parametrize("request_", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_gets_a_typed_error(tmp_path: Path, request_: bytes) -> None:
    """Whatever the line holds."""
    with served_at(tmp_path / "lrm.db") as path:
        reply = send(path, request_)
        assert (reply["ok"], reply["error"]["code"]) == (False, "LRM-5003")
        assert len(reply["error"]["message"]) < 300


def test_random_bytes_do_no_harm(tmp_path: Path, release: bool) -> None:
    """Cut anywhere, with and without an end of line."""
    drawn = random.Random(4)
    count = 2_000 if release else 60
    with served_at(tmp_path / "lrm.db") as path:
        for _ in range(count):
            reply = send(path, drawn.randbytes(drawn.randrange(200)))
            assert reply is None or reply["ok"] is False
    print(f"{count} clients sent random bytes")


def test_a_request_without_end_is_cut_off(tmp_path: Path) -> None:
    """It is read as far as the limit, and kept nowhere."""
    with served_at(tmp_path / "lrm.db") as path, connect(path) as client:
        with contextlib.suppress(OSError):
            for _ in range(1_000):
                client.sendall(b"x" * 65_536)
        answered = read_to_end(client)
        assert b"at most" in answered or answered == b""


def test_a_slow_client_is_dropped_at_its_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that sends no whole request, and one that does not read its reply; others are served meanwhile."""
    monkeypatch.setattr(serving, "REQUEST_WAIT_S", 0.2)
    monkeypatch.setattr(serving, "REPLY_WAIT_S", 0.2)
    log = tmp_path / "lrm.db"
    commands = Commands({"echo": dict, "much": lambda arguments: "x" * 7_000_000})
    with served_at(log, commands) as path, connect(path) as slow, connect(path) as deaf:
        slow.sendall(b'{"comm')
        deaf.sendall(b'{"command": "much"}\n')
        assert ask_owner(log, "echo", {"in": "time"}) == {"in": "time"}
        assert read_to_end(slow) == b""
        gone = threading.Event()
        for _ in range(int(PATIENCE_S / 0.05)):
            with connect(path) as probe:  # each new client has the deadlines looked at
                probe.sendall(b"\n")
                read_to_end(probe)
            if gone.wait(0.05) or len(read_to_end(deaf)) < 7_000_000:
                break
        else:
            pytest.fail("it was never dropped")


def test_many_clients_that_say_nothing_keep_nobody_out(tmp_path: Path) -> None:
    """Ten times as many as there is room for: the oldest make room, and memory and descriptors stay bounded."""
    log = tmp_path / "lrm.db"
    with served_at(log) as path, contextlib.ExitStack() as held:
        for number in range(10 * MAX_CONNECTIONS):
            held.enter_context(connect(path))
            if number % MAX_CONNECTIONS == 0:
                assert ask_owner(log, "echo", {"n": number}, timeout_s=PATIENCE_S) == {"n": number}


def test_commands_that_hang_leave_the_socket_answering(tmp_path: Path) -> None:
    """As many as may be carried out at a time: one more is told so at once, and when they end all is well."""
    log, release = tmp_path / "lrm.db", threading.Event()
    entered = threading.Semaphore(0)

    def hang(_arguments: object) -> str:
        entered.release()
        release.wait(PATIENCE_S)
        return "done"

    commands = Commands({"hang": hang, "echo": dict})
    with served_at(log, commands) as path, contextlib.ExitStack() as held:
        hanging = [held.enter_context(connect(path)) for _ in range(serving.MAX_AT_WORK)]
        for client in hanging:
            client.sendall(b'{"command": "hang"}\n')
        for _ in hanging:
            assert entered.acquire(timeout=PATIENCE_S)
        assert "already" in send(path, b'{"command": "echo"}\n')["error"]["message"]
        release.set()
        assert [b"done" in read_to_end(client) for client in hanging] == [True] * len(hanging)
        assert ask_owner(log, "echo", {"all": "well"}) == {"all": "well"}


def test_a_client_that_goes_before_its_reply_is_no_harm(tmp_path: Path) -> None:
    """Its reply has nobody to go to."""
    log, release = tmp_path / "lrm.db", threading.Event()
    entered = threading.Event()

    def wait(_arguments: object) -> str:
        entered.set()
        release.wait(PATIENCE_S)
        return "x" * 1_000_000

    commands = Commands({"wait": wait, "echo": dict})
    with served_at(log, commands) as path:
        with connect(path) as client:
            client.sendall(b'{"command": "wait"}\n')
            assert entered.wait(PATIENCE_S)
        release.set()
        assert ask_owner(log, "echo", {"on": "and on"}) == {"on": "and on"}


def test_another_user_is_not_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the file's mode not keep them out, the user at the other end is asked for."""
    assert peer.may_command(0)
    assert not peer.may_command(-1)
    monkeypatch.setattr(serving, "peer_uid", lambda connection: 54_321)
    served = OwnerSocket(tmp_path / "lrm.db", Commands({"echo": dict}))
    try:
        with connect(served.path) as client:
            with contextlib.suppress(OSError):
                client.sendall(b'{"command": "echo"}\n')
            assert read_to_end(client) == b""
    finally:
        served.close()


def test_the_other_ends_user_is_told() -> None:
    """Both ends of a pair are this process's."""
    import os

    one, other = socket.socketpair()
    with one, other:
        assert peer.peer_uid(one) in {os.geteuid(), None}
