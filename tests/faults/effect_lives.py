"""An agent with many lives: for each line on its input it forks a process that goes on with its effects until killed.

Each life does its effects against a real HTTP server, twenty in a step, and writes a line when it is about to call the
server, when that has answered, and when an effect is recorded. Every other step is a durable function that sleeps too.
"""

from __future__ import annotations

import asyncio
import gc
import http.client
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from lrm_actors import LongRunningMode
from lrm_actors.effects import NOT_HAPPENED, Happened, Probe, Retry
from tests.faults import effect_plants
from tests.faults.effect_server import KINDS
from tests.mode_kit import settings

IN_A_STEP = 20
ANSWERS = itertools.count(1)
"""Of the server, in this life."""


@attrs.frozen
class Life:
    """What a life is told."""

    port: int
    steps: int
    planted: str
    directory: Path
    holds: int = 0
    """After the server has answered so often, it does not go on; 0 for never."""

    @property
    def line(self) -> bytes:
        """As it is written."""
        return f"{self.port} {self.steps} {self.planted or '-'} {self.holds} {self.directory}\n".encode()

    @classmethod
    def read(cls, line: str) -> Life:
        """As it is read."""
        port, steps, planted, holds, directory = line.rstrip("\n").split(" ", 4)
        return cls(int(port), int(steps), planted.strip("-"), Path(directory), int(holds))

    def ask(self, method: str, path: str, key: str = "") -> tuple[int, Any]:
        """Ask the server; the status and what it answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20.0)
        try:
            connection.request(method, path, headers={"Idempotency-Key": key})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def deed(self, kind: str, number: int) -> Callable[[str], str]:
        """What one effect does, handed its idempotency key."""

        def send(key: str) -> str:
            say("calling", number)
            _, answer = self.ask("POST", f"/{kind}/{number}", key)
            say("called", number)
            if next(ANSWERS) == self.holds:
                time.sleep(60.0)
            return str(answer["receipt"])

        return send

    def look(self, key: str) -> Any:
        """Find out whether it was done under this key."""
        status, answer = self.ask("GET", f"/probed?key={key}")
        return Happened(answer["receipt"]) if status == 200 else NOT_HAPPENED


def kind_of(number: int) -> str:
    """What kind an effect is of."""
    return KINDS[number % len(KINDS)]


def number_of(step: int, name: str, occurrence: int) -> int:
    """Which effect it is, of all that the agent does."""
    of_kind = [number for number in range((step - 1) * IN_A_STEP, step * IN_A_STEP) if kind_of(number) == name]
    return of_kind[occurrence - 1]


async def live(life: Life) -> None:
    """Do what is left, step by step."""
    effect_plants.plant(life.planted)
    async with LongRunningMode(settings(life.directory)) as mode:

        @mode.task("batch", key=str)
        async def batch(number: int) -> int:
            await do(life, mode, number)
            await mode.sleep(0.001, "between")
            return number

        committed = (await mode.get_health_report())["steps"]["committed"]
        for number in range(1, life.steps + 1):
            if number % 2:
                assert number == await batch(number)  # one that is done gives what it gave
            elif number > committed:
                async with mode.step("batch"):
                    await do(life, mode, number)
        say("finished", life.steps)


async def do(life: Life, mode: LongRunningMode, number: int) -> None:
    """The effects of one step."""
    for effect in range((number - 1) * IN_A_STEP, number * IN_A_STEP):
        kind = kind_of(effect)
        await mode.effect(kind, life.deed(kind, effect), policy=Probe(life.look) if kind == "probed" else Retry())
        say("recorded", effect)


def say(word: str, number: int) -> None:
    """Tell the parent in one write, which a kill cannot cut in two."""
    os.write(1, f"{word} {number}\n".encode())


def main() -> None:
    """Fork a life for each line, say its pid, and wait for its end."""
    gc.freeze()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.run(live(Life.read(line)))
                os._exit(0)
            finally:
                os._exit(1)
        say("pid", pid)
        os.waitpid(pid, 0)
        say("ended", 0)


if __name__ == "__main__":
    main()
