"""Begins the lives of an agent, kills each at some moment, and looks at what it left behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import attrs
from click.testing import CliRunner

from lrm_actors.cli import cli
from tests.faults.effect_lives import Life, number_of
from tests.faults.parents import ROOT, Parent, parent
from tests.machines.world import PATIENCE_S

LONGEST_START_S = 0.25
"""Until a life does its first effect, about."""
LONGEST_CALL_S = 0.008
"""Of the server, about."""
LINES_OF_A_LIFE = 24
"""At most, before it is killed; there are three of each effect."""


@attrs.define
class Told:
    """What one life said before it ended."""

    killed: bool = True
    calling: list[int] = attrs.field(factory=list)
    recorded: list[int] = attrs.field(factory=list)


class Agents(Parent):
    """Begins lives, reads what they say, and kills them."""

    def kill_one(self, life: Life, chance: random.Random) -> Told:
        """Begin a life and kill it: at a random moment, or for certain between a deed and its record."""
        if chance.random() < 0.6:
            return self._kill(self.begin(life), chance)
        holds = chance.randint(1, LINES_OF_A_LIFE // 3)
        pid = self.begin(attrs.evolve(life, holds=holds))
        lines: list[tuple[str, int]] = []
        while sum(word == "called" for word, _ in lines) < holds:
            news = self._read(PATIENCE_S)
            assert news, "it does not go on"
            lines += news
            if ("ended", 0) in news:
                return told(lines, killed=False)
        os.kill(pid, signal.SIGKILL)
        return told([*lines, *self._until("ended")], killed=True)

    def begin(self, life: Life) -> int:
        """Begin a life; its process id."""
        return self._order(life.line)

    def _kill(self, pid: int, chance: random.Random) -> Told:
        """Kill a life: at a random moment of its start, or right after one of its lines, or a little later."""
        lines: list[tuple[str, int]] = []
        enough = chance.randint(1, LINES_OF_A_LIFE) if chance.random() < 0.8 else 10**9
        patience_s = PATIENCE_S if enough < 10**9 else chance.uniform(0.0, LONGEST_START_S)
        deadline_s = time.monotonic() + patience_s
        while len(lines) < enough and (left_s := deadline_s - time.monotonic()) > 0:
            news = self._read(left_s)
            lines += news
            if ("ended", 0) in news:  # it came to its end before
                return told(lines, killed=False)
        time.sleep(chance.choice((0.0, chance.uniform(0.0, LONGEST_CALL_S))))
        os.kill(pid, signal.SIGKILL)
        lines += self._until("ended")
        return told(lines, killed=not any(word == "finished" for word, _ in lines))

    def finish(self) -> Told:
        """Let a life come to its end."""
        return told(self._until("ended"), killed=False)


def told(lines: list[tuple[str, int]], *, killed: bool) -> Told:
    """What the lines say."""
    of = {word: [number for said, number in lines if said == word] for word in ("calling", "recorded")}
    return Told(killed, of["calling"], of["recorded"])


def agents() -> AbstractContextManager[Agents]:
    """A process without threads that forks the lives."""
    return parent(Agents, "tests.faults.effect_lives")


@contextmanager
def server() -> Iterator[int]:
    """The server, in a process of its own; its port."""
    command = [sys.executable, "-m", "tests.faults.effect_server"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


@attrs.frozen
class Truth:
    """What the server knows: keys of the requests, and receipts of what was done, by number."""

    keys: dict[int, list[str]]
    done: dict[int, list[str]]


def begin_anew(port: int) -> None:
    """Have the server forget all of it."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/forget", method="POST")
    urllib.request.urlopen(request, timeout=PATIENCE_S).close()


def truth_of(port: int) -> Truth:
    """Ask the server."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/truth", timeout=PATIENCE_S) as answer:
        told = json.loads(answer.read())
    return Truth(*({int(number): value for number, value in told[name].items()} for name in ("keys", "done")))


def listed(log: Path) -> dict[int, str]:
    """The effects in doubt that ``lrm effects`` lists: their numbers and idempotency keys."""
    done = CliRunner().invoke(cli, ["effects", "--json", "--log", str(log)], catch_exceptions=False)
    assert 0 == done.exit_code, done.stderr
    doubtful = [effect for effect in json.loads(done.stdout)["effects"] if effect["state"] == "in_doubt"]
    return {number_of(**{name: one[name] for name in ("name", "occurrence")}): one["key"] for one in doubtful}
