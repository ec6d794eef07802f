"""Signs of life: of programs that write bytes themselves, and of the watchdog to whoever started it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.outer.watched import waited, watching

BEATS = """
import os, pathlib, signal, time
fd, every = int(os.environ["LRM_HEARTBEAT_FD"]), float(os.environ["LRM_HEARTBEAT_EVERY_S"])
tried = pathlib.Path("tried"); count = len(tried.read_text()) if tried.exists() else 0
tried.write_text("x" * (count + 1))
"""


def test_any_program_may_send_heartbeats(tmp_path: Path) -> None:
    """A byte is one; who stops sending them hangs, and who says that no more come may be silent."""
    program = BEATS + (
        "if count == 0: os.write(fd, b'.'); time.sleep(600)\n"
        "if count == 1: os.write(fd, b'.'); os.kill(os.getpid(), signal.SIGSTOP)\n"
        "if count == 2: os.write(fd, b'..\\x04'); time.sleep(1.5)\n"
    )
    with watching(tmp_path, "--heartbeat-timeout", "0.5", program=program) as one:
        assert 0 == one.ended()[0]
        assert ["hang", "hang", "exit"] == [event.why for event in one.events("process_exited")]
        assert ["heartbeats_began", "heartbeats_ended"] == one.told()[-4:-2]


def test_the_first_heartbeat_may_be_asked_for(tmp_path: Path, release: bool) -> None:
    """A process that never comes up hangs."""
    if not release:
        pytest.skip("takes seconds; what is decided is tested by itself")
    program = BEATS + "if count == 0: time.sleep(600)\nos.write(fd, b'.')"
    with watching(tmp_path, "--start-timeout", "0.5", program=program) as one:
        assert 0 == one.ended()[0]
        assert ["hang", "exit"] == [event.why for event in one.events("process_exited")]


def test_a_watchdog_that_was_stopped_itself_accuses_nobody(tmp_path: Path, release: bool) -> None:
    """It was away for longer than a heartbeat may be missing, as with a machine that sleeps."""
    if not release:
        pytest.skip("takes seconds; the tests of the domain show it by numbers")
    program = BEATS + "while True: os.write(fd, b'.'); time.sleep(every)"
    with watching(tmp_path, "--heartbeat-timeout", "2", program=program) as one:
        one.wait_for("heartbeats_began")
        pid = one.pid()
        os.kill(pid, signal.SIGSTOP)
        one.send(signal.SIGSTOP)
        waited(_after(3.0), "some seconds")
        os.kill(pid, signal.SIGCONT)
        one.send(signal.SIGCONT)
        one.send(signal.SIGUSR2)
        one.wait_for("signal_received")
        assert [] == one.events("heartbeat_missed")
        one.send(signal.SIGINT)
        one.ended()


def _after(seconds: float) -> Callable[[], bool]:
    """True once so much time is over."""
    until_s = time.monotonic() + seconds
    return lambda: time.monotonic() >= until_s


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the process is up, that the watchdog turns, what it is at, and that the end has begun."""
    told: list[str] = []
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(0.05)

        def heard(part: str) -> bool:
            with contextlib.suppress(TimeoutError):
                while True:
                    told.append(manager.recv(4_096).decode())
            return any(part in one for one in told)

        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        program = BEATS + (
            "pathlib.Path('seen').write_text(' '.join(sorted(os.environ)) + '\\n')\n"
            "while True: os.write(fd, b'.'); time.sleep(0.1)"
        )
        with watching(tmp_path, program=program, notify=str(tmp_path / "notify")) as one:
            waited(lambda: heard("sends heartbeats"), "READY=1 and a status")
            waited(lambda: told.count("WATCHDOG=1") > 1 or heard("?"), "signs of life")
            one.send(signal.SIGTERM)
            assert 143 == one.ended()[0]
            assert heard("STOPPING=1")
            assert "READY=1" in told
            assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & set(one.line_in("seen").split())
