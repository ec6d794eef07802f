"""Every kind of store, for the tests that all of them must pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventstore import events as registry
from eventstore.memory import MemoryStore
from eventstore.opening import open_store
from eventstore.protocol import EventStore
from eventstore.store import SqliteStore
from tests.eventstore.support import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture(params=["sqlite", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[EventStore]:
    """A new, empty store of each kind."""
    made: SqliteStore | MemoryStore
    made = MemoryStore(clock) if request.param == "memory" else open_store(tmp_path / "log" / "lrm.db", clock=clock)
    with made:
        yield made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a log may be."""
    return tmp_path / "agent" / "lrm.db"


@pytest.fixture
def sqlite_store(path: Path, clock: FakeClock) -> Iterator[SqliteStore]:
    """A new, empty store in a file."""
    with open_store(path, clock=clock) as made:
        yield made


@pytest.fixture
def registered() -> Iterator[None]:
    """Event types and upcasters that a test declares are forgotten again."""
    tables: list[dict[Any, Any]] = [registry._by_class, registry._by_name, registry._upcasters]
    kept = [dict(table) for table in tables]
    yield
    for table, before in zip(tables, kept, strict=True):
        table.clear()
        table.update(before)
