"""An agent with many lives: for each line on its input it forks a process that goes on with its effects until killed.

Each life does its effects against a real HTTP server, twenty in a batch, and writes a line when it is about to call the
server, when that has answered, and when an effect is recorded. Of three batches one is a step with a key, which fails
in its middle and begins again when the others are done, one a durable function that sleeps too, and one a plain step.
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
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import attrs

from lrm_actors import LongRunningMode
from lrm_actors.domain.journal import StepCommitted
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


def name_of(number: int) -> str:
    """What an effect is called: several of a batch have the same name. Its batch may be another step after a kill."""
    return f"{kind_of(number)} of {number // IN_A_STEP + 1}"


def number_of(name: str, occurrence: int) -> int:
    """Which effect it is, of all that the agent does."""
    batch = int(name.rpartition(" ")[2])
    of_name = [number for number in effects_of(batch) if name_of(number) == name]
    return of_name[occurrence - 1]


def effects_of(batch: int) -> range:
    """The effects of a batch, from 1."""
    return range((batch - 1) * IN_A_STEP, batch * IN_A_STEP)


async def live(life: Life) -> None:
    """Do what is left, step by step."""
    effect_plants.plant(life.planted)
    async with LongRunningMode(settings(life.directory)) as mode:

        @mode.task("batch", key=str)
        async def batch(number: int) -> int:
            await do(life, mode, effects_of(number))
            await mode.sleep(0.001, "between")
            return number

        async def keyed(number: int, *, fails: bool) -> None:
            effects = effects_of(number)
            with suppress(Failed):
                async with mode.step("batch", key=str(number)) as step:
                    step.result = number
                    await do(life, mode, effects[: IN_A_STEP // 2])
                    if fails:
                        raise Failed
                    await do(life, mode, effects[IN_A_STEP // 2 :])

        done = _done(mode)
        later = [number for number in range(1, life.steps + 1) if number % 3 == 1 and number not in done]
        for number in _in_order(mode, life.steps):
            if number % 3 == 1 and number in later:
                await keyed(number, fails=True)
            elif number % 3 == 2:
                assert number == await batch(number)  # one that is done gives what it gave
            elif number % 3 == 0 and number not in done:
                async with mode.step("plain batch") as step:
                    step.result = number
                    await do(life, mode, effects_of(number))
        for number in later:
            await keyed(number, fails=False)
        say("finished", life.steps)


class Failed(Exception):
    """A batch cannot be done now."""


def _done(mode: LongRunningMode) -> set[int]:
    """The batches whose steps are committed."""
    with closing(mode.reader()) as log:
        ends = (record.event for record in log.read_stream("journal") if record.type == "journal.step_committed")
        return {int(end.result) for end in ends if isinstance(end, StepCommitted)}


def _in_order(mode: LongRunningMode, batches: int) -> list[int]:
    """All batches, but first the plain step that a kill left in doubt: no other may begin before it."""
    done, doubtful = _done(mode), mode.blocking.get_health_report()["steps"]["in_doubt"]
    numbers = list(range(1, batches + 1))
    if doubtful and doubtful["name"] == "plain batch":
        first = next(number for number in numbers if number % 3 == 0 and number not in done)
        return [first, *(number for number in numbers if number != first)]
    return numbers


async def do(life: Life, mode: LongRunningMode, numbers: Iterable[int]) -> None:
    """These effects."""
    for number in numbers:
        kind = kind_of(number)
        policy = Probe(life.look) if kind == "probed" else Retry()
        await mode.effect(name_of(number), life.deed(kind, number), policy=policy)
        say("recorded", number)


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
