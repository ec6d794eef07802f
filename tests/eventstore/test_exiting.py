"""What nobody waited for when the interpreter ends, or when its store is garbage, is stored all the same."""

from __future__ import annotations

import gc
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from eventstore import exiting
from eventstore.encrypting.keyring import Keyring
from eventstore.errors import LogLocked
from eventstore.opening import open_reader, open_store
from tests.eventstore.support import Counted, Fault, counts, faulty, in_child, io_error, one_write
from tests.runtime.support import eventually

ROOT = Path(__file__).parents[2]
PRELUDE = """
import atexit, multiprocessing, os, sqlite3, sys, threading
atexit.register(lambda: hand_in(5) if late_as_well else None)
from eventstore import open_store
from tests.eventstore.support import Counted, one_write
def place(name):
    return os.path.join(sys.argv[1], name, "lrm.db")
store = open_store(place("agent"))
late_as_well = False
def hand_in(*numbers):
    for n in numbers:
        store.submit(one_write("a", Counted(n)))
"""
UNCLOSED = "was never closed"


def run(script: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a script that ends without closing its store."""
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", PRELUDE + script, str(path.parent.parent)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)


def beside(path: Path, name: str) -> Path:
    """Another log of the same run."""
    return path.parent.parent / name / path.name


def numbers(path: Path) -> list[int]:
    """What is in a log."""
    with open_reader(path) as reader:
        return [record.event.n for record in reader.read()]


@pytest.mark.parametrize(
    ("end", "status"), [("raise ValueError('it ends')", 1), ("sys.exit(3)", 3), ("", 0)], ids=["error", "exit", "end"]
)
def test_the_end_of_a_program_stores_what_was_handed_in(path: Path, release: bool, end: str, status: int) -> None:
    """Also by a thread that the interpreter waits for, by what the program does last of all, and in encrypted logs."""
    if not release and status != 1:
        pytest.skip("the release profile has this one too: it is the same to the interpreter")
    script = f"""
from eventstore import Keyring
sealed = open_store(place("sealed"), key=Keyring((bytes(32),)))
sealed.submit(one_write("a", Counted(7)))
hand_in(1, 2)
late_as_well = True  # by what was registered before our own, so that it runs after it
def late():
    threading.main_thread().join()
    hand_in(3, 4)
threading.Thread(target=late).start()
{end}
"""
    done = run(script, path)
    assert (status, [1, 2, 3, 4, 5]) == (done.returncode, numbers(path))
    assert 2 == done.stderr.count(UNCLOSED), done.stderr
    with open_reader(beside(path, "sealed"), key=Keyring((bytes(32),))) as reader:
        assert [7] == [record.event.n for record in reader.read()]


def test_what_daemon_threads_were_told_is_handed_in_is_stored(path: Path) -> None:
    """They go on until the very end: whatever ``submit`` returned for is there."""
    script = """
def go_on(stream):
    for n in range(1_000_000):
        store.submit(one_write(stream, Counted(n)))
        os.write(1, f"{stream} {n}\\n".encode())
for stream in "ab":
    threading.Thread(target=go_on, args=(stream,), daemon=True).start()
threading.Event().wait(0.05)
"""
    done = run(script, path)
    said = [line.split() for line in done.stdout.splitlines()]
    assert said
    with open_reader(path) as reader:
        for stream in "ab":
            told = max((int(n) for one, n in said if one == stream), default=-1)
            assert reader.version(stream) > told


def test_a_program_that_closes_its_store_is_told_nothing(path: Path) -> None:
    """Also where it does so at its end, and where nothing waits in it."""
    script = """
hand_in(1)
atexit.register(store.close)
"""
    done = run(script, path)
    assert not path.with_name(f"{path.name}-wal").exists()
    assert (0, [1], "") == (done.returncode, numbers(path), done.stderr)


def test_a_disk_that_does_not_answer_keeps_no_process(path: Path) -> None:
    """It ends within a bound, and says what it could not store; another log is stored all the same."""
    script = """
from eventstore import exiting
exiting.EXIT_S = 0.1
class Hung(sqlite3.Connection):
    def execute(self, sql, parameters=(), /):
        if stuck and sql.startswith(("BEGIN", "INSERT", "COMMIT")):
            threading.Event().wait()
        return super().execute(sql, parameters)
stuck = []
hung = open_store(place("hung"), connect=lambda *a, **k: sqlite3.connect(*a, factory=Hung, **k))
stuck.append(1)
hung.submit(one_write("a", Counted(1)))
hand_in(1, 2)
"""
    done = run(script, path)
    assert (0, [1, 2]) == (done.returncode, numbers(path))
    assert "the process ends" in done.stderr
    assert [] == numbers(beside(path, "hung"))


def test_a_forked_child_stores_what_it_was_handed_itself_and_nothing_of_its_parent(path: Path) -> None:
    """However it ends: by itself, or as a process of ``multiprocessing``, which runs nothing of ``atexit``."""
    script = """
hand_in(1, 2)
def life(path):
    own = open_store(path)
    own.submit(one_write("a", Counted(9)))
if os.fork() == 0:
    life(place("forked"))
    sys.exit()
os.wait()
child = multiprocessing.get_context("fork").Process(target=life, args=(place("more"),))
child.start()
child.join()
with open_store(place("seen")):  # what the child did is seen before the parent ends
    print(store.head)
"""
    done = run(script, path)
    assert (0, "0\n", [1, 2]) == (done.returncode, done.stdout, numbers(path))
    for other in ("forked", "more"):
        assert [9] == numbers(beside(path, other))


@pytest.mark.release
def test_the_log_of_a_mode_that_was_not_stopped_is_one_like_any_other(path: Path, release: bool) -> None:
    """What was handed in to it is stored as well."""
    if not release:
        pytest.skip("starts a mode in a process of its own: run with --profile release")
    script = """
import asyncio
from lrm_actors import LongRunningMode, LongRunningSettings
async def start():
    mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=sys.argv[1]))
    await mode.start_monitoring()
    return mode
mode = asyncio.run(start())
mode._engine.running.store.submit(one_write("mine", Counted(8)))
"""
    done = run(script, path)
    assert (0, 2) == (done.returncode, done.stderr.count(UNCLOSED)), done.stderr
    with open_reader(beside(path, "default"), unknown="placeholder") as reader:
        assert [8] == [record.event.n for record in reader.read(streams=["mine"])]


def collect() -> None:
    """Find a store that was dropped. It is told of."""
    with pytest.warns(ResourceWarning, match=UNCLOSED):
        gc.collect()


def test_a_store_that_is_collected_is_closed_when_the_next_is_opened(path: Path) -> None:
    """What was handed in is stored then, and its log can be owned again. A forked child lets it be."""
    store = open_store(path)
    store.submit(one_write("a", Counted(1)))
    store.submit(one_write("a", Counted(2)))
    del store
    collect()
    with open_reader(path) as reader:
        assert "0" == in_child(lambda: open_store(beside(path, "child")).head)
        assert 0 == reader.head
    with open_store(path) as again:
        assert [1, 2] == counts(again, "a")


class HungLog(sqlite3.Connection):
    """On a disk that does not answer as long as ``stuck`` is not set."""

    stuck = threading.Event()

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Wait first."""
        if sql.startswith(("BEGIN", "INSERT", "COMMIT")):
            self.stuck.wait()
        return super().execute(sql, parameters)


def test_a_collected_store_whose_disk_hangs_keeps_nobody_from_opening_another_log(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is waited for once, within a bound, and told of; its own log stays owned until the disk answers."""
    monkeypatch.setattr(exiting, "CLOSE_S", 0.05)
    monkeypatch.setattr(HungLog, "stuck", answers := threading.Event())
    answers.set()
    store = open_store(path, connect=lambda *args, **options: sqlite3.connect(*args, factory=HungLog, **options))
    store.submit(one_write("a", Counted(1)))
    answers.clear()
    del store
    collect()
    try:
        for _ in range(2):
            open_store(beside(path, "other")).close()
        assert 1 == caplog.text.count("its disk does not answer")
        with pytest.raises(LogLocked):
            open_store(path)
    finally:
        answers.set()
    eventually(lambda: not any(one.name == "eventstore-close" for one in threading.enumerate()))
    with open_store(path) as again:
        assert [1] == counts(again, "a")


def test_a_collected_store_that_could_not_be_closed_is_closed_with_the_next_try(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk was full, say; its log was owned for as long as the process lived."""
    store = open_store(path)
    failed: list[str] = []
    with monkeypatch.context() as patched:

        def fail(log: exiting.OpenLog) -> None:
            failed.append(str(log.path))
            raise OSError("no space")

        patched.setattr(exiting.OpenLog, "close", fail)
        del store
        collect()
        exiting.OPEN.close_dropped()
    assert [str(path)] == failed
    open_store(path).close()


def test_a_batch_of_a_collected_store_can_still_be_waited_for(path: Path) -> None:
    """Whoever has it need not have the store."""
    pending = open_store(path).submit(one_write("a", Counted(1)))
    collect()
    assert 1 == pending.result().last_position
    open_store(path).close()


def test_what_a_collected_store_cannot_store_is_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is left to ask for it, be it refused for itself or by the disk; and the log is free."""
    faults: list[Fault] = []
    store = open_store(path, connect=faulty(faults))
    store.submit(one_write("a", Counted(1), expected_version=5))
    store.submit(one_write("a", Counted(2)))
    del store
    collect()
    store = open_store(path, connect=faulty(faults))
    assert [2] == counts(store, "a")
    assert "1 batches" in caplog.text
    assert "version" in caplog.text
    store.submit(one_write("a", Counted(3)))
    faults.append(Fault("INSERT INTO events", io_error()))
    del store
    collect()
    with open_store(path) as again:
        assert [2] == counts(again, "a")
    assert "the disk failed" in caplog.text
