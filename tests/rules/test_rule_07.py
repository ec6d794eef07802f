"""Rule 7: nothing of ours holds the host's event loop.

The bound of 5 ms is a figure of the benchmarks. Here its cause is looked at: on the loop's thread nothing of ours may
wait for a held lock, sleep, or call the disk, SQLite or a process, whatever the host asks of the mode.

Not yet held: a call that finds no idle thread to run beside the loop starts one, and ``Thread.start`` waits until the
new thread runs, which on a busy machine may take longer. And ``mode.reader()`` opens a file where it is called.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.rules.support import PROCESS_PATIENCE_S, ROOT, system_on_disk
from tests.runtime.support import PATIENCE_S, Add, Look, Wait, counter

Found = dict[str, str]
TURNS = 2_000
"""Turns that a loop goes on to make while an actor hangs."""


def called_on_the_loop(directory: Path, plant: str) -> tuple[Found, Found]:
    """What a process could have waited for on its loop's thread, and the threads it started there."""
    command = [sys.executable, "-m", "tests.rules.loop_process", str(directory), plant]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PROCESS_PATIENCE_S, check=True)
    found = json.loads(done.stdout)
    return found["blocking"], found["threads_started"]


def test_rule_07_holds_nothing_on_the_loop_waits(tmp_path: Path) -> None:
    """Start, steps, guards, failures, checkpoints, reports, settings, recovery, stop: none blocks the loop's thread."""
    blocking, threads_started = called_on_the_loop(tmp_path, "none")
    assert {} == blocking
    assert {"a held lock in offload.py:run"} >= threads_started.keys()


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        ("sleeps", "time.sleep"),
        ("asks_blocking", "a held lock in reply.py"),
        ("reads_the_log", "SQLite"),
        ("writes_a_file", "open"),
        ("starts_a_process", "fork_exec"),
    ],
)
def test_rule_07_planted_a_call_that_blocks_is_caught(plant: str, told: str, tmp_path: Path) -> None:
    """One blocking call on the loop's thread, among all the others that do not block, is seen."""
    blocking, _ = called_on_the_loop(tmp_path, plant)
    assert any(told in what for what in blocking), blocking


# --- while an actor hangs -----------------------------------------------------------------------------------------


def turns_while_an_actor_hangs(directory: Path, *, planted: bool = False) -> int:
    """How many turns a loop makes while one of its coroutines awaits an actor that hangs; 0 when it makes none."""
    entered, release, over = threading.Event(), threading.Event(), threading.Event()
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while turns < TURNS and not over.is_set():
            await asyncio.sleep(0)
            turns += 1
        release.set()

    async def host() -> None:
        ticker = asyncio.create_task(turn())
        if planted:
            system.ask_blocking("counter", Look(), timeout_s=PATIENCE_S)
        else:
            await system.ask("counter", Look(), timeout_s=PATIENCE_S)
        over.set()
        await ticker

    with system_on_disk(directory, counter()) as system:
        system.ask_blocking("counter", Add(1))
        system.tell("counter", Wait(entered, release))
        entered.wait(PATIENCE_S)
        if planted:  # nobody else would let go of it
            watchdog = threading.Timer(0.05, release.set)
            watchdog.start()
        asyncio.run(host())
    return turns


def test_rule_07_holds_a_loop_turns_on_while_an_actor_hangs(tmp_path: Path) -> None:
    """The actor is let go only after the loop has made thousands of turns: a loop that stood still would never end."""
    assert TURNS == turns_while_an_actor_hangs(tmp_path)


def test_rule_07_planted_an_ask_that_holds_the_loop_is_caught(tmp_path: Path) -> None:
    """A blocking ask in its place: not one turn is made before it is answered."""
    assert turns_while_an_actor_hangs(tmp_path, planted=True) < TURNS
