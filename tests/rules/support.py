"""What the tests of the rules share: a log on disk with a system over it, a look from outside, and the sources."""

from __future__ import annotations

import ast
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eventstore.opening import open_store
from eventstore.store import SqliteStore
from lrm_actors.domain.behavior import Spec
from lrm_actors.runtime.system import ActorSystem

ROOT = Path(__file__).parents[2]
PACKAGES = ("eventstore", "lrm_actors")
PROCESS_PATIENCE_S = 60.0
"""How long a process may take that is to end by itself; only a failing test waits this long."""


@contextmanager
def system_on_disk(
    directory: Path, *specs: Spec[Any], connect: Any = sqlite3.connect, **options: Any
) -> Iterator[ActorSystem]:
    """A started system over a log in a directory, stopped and closed at the end."""
    store = open_store(directory / "lrm.db", connect=connect)
    try:
        system = ActorSystem(store, specs, **options)
        system.start()
        try:
            yield system
        finally:
            system.stop(deadline_s=5.0)
    finally:
        store.close()


class Outside:
    """Looks at a log as another program would: through a connection of its own, at what is committed."""

    def __init__(self, log: Path) -> None:
        self._uri = f"file:{log}?mode=ro"

    def one(self, sql: str, *values: Any) -> Any:
        """The first value of the first row."""
        connection = sqlite3.connect(self._uri, uri=True, timeout=10.0)
        try:
            return connection.execute(sql, values).fetchone()[0]
        finally:
            connection.close()

    def has_command(self, command_id: str) -> bool:
        """Whether an event of this command is stored."""
        return bool(self.one("SELECT count(*) FROM events WHERE command_id = ?", command_id))

    def has_text(self, text: str) -> bool:
        """Whether some event's data hold this text."""
        return bool(self.one("SELECT count(*) FROM events WHERE instr(CAST(data AS TEXT), ?)", text))

    def version(self, stream: str) -> int:
        """The version of a stream."""
        return int(self.one("SELECT coalesce((SELECT version FROM stream_log WHERE stream = ?), 0)", stream))

    def head(self) -> int:
        """The position of the newest event."""
        return int(self.one("SELECT coalesce(max(position), 0) FROM events"))


def run_python(code: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter of its own, from the root of the project."""
    command = [sys.executable, "-c", code, *(str(one) for one in arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PROCESS_PATIENCE_S, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


def rows(store: SqliteStore) -> list[tuple[Any, ...]]:
    """Everything that was stored, exactly, to compare with what is there later."""
    return [
        (one.position, one.stream, one.version, one.type, one.schema_version, one.cause, one.command_id, one.data)
        for one in store.read()
    ]


# --- reading the sources ------------------------------------------------------------------------------------------


def sources(root: Path = ROOT) -> Iterator[tuple[str, ast.Module]]:
    """Every module of the product, by its path."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            yield path.relative_to(root).as_posix(), ast.parse(path.read_text())


def calls(tree: ast.AST, name: str = "<module>") -> Iterator[tuple[str, ast.Call]]:
    """Every call, with the name of the function around it."""
    for child in ast.iter_child_nodes(tree):
        inner = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else name
        if isinstance(child, ast.Call):
            yield inner, child
        yield from calls(child, inner)
