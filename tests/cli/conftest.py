"""The command line run in this process, and a log that an agent lived to look at."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from lrm_actors.cli import cli
from lrm_actors.settings import FIELDS
from tests.inspect.logs import lived


@attrs.frozen
class Ended:
    """What a command printed and ended with."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


Lrm = Callable[..., Ended]


@pytest.fixture(autouse=True)
def empty_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither variables nor files of the machine say which log is meant; times are UTC."""
    monkeypatch.chdir(tmp_path)
    for variable in ("LRM_LOG", *(setting.variable for setting in FIELDS)):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def lrm() -> Lrm:
    """Run a command line; an exception that is not an exit fails the test."""

    def run(*words: object) -> Ended:
        done = CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)
        return Ended(done.exit_code, done.stdout, done.stderr)

    return run


@attrs.frozen
class Lived:
    """A log, and the positions in it by what is there."""

    path: Path
    at: dict[str, int]


@pytest.fixture
def life(tmp_path: Path) -> Lived:
    """The log of an agent that lived through faults and is dead now."""
    path = tmp_path / "logs" / "agent-1" / "lrm.db"
    return Lived(path, lived(path))
