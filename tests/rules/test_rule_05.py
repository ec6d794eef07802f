"""Rule 5: one process owns a log, one connection of it writes and checkpoints, and nobody opens the live file plainly.

Not yet held: the log of its own that the outer watchdog keeps, which does not exist yet. Commands of ``lrm`` that
change a log own it meanwhile, and do not ask its owner to do so. The owner's socket: ``tests/hosting/owner``.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eventstore.errors import LogLocked
from eventstore.opening import open_store
from lrm_actors.runtime.clock import SystemClock
from tests.machines.world import World
from tests.rules.support import PROCESS_PATIENCE_S, ROOT, run_python, sources

# --- one connection -----------------------------------------------------------------------------------------------


def owner(directory: Path, plant: str) -> dict[str, Any]:
    """What a process did with the file of a log that it owned."""
    command = [sys.executable, "-m", "tests.rules.owner_process", str(directory), plant]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PROCESS_PATIENCE_S, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def objections(found: dict[str, Any]) -> list[str]:
    """What is wrong with that."""
    wrong = []
    if found["connections"] < 3:
        wrong.append("too few connections to prove anything")
    if found["writers"] != 1:
        wrong.append(f"{found['writers']} connections wrote")
    if found["could_write"]:
        wrong.append(f"{found['could_write']} connections for reading could write")
    if found["could_checkpoint"]:
        wrong.append(f"{found['could_checkpoint']} connections for reading could checkpoint")
    if found["plain"]:
        wrong.append(f"opened as plain files: {found['plain']}")
    if len(found["libraries"]) > 1:
        wrong.append(f"more than one SQLite: {found['libraries']}")
    return wrong


def test_rule_05_holds_one_connection_writes_and_the_file_is_left_to_sqlite(tmp_path: Path) -> None:
    """A real agent's process at work: every connection and every opened file is looked at."""
    assert [] == objections(owner(tmp_path, "none"))


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        ("plain_open", "plain files"),
        ("plain_open_of_the_wal", "plain files"),
        ("second_writer", "2 connections wrote"),
        ("writable_reader", "could write"),
    ],
)
def test_rule_05_planted_another_hand_on_the_file_is_caught(plant: str, told: str, tmp_path: Path) -> None:
    """A plain read, a second connection that checkpoints, or a reader that could write, is seen."""
    assert any(told in one for one in objections(owner(tmp_path, plant)))


def test_rule_05_holds_no_other_sqlite_is_imported() -> None:
    """Two SQLite libraries in one process do not know of each other's locks."""
    others = [path for path, tree in sources() if {"apsw", "pysqlite3", "aiosqlite", "duckdb"} & _imported(tree)]
    assert [] == others


def _imported(tree: Any) -> set[str]:
    import ast

    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


# --- one process --------------------------------------------------------------------------------------------------

SECOND_OWNER = """
import sys
if sys.argv[2] == "unlocked":
    import eventstore.opening
    class NoLock:
        def __init__(self, path): ...
        def release(self): ...
    eventstore.opening.LogLock = NoLock
from eventstore.errors import OpenError
from lrm_actors import LongRunningMode, LongRunningSettings
settings = LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=sys.argv[1])
try:
    with LongRunningMode(settings):
        print("owned")
except OpenError as error:
    print(error.code, "|", error, "|", error.hint)
"""


def second_owner(directory: Path, *, locked: bool = True) -> str:
    """What becomes of an agent that is started on a log which this process owns."""
    with open_store(directory / "default" / "lrm.db"):
        return run_python(SECOND_OWNER, directory, "locked" if locked else "unlocked").stdout.strip()


def test_rule_05_holds_a_second_process_is_told(tmp_path: Path) -> None:
    """A typed error with its code, who owns the log, and what to do; and the owner goes on."""
    code, cause, hint = second_owner(tmp_path).split(" | ")
    assert "ES-4004" == code
    assert "is owned by process" in cause
    assert "agent_id" in hint
    with open_store(tmp_path / "default" / "lrm.db") as store, pytest.raises(LogLocked):
        open_store(store.path)


def test_rule_05_planted_a_log_without_a_lock_is_caught(tmp_path: Path) -> None:
    """Without the lock the second process gets in."""
    assert "owned" == second_owner(tmp_path, locked=False)


OWNER_UNTIL_KILLED = """
import sys, time
from pathlib import Path
from tests.machines.world import World
from lrm_actors.runtime.clock import SystemClock
World(Path(sys.argv[1]), SystemClock())
print("owned", flush=True)
time.sleep(600)
"""


def test_rule_05_holds_a_killed_owner_leaves_no_lock(tmp_path: Path) -> None:
    """The next process takes the log over with a new epoch, whatever the lock file still says."""
    command = [sys.executable, "-c", OWNER_UNTIL_KILLED, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "owned\n" == process.stdout.readline()
        with pytest.raises(LogLocked, match=str(process.pid)):
            open_store(tmp_path / "lrm.db")
        process.send_signal(signal.SIGKILL)
        process.wait(PROCESS_PATIENCE_S)
    world = World(tmp_path, SystemClock())
    try:
        assert 2 == world.store.owner_epoch
        assert 2 == world.system.state("supervisor").starts
    finally:
        world.close()
