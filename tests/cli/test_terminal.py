"""What a log may do to the terminal of whoever looks at it: nothing but colours of ours."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lrm_actors.cli.output import STYLES
from lrm_actors.domain import analyzer, breaker, journal, monitor, supervisor
from lrm_actors.domain.analyzer import FailureFacts
from lrm_actors.domain.deadlines import Deadline
from tests.inspect.logs import BOOT, STATE, WALL_S, LogWriter

ROOT = Path(__file__).parents[2]
EVIL = "\x1b]0;owned\x07\x1b[8m\x9b2J\u202e\nok: healthy"
"""Sets the title, hides what follows, clears the screen, turns the text around, and fakes a line."""
OURS = re.compile("\x1b\\[(?:0|1|2|31|32|33)m")
COMMANDS = (
    "log", "log --json", "show 3", "show 3 --json", "why breaker", "why failure", "why 3 --json", "replay",
    "replay --json", "health", "health --json", "checkpoints", "checkpoints show latest",
    "checkpoints show latest --json", "verify", "why restart {evil}", "why restart {evil} --json", "show {evil}",
    "replay --actor {evil}", "replay --load {evil}", "log nowhere{evil}",
)  # fmt: skip


def on_a_terminal(*words: str) -> str:
    """What a command writes to a terminal, standard error included."""
    ours, theirs = pty.openpty()
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("LRM_", "NO_COLOR"))}
    with subprocess.Popen(
        [sys.executable, "-m", "lrm_actors.cli", *words],
        cwd=ROOT,
        env={**surroundings, "TERM": "xterm", "PYTHONUTF8": "1"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # its last writer is gone
                break
            if not part:
                break
            written += part
        process.wait(30)
    os.close(ours)
    return written.decode().replace("\r\n", "\n")


@pytest.fixture(scope="module")
def evil_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log whose every name and message would command a terminal."""
    path = tmp_path_factory.mktemp("logs") / "evil" / "lrm.db"
    log = LogWriter(path)
    child = f"component:{EVIL}"
    log.add("supervisor", supervisor.ProcessStarted(1, 41, restarted=False, children=("actor:monitor", child)))
    log.add("journal", journal.StepBegun(1, EVIL, 1))
    log.add("journal", journal.StepAbandoned(1, EVIL, EVIL))
    log.add("monitor", monitor.HealthChanged("healthy", "failing", f"2 components failed within 60 s: {EVIL}, x"))
    log.add("supervisor", supervisor.ChildFailed(child, EVIL, EVIL, "", 1_012.0, BOOT))
    log.add("supervisor", supervisor.ChildGivenUp(child, 5, 60.0, EVIL))
    facts = FailureFacts(EVIL, message=EVIL)
    log.add("analyzer", analyzer.FailureRecorded(EVIL, "unknown", "f1", EVIL, facts, 1_011.0, BOOT))
    until = Deadline(60.0, 1_075.0, WALL_S + 75, BOOT)
    log.add(f"breaker/{EVIL}", breaker.Opened(EVIL, 1, EVIL, until))
    log.checkpoint(state={**STATE, EVIL: EVIL})
    log.store.close()
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_of_a_log_commands_the_terminal(evil_log: Path, command: str) -> None:
    """Names, messages, causes, states and errors are spelled out, in text and in JSON; our colours are the only codes.

    A planted line end makes no line of its own either.
    """
    words = [word.replace("{evil}", EVIL) for word in command.split(" ")]
    written = on_a_terminal(*words, *([] if "nowhere" in command else ["--log", str(evil_log)]))
    bare = OURS.sub("", written)
    assert [] == [char for char in bare if not char.isprintable() and char not in "\n\t"]
    assert "\nok: healthy" not in bare
    assert written


def test_ours_are_all_the_codes_there_are() -> None:
    """The pattern of this test knows each style; one added without it would be taken for an intruder."""
    assert {"dim", "good", "warn", "bad", "name"} == set(STYLES)
