"""What sqlite3, the operating system and the interpreter really raise: limits are real, and only this process's own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import errno
import json
import os
import resource
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures.process import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from lrm_actors.domain import classify as kinds
from lrm_actors.domain.categories import BUG, UNKNOWN
from tests.hosts.case import Case, wrapped
from tests.hosts.server import refused_port


def machine_cases() -> Iterator[Case]:
    """Every case, those of the operating system also in a task group."""
    for situation, (category, sql) in SQL.items():
        yield Case("sqlite3", situation, "raw", category, _sql(*sql), "store")
    for situation, (category, fail) in SQLITE.items():
        yield Case("sqlite3", situation, "raw", category, fail, "store")
    yield from wrapped(
        (Case("os", situation, "raw", category, fail, "worker") for situation, (category, fail) in OS.items()),
        how="group",
    )
    for situation, (category, fail) in PYTHON.items():
        yield Case("python", situation, "raw", category, fail, "agent")


# --- sqlite3 ------------------------------------------------------------------------------------------------------

SQL: dict[str, tuple[str, tuple[str, ...]]] = {
    "max_page_count": (
        kinds.DISK_FULL,
        ("PRAGMA max_page_count=4", "CREATE TABLE t(x)", "INSERT INTO t VALUES(zeroblob(100000))"),
    ),
    "no such table": (BUG, ("SELECT * FROM nowhere",)),
    "syntax": (BUG, ("SELEKT 1",)),
    "constraint": (BUG, ("CREATE TABLE t(x UNIQUE)", "INSERT INTO t VALUES(1)", "INSERT INTO t VALUES(1)")),
    "too few parameters": (BUG, ("SELECT ?",)),
    "read only": (kinds.AUTH, ("PRAGMA query_only=1", "CREATE TABLE t(x)")),
    "locked table": (kinds.DEADLOCK, ()),
}


def _sql(*statements: str) -> Callable[[], Any]:
    if not statements:
        return _held_lock

    def run() -> None:
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            for statement in statements:
                connection.execute(statement)

    return run


def _held_lock() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        contextlib.closing(sqlite3.connect(f"{directory}/a.db", isolation_level=None)) as holder,
        contextlib.closing(sqlite3.connect(f"{directory}/a.db", timeout=0, isolation_level=None)) as other,
    ):
        holder.execute("BEGIN EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")


def _no_database() -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"this is no database, and it is long enough to be seen as none" * 20)
        file.flush()
        with contextlib.closing(sqlite3.connect(file.name)) as connection:
            connection.execute("SELECT * FROM sqlite_master")


def _interrupted() -> None:
    with contextlib.closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        connection.create_function("stop", 0, connection.interrupt)
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT stop() UNION ALL SELECT i FROM n) SELECT * FROM n"
        ).fetchall()


def _closed() -> None:
    connection = sqlite3.connect(":memory:")
    connection.close()
    connection.execute("SELECT 1")


def _no_directory() -> None:
    sqlite3.connect("/nowhere/at/all/a.db")


SQLITE: dict[str, tuple[str, Callable[[], Any]]] = {
    "no database": (BUG, _no_database),
    "interrupted": (kinds.CANCELLED, _interrupted),
    "closed": (BUG, _closed),
    "no directory": (kinds.AUTH, _no_directory),
}

# --- the operating system -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _limited(what: int, to: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (to, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


def _too_many_files() -> None:
    with _limited(resource.RLIMIT_NOFILE, len(os.listdir("/proc/self/fd")) + 2), contextlib.ExitStack() as held:  # noqa: PTH208
        for _ in range(100):
            held.enter_context(open(os.devnull))  # noqa: PTH123


def _full() -> None:
    with open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123
        file.write(b"x")


def _refused() -> None:
    socket.create_connection(("127.0.0.1", refused_port()), timeout=5).close()


def _unknown_host() -> None:
    socket.getaddrinfo("nowhere.invalid", 80)


def _broken_pipe() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        os.write(writer, b"x")
    finally:
        os.close(writer)


def _reset() -> None:
    one, other = socket.socketpair()
    with one:
        one.sendall(b"unread")
        other.close()
        one.recv(1)


def _silent_socket() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(0.05)
        one.recv(1)


def _address_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as other:
        other.bind(taken.getsockname())


def _unreachable() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 0)
        one.connect(("255.255.255.255", 9))


def _child(code: str) -> Callable[[], Any]:
    return lambda: subprocess.run([sys.executable, "-S", "-c", code], check=True, capture_output=True)


def _bad_descriptor() -> None:
    os.read(2**20, 1)


def _no_executable() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "program")
        path.write_text("no program")
        path.chmod(0o700)
        subprocess.run([path], check=True)


OS: dict[str, tuple[str, Callable[[], Any]]] = {
    "too many open files": (kinds.RESOURCE_EXHAUSTION, _too_many_files),
    "full device": (kinds.DISK_FULL, _full),
    "refused": (kinds.NETWORK, _refused),
    "unknown host": (kinds.NETWORK, _unknown_host),
    "broken pipe": (kinds.NETWORK, _broken_pipe),
    "reset": (kinds.NETWORK, _reset),
    "silent socket": (kinds.NETWORK, _silent_socket),
    "address in use": (kinds.AUTH, _address_in_use),
    "not permitted": (kinds.AUTH, _unreachable),
    "child killed": (kinds.MEMORY, _child("import os; os.kill(os.getpid(), 9)")),
    "child segfaulted": (kinds.COMPONENT_EXIT, _child("import os; os.kill(os.getpid(), 11)")),
    "child aborted": (kinds.COMPONENT_EXIT, _child("import os; os.abort()")),
    "child ended with 1": (UNKNOWN, _child("raise SystemExit(1)")),
    "bad descriptor": (BUG, _bad_descriptor),
    "no executable": (kinds.AUTH, _no_executable),
    "no such file": (UNKNOWN, lambda: Path("/nowhere/at/all").read_text()),
    "no such process": (kinds.COMPONENT_EXIT, lambda: os.kill(2**22 - 1, 0)),
}

# --- the interpreter ----------------------------------------------------------------------------------------------


def _no_memory() -> None:
    bytearray(2**62)


def _deep() -> None:
    _deep()


def _killed_pool() -> None:
    with ProcessPoolExecutor(1) as pool:
        pool.submit(os.kill, os.getpid(), 0).result()
        pool.submit(os._exit, 3).result()


async def _too_slow() -> None:
    await asyncio.wait_for(asyncio.Event().wait(), 0.01)


async def _ended_early() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(b"ab")
    stream.feed_eof()
    await stream.readexactly(10)


async def _cancelled() -> None:
    task = asyncio.ensure_future(asyncio.Event().wait())
    await asyncio.sleep(0)
    task.cancel()
    await task


async def _full_queue() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    queue.put_nowait(1)
    queue.put_nowait(2)


def _future_timeout() -> None:
    concurrent.futures.Future[int]().result(timeout=0.01)


def _broken_barrier() -> None:
    threading.Barrier(2).wait(timeout=0.01)


def _strange() -> None:
    raise type("OddError", (Exception,), {"__module__": "strange.things"})("an odd thing happened")


def _mixed_up() -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


PYTHON: dict[str, tuple[str, Callable[[], Any]]] = {
    "no memory": (kinds.MEMORY, _no_memory),
    "recursion": (BUG, _deep),
    "missing key": (BUG, lambda: {"a": 1}["b"]),
    "wrong type": (BUG, lambda: len(3)),  # type: ignore[arg-type]
    "none has no attribute": (BUG, lambda: None.text),  # type: ignore[attr-defined]
    "no JSON": (BUG, lambda: json.loads("<html>")),
    "no UTF-8": (BUG, b"\xff".decode),
    "no such module": (BUG, lambda: __import__("no_such_module_at_all")),
    "killed pool": (kinds.COMPONENT_EXIT, _killed_pool),
    "wait_for of anything": (UNKNOWN, lambda: asyncio.run(_too_slow())),
    "stream ended": (kinds.NETWORK, lambda: asyncio.run(_ended_early())),
    "cancelled": (kinds.CANCELLED, lambda: asyncio.run(_cancelled())),
    "exit": (kinds.CANCELLED, lambda: sys.exit(3)),
    "queue full": (UNKNOWN, lambda: asyncio.run(_full_queue())),
    "future timeout": (UNKNOWN, _future_timeout),
    "broken barrier": (UNKNOWN, _broken_barrier),
    "strange error": (UNKNOWN, _strange),
    "input and output": (UNKNOWN, _mixed_up),
}
