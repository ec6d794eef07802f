"""A program that owns a log as an agent does, and says who touched the file, and how; prints it as JSON.

``python -m tests.rules.owner_process DIRECTORY [PLANT]``. Every SQLite connection of the process is watched, and every
file that it opens. With a plant, something is done that only a program without this rule would do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WRITING = re.compile(
    r"\s*(BEGIN IMMEDIATE|BEGIN EXCLUSIVE|INSERT|UPDATE|DELETE|REPLACE|CREATE|PRAGMA wal_checkpoint\b)", re.IGNORECASE
)
LIBRARIES = re.compile(r"/(?!_sqlite3)[^/]*(libsqlite3|apsw|pysqlite)[^/]*\.so", re.IGNORECASE)
LOG_FILES = ("lrm.db", "lrm.db-wal", "lrm.db-shm")


class Watched(sqlite3.Connection):
    """Knows whether it ever wrote, and whether it could."""

    name = ""
    wrote = False
    could_write = False
    could_checkpoint = False
    looked_at = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        self.wrote = self.wrote or bool(WRITING.match(sql))
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        self.wrote = self.wrote or bool(WRITING.match(sql))
        return super().executemany(sql, parameters)

    def look(self) -> None:
        """Try, without changing anything, whether it could write; once, before it is closed."""
        if self.looked_at:
            return
        self.looked_at = True
        try:
            super().execute("DELETE FROM events WHERE 0")
            self.could_write = True
        except sqlite3.OperationalError as error:
            self.could_write = "readonly" not in str(error)
        pages = super().execute("PRAGMA wal_autocheckpoint").fetchone()[0]
        self.could_checkpoint = pages > 0 and "mode=ro" not in self.name

    def close(self) -> None:
        if not self.wrote:
            self.look()
        super().close()


CONNECTIONS: list[Watched] = []
PLAIN: list[str] = []
"""Files of the log that were opened as plain files, once SQLite had it open."""
_connect = sqlite3.connect


def watch() -> None:
    """From here on. Before the product is imported, which remembers ``sqlite3.connect``."""

    def connect(database: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = _connect(database, *arguments, **{"factory": Watched, **options})
        assert isinstance(connection, Watched)
        connection.name = str(database)
        CONNECTIONS.append(connection)
        return connection

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and CONNECTIONS and Path(str(arguments[0])).name in LOG_FILES:
            PLAIN.append(str(arguments[0]))

    sqlite3.connect = connect  # type: ignore[assignment]
    sys.addaudithook(on_event)


async def work(directory: Path, planted: Callable[[Path], object]) -> None:
    """Live as an agent for a moment: steps, failures, checkpoints, reports, and readers on several threads."""
    from lrm_actors import LongRunningMode, LongRunningSettings

    settings = LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=directory, monitoring_interval=0.1)
    mode = LongRunningMode(settings)
    mode.capture_with(lambda: {"pages": [1, 2, 3]})
    mode.register_component("browser", restart=lambda: None, heartbeat_timeout_s=30.0)
    async with mode:
        for number in range(5):
            async with mode.step("look") as step:
                step.result = {"number": number}
        await mode.handle_failure(ValueError("planned"), {"component": "browser"})
        await mode.take_checkpoint()
        await mode.get_health_report()

        def read() -> None:
            with contextlib.closing(mode.reader()) as reader:
                assert reader.verify().ok

        readers = [threading.Thread(target=read) for _ in range(6)]
        for thread in readers:
            thread.start()
        for thread in readers:
            await asyncio.to_thread(thread.join)
        planted(settings.log_path)


def _second_writer(log: Path) -> None:
    with _connect(log, factory=Watched) as connection:
        CONNECTIONS.append(connection)
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    connection.close()


def _writable_reader(log: Path) -> None:
    from eventstore.connections import open_writing
    from eventstore.opening import open_reader

    def open_reading(connect: Any, path: Path, *, busy_timeout_s: float, immutable: bool = False) -> sqlite3.Connection:
        return open_writing(connect, path, busy_timeout_s=busy_timeout_s)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eventstore.opening.open_reading", open_reading)
        with open_reader(log) as reader:
            assert reader.head


PLANTS: dict[str, Callable[[Path], object]] = {
    "none": lambda _: None,
    "plain_open": lambda log: log.read_bytes(),
    "plain_open_of_the_wal": lambda log: log.with_name("lrm.db-wal").read_bytes(),
    "second_writer": _second_writer,
    "writable_reader": _writable_reader,
}


def loaded_libraries() -> list[str]:
    """The SQLite libraries in this process, where the platform tells."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return []
    return sorted({found.group() for line in maps.read_text().splitlines() if (found := LIBRARIES.search(line))})


def main(directory: Path, plant: str = "none") -> None:
    """Work, then tell."""
    watch()
    asyncio.run(work(directory, PLANTS[plant]))
    idle = [connection for connection in CONNECTIONS if not connection.wrote]
    print(
        json.dumps(
            {
                "connections": len(CONNECTIONS),
                "writers": sum(connection.wrote for connection in CONNECTIONS),
                "could_write": sum(connection.could_write for connection in idle),
                "could_checkpoint": sum(connection.could_checkpoint for connection in idle),
                "plain": sorted(set(PLAIN)),
                "libraries": loaded_libraries(),
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
