"""Rule 8: the process can always exit within its shutdown deadline, and the exit says whether it was clean.

Not yet held: a handler that never lets go of the interpreter (a C call that keeps the GIL) stops every thread of its
process, the one that counts the deadline too. Only an outer watchdog can end such a process, and there is none yet.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lrm_actors.runtime.reports import EXIT_ABANDONED, EXIT_CLEAN
from tests.rules.support import PROCESS_PATIENCE_S, ROOT

PLANTED_PATIENCE_S = 5.0
"""How long a process with the planted bug is watched before it is taken for one that does not end."""

SYSTEM = """
import sys, threading
from eventstore import open_store
from lrm_actors.runtime.system import ActorSystem
from tests.runtime.support import Shout, ShoutLoud, Wait, counter

entered = threading.Event()

def shout(effect):
    entered.set()
    threading.Event().wait()

store = open_store(sys.argv[2])
system = ActorSystem(store, [counter(), counter("other")], handlers={Shout: shout})
system.start()
if sys.argv[1] == "handler":
    system.tell("counter", Wait(entered, threading.Event()))
    entered.wait()
if sys.argv[1] == "effect":
    system.tell("counter", ShoutLoud("for ever"))
    entered.wait()
report = system.stop(deadline_s=0.5)
store.close()
sys.exit(report.exit_code)
"""

MODE = """
import asyncio, sys, threading
from lrm_actors import LongRunningMode, LongRunningSettings

entered = threading.Event()

def hang():
    if sys.argv[1] != "nothing":
        entered.set()
        threading.Event().wait()
    return {}

async def main():
    settings = LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=sys.argv[2])
    mode = LongRunningMode(settings)
    mode.capture_with(lambda: {})
    mode.register_component("browser", restart=hang)
    await mode.start_monitoring()
    await mode.handle_failure(RuntimeError("Target crashed"), {"component": "browser"})
    if sys.argv[1] == "component":
        entered.wait()
    await mode.stop_monitoring(deadline_s=2.0)
    return mode.exit_code

sys.exit(asyncio.run(main()))
"""


def exit_code(program: str, what_hangs: str, directory: Path, patience_s: float = PROCESS_PATIENCE_S) -> int | None:
    """What a process of its own exits with; None when it does not end."""
    command = [sys.executable, "-c", program, what_hangs, str(directory / "log")]
    try:
        return subprocess.run(command, cwd=ROOT, timeout=patience_s, check=False).returncode
    except subprocess.TimeoutExpired:
        return None


@pytest.mark.parametrize(
    ("what_hangs", "expected"), [("nothing", EXIT_CLEAN), ("effect", EXIT_CLEAN), ("handler", EXIT_ABANDONED)]
)
def test_rule_08_holds_for_a_system(what_hangs: str, expected: int, tmp_path: Path) -> None:
    """The process ends by itself whatever hangs; only an actor that had to be left behind makes the end unclean."""
    assert expected == exit_code(SYSTEM, what_hangs, tmp_path)


@pytest.mark.parametrize("what_hangs", ["nothing", "component"])
def test_rule_08_holds_for_a_mode(what_hangs: str, tmp_path: Path) -> None:
    """A host's function that never returns holds up neither the stop of the mode nor the end of its process."""
    assert EXIT_CLEAN == exit_code(MODE, what_hangs, tmp_path)


def test_rule_08_planted_threads_that_the_interpreter_waits_for_are_caught(tmp_path: Path) -> None:
    """Were actors on ordinary threads, the process would never end."""
    planted = "import lrm_actors.runtime.actor as a; a.UnregisteredActor.use_daemon_thread = False\n" + SYSTEM
    assert exit_code(planted, "handler", tmp_path, PLANTED_PATIENCE_S) is None


def test_rule_08_planted_a_stop_that_calls_every_end_clean_is_caught(tmp_path: Path) -> None:
    """A report that keeps quiet about whom it left behind shows as a wrong exit code."""
    planted = (
        "import lrm_actors.runtime.reports as r; r.StopReport.exit_code = property(lambda report: r.EXIT_CLEAN)\n"
        + SYSTEM
    )
    assert EXIT_ABANDONED != exit_code(planted, "handler", tmp_path)
