"""A real process with an actor that hangs, and a main thread that does, is looked into from outside."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from lrm_actors.cli import cli
from lrm_actors.hosting.owner.place import SOCKET_NAME
from tests.rules.support import PROCESS_PATIENCE_S, ROOT
from tests.runtime.support import eventually

END = "---\n"


@contextlib.contextmanager
def stuck(directory: Path, what: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """The process, ready, and the file that its standard error goes to."""
    said = directory / "stderr.txt"
    command = [sys.executable, "-m", "tests.hosting.stuck_process", what, str(directory / "logs")]
    with (
        said.open("w") as stderr,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", said.read_text()
            yield process, said
        finally:
            process.kill()
            process.wait(PROCESS_PATIENCE_S)


def printed_on_signal(process: subprocess.Popen[str], said: Path, patience_s: float = PROCESS_PATIENCE_S) -> str:
    """What a process prints on ``SIGUSR1``."""
    before = len(said.read_text())
    process.send_signal(signal.SIGUSR1)
    pause = threading.Event()
    for _ in range(int(patience_s / 0.01)):
        text = said.read_text()[before:]
        if text.endswith(END):
            return text
        pause.wait(0.01)
    raise AssertionError(f"nothing whole was printed: {said.read_text()!r}")


def shows_what_hangs(text: str) -> bool:
    """Whether a dump as text names the message in hand, and shows where its handler is."""
    wanted = ("stuck", "HangForEver", "decide_and_hang", "threading.Event().wait()  # here it hangs", "2 waiting")
    assert [one for one in wanted if one not in text] == [], text
    assert "hunter2" not in text
    return True


def test_a_process_whose_main_thread_hangs_in_native_code_is_looked_into(tmp_path: Path) -> None:
    """By the command and by the signal: the stuck handler and the main thread, with stacks. Killed, that is told."""
    with stuck(tmp_path, "agent") as (process, said):

        def dumped() -> str:
            text = CliRunner().invoke(cli, ["dump", str(tmp_path / "logs")])
            assert (text.exit_code, shows_what_hangs(text.stdout)) == (0, True)
            return text.stdout

        eventually(lambda: "hang_in_native_code" in dumped())  # it says "ready" just before
        document = CliRunner().invoke(cli, ["--json", "dump", "--actor", "stuck", str(tmp_path / "logs")])
        told = json.loads(document.stdout)
        (actor,) = told["actors"]
        assert (told["schema"], told["system"]["pid"]) == ("lrm.dump/1", process.pid)
        assert (actor["name"], actor["phase"], actor["in_hand"]["type"]) == ("stuck", "running", "HangForEver")
        assert actor["mailbox"]["depth"] >= 2
        unknown = CliRunner().invoke(cli, ["dump", "--actor", "nobody", str(tmp_path / "logs")])
        assert (unknown.exit_code, "LRM-2003" in unknown.stderr) == (3, True)
        for _ in range(2):
            shown = printed_on_signal(process, said)
            assert shows_what_hangs(shown)
            assert "hang_in_native_code" in shown
        assert process.poll() is None
    (left,) = tmp_path.glob(f"logs/*/{SOCKET_NAME}")
    dead = CliRunner().invoke(cli, ["--json", "dump", str(tmp_path / "logs")])
    assert (dead.exit_code, json.loads(dead.stdout)["error"]["code"]) == (13, "LRM-5001")
    assert "lrm health" in dead.stderr
    assert left.exists()


def test_a_signal_is_heard_while_the_main_thread_is_in_native_code(tmp_path: Path) -> None:
    """Each one prints."""
    with stuck(tmp_path, "signal") as (process, said):
        for _ in range(3):
            assert "a tree" in printed_on_signal(process, said)


def test_planted_a_handler_that_only_python_runs_is_caught(tmp_path: Path) -> None:
    """Without the interpreter's own note, the test above hears nothing, at the latest when the thread hangs."""
    heard_nothing = pytest.raises(AssertionError, match="nothing whole was printed")
    with stuck(tmp_path, "planted") as (process, said), heard_nothing:
        for _ in range(5):
            printed_on_signal(process, said, 0.5)
