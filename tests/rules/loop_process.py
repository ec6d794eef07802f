"""A program that works on an event loop as an agent does, and says what could have held the loop; prints it as JSON.

``python -m tests.rules.loop_process DIRECTORY [PLANT]``. Every built-in function called on the loop's thread is looked
at: waiting for a held lock, sleeping, the disk, SQLite and processes are for other threads. With a plant, something is
done there that only a program without this rule would do.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any, Self

from eventstore.opening import open_store
from eventstore.store import SqliteStore
from lrm_actors import CircuitOpen, LongRunningMode, LongRunningSettings
from lrm_actors.errors import LrmError
from lrm_actors.hosting.offload import off_loop
from lrm_actors.runtime.system import ActorSystem
from tests.runtime.support import Add, Raise, Refuse, counter

LOCK = type(threading.Lock())
BLOCKING = {
    "time.sleep", "posix.fsync", "posix.fdatasync", "posix.open", "posix.read", "posix.waitpid", "posix.replace",
    "posix.mkdir", "posix.unlink", "_io.open", "io.open", "_io.open_code", "_imp.create_dynamic", "_sqlite3.connect",
    "_posixsubprocess.fork_exec", "fcntl.flock", "_socket.getaddrinfo",
}  # fmt: skip
"""Functions that wait for something outside of the process, by module and name."""


NEVER_WAITS = frozenset(("_is_owned",))
"""Functions of the standard library that only try to take a lock, to see whether it is held."""


class LoopWatch:
    """Writes down what could hold the thread that it is armed on."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        """What could have, and where it was called from."""
        self.threads_started: dict[str, str] = {}
        """Where threads were started: ``Thread.start`` waits until the new one runs."""

    def __enter__(self) -> Self:
        sys.setprofile(self._on_call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _on_call(self, frame: FrameType, event: str, function: Any) -> None:
        if event != "c_call":
            return
        what = blocking(function)
        if what is None or frame.f_code.co_name in NEVER_WAITS:
            return
        stack = list(reversed(traceback.extract_stack(frame)))
        starts = any(at.name == "start" and Path(at.filename).name == "threading.py" for at in stack)
        place = next((f"{Path(at.filename).name}:{at.name}" for at in stack if _is_ours(at.filename)), "?")
        kept = self.threads_started if starts else self.found
        kept.setdefault(f"{what} in {place}", " < ".join(f"{Path(at.filename).name}:{at.lineno}" for at in stack[:6]))


def _is_ours(filename: str) -> bool:
    return not {"eventstore", "lrm_actors", "rules"}.isdisjoint(Path(filename).parts)


def blocking(function: Any) -> str | None:
    """What a built-in function may wait for; None when it does not wait."""
    owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
    if isinstance(owner, LOCK):
        return "a held lock" if name == "acquire" and owner.locked() else None
    if isinstance(owner, queue.SimpleQueue):
        return "an empty queue" if name == "get" and owner.empty() else None
    if isinstance(owner, sqlite3.Connection | sqlite3.Cursor):
        return f"SQLite ({name})"
    full = f"{getattr(function, '__module__', '')}.{name}"
    return full if full in BLOCKING else None


async def live(directory: Path, plant: Callable[[LongRunningMode], Awaitable[object]]) -> None:
    """Everything that a host does with a mode on its loop."""
    settings = LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=directory, monitoring_interval=0.05)
    mode = LongRunningMode(settings)
    pages: list[int] = []
    mode.capture_with(lambda: {"pages": pages})
    mode.restore_with(lambda state: pages.extend(state["pages"]))
    async with mode:
        mode.register_component("browser", restart=lambda: None, heartbeat_timeout_s=30.0)
        breaker = mode.get_circuit_breaker("llm")
        for number in range(10):
            mode.heartbeat("browser")
            mode.should_run("look", "sheddable")
            async with mode.step("look") as step:
                pages.append(number)
                step.result = {"number": number}
            await breaker.call(asyncio.sleep, 0)
        await trip(breaker)
        await mode.handle_failure(ValueError("planned"), {"component": "browser"})
        await mode.take_checkpoint()
        await mode.checkpointer.list_checkpoints()
        await mode.get_health_report()
        settings.cpu_threshold_warning = 70.0
        await mode.recover_from_checkpoint()
        await asyncio.gather(*(mode.get_health_report() for _ in range(20)))
        await ask_actors(directory / "other")
        await plant(mode)


async def ask_actors(directory: Path) -> None:
    """The same one layer below: many asks at once, refused, failing and timing out, of a system that the host made."""
    store, system = await off_loop(lambda: _started(directory))
    try:
        for number in range(20):
            await system.ask("counter", Add(number))
        await asyncio.gather(*(system.ask("counter", Add(1)) for _ in range(200)))
        for command in (Refuse(), Raise(ValueError)):
            try:
                await system.ask("counter", command)
            except LrmError:
                system.tell("counter", Add(1))
        system.state("counter")
        system.statistics()
    finally:
        await off_loop(system.stop)
        await off_loop(store.close)


def _started(directory: Path) -> tuple[SqliteStore, ActorSystem]:
    store = open_store(directory / "lrm.db")
    system = ActorSystem(store, [counter()])
    system.start()
    return store, system


async def trip(breaker: Any) -> None:
    """Fail until the guard opens."""

    async def fail() -> None:
        raise OSError("down")

    while True:
        try:
            await breaker.call(fail)
        except OSError:
            continue
        except CircuitOpen:
            return


async def _nothing(_: LongRunningMode) -> None: ...


async def _sleeps(_: LongRunningMode) -> None:
    time.sleep(0.001)  # noqa: ASYNC251 - planted


async def _asks_blocking(mode: LongRunningMode) -> None:
    mode.blocking.handle_failure(ValueError("planted"))


async def _reads_the_log(mode: LongRunningMode) -> None:
    mode.reader().head  # noqa: B018 - planted


async def _writes_a_file(mode: LongRunningMode) -> None:
    Path(os.devnull).write_text("planted", encoding="utf-8")  # noqa: ASYNC240 - planted


async def _starts_a_process(_: LongRunningMode) -> None:
    subprocess.run(["true"], check=False)  # noqa: ASYNC221 - planted


PLANTS: dict[str, Callable[[LongRunningMode], Awaitable[object]]] = {
    "none": _nothing,
    "sleeps": _sleeps,
    "asks_blocking": _asks_blocking,
    "reads_the_log": _reads_the_log,
    "writes_a_file": _writes_a_file,
    "starts_a_process": _starts_a_process,
}


def main(directory: Path, plant: str = "none") -> None:
    """Live on a loop that is watched, then tell."""
    with asyncio.Runner() as runner, LoopWatch() as watch:
        runner.run(live(directory, PLANTS[plant]))
    print(json.dumps({"blocking": watch.found, "threads_started": watch.threads_started}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
