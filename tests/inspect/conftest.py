"""A log that an agent lived, and one to write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from eventstore.reader import SqliteReader
from lrm_actors.inspect import open_log
from tests.inspect.logs import LogWriter, lived


@attrs.frozen
class Lived:
    """A log and the positions in it, by what is there."""

    path: Path
    reader: SqliteReader
    at: dict[str, int]


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Lived]:
    """The log of an agent that lived through faults; its process is gone."""
    path = tmp_path / "agent-1" / "lrm.db"
    at = lived(path)
    with open_log(path) as reader:
        yield Lived(path, reader, at)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LogWriter]:
    """A log to write."""
    log = LogWriter(tmp_path / "written" / "lrm.db")
    yield log
    log.store.close()
