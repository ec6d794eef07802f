"""A process without threads that forks lives when it is told to, and passes on what they say, a line at a time."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.machines.world import PATIENCE_S

ROOT = Path(__file__).parents[2]

Said = list[tuple[str, int]]
"""Lines: a word and a number each."""


class Parent:
    """Begins lives and reads what they say."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._orders, self._news = process.stdin, process.stdout.fileno()
        self._rest = b""

    def _order(self, line: bytes) -> int:
        """Begin the life that a line describes; its process id."""
        self._orders.write(line)
        self._orders.flush()
        [(word, pid)] = self._until("pid")
        assert "pid" == word
        return pid

    def _until(self, word: str) -> Said:
        lines: Said = []
        while not lines or lines[-1][0] != word:
            news = self._read(PATIENCE_S)
            assert news, f"no {word!r} came"
            lines += news
        return lines

    def _read(self, timeout_s: float) -> Said:
        if not select.select([self._news], [], [], timeout_s)[0]:
            return []
        news = os.read(self._news, 65_536)
        assert news, "the parent of all lives has ended"
        *whole, self._rest = (self._rest + news).split(b"\n")
        return [(words[0].decode(), int(words[1])) for line in whole if (words := line.split())]


P = TypeVar("P", bound=Parent)


@contextmanager
def parent(kind: type[P], module: str) -> Iterator[P]:
    """The process, which runs a module that forks lives."""
    command = [sys.executable, "-m", module]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield kind(process)
