"""A host that never keeps still: it changes its state the moment it may, and no checkpoint ever mixes two moments.

Steps change what only steps may change, as soon as the capture lets them begin. Other tasks change what is declared
shared at any time, between any two slices of the cut. Each checkpoint must hold what was so at one instant.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from lrm_actors.mode import LongRunningMode
from tests.mode_kit import settings

CHECKPOINTS, CHECKPOINTS_FOR_RELEASE = 12, 400
ROUNDS = 10
"""Of so many checkpoints each, until a planted bug is seen."""
STEPS = 300
"""Entries of the history at the start, of 4 KB each: the cut takes several slices."""
TOTAL = 10_000
"""What is in all accounts together, whatever is moved between them."""
SHARED = ("ledger", "mirror")
Sampled = dict[str, float]


@attrs.define
class Bank:
    """The host: its parts agree with each other at every instant at which it lets go of the thread."""

    chance: random.Random = attrs.Factory(lambda: random.Random(8))
    state: dict[str, Any] = attrs.field(init=False)
    moves: int = 0
    """Of what is shared."""
    steps: int = 0

    def __attrs_post_init__(self) -> None:
        self.state = {
            "ledger": {"moves": 0, "accounts": {f"a{number}": TOTAL // 100 for number in range(100)}},
            "counter": STEPS,
            "history": [self._entry(number) for number in range(STEPS)],
            "accounts": [TOTAL // 100] * 100,
            "mirror": {"moves": 0},
        }

    def _entry(self, number: int) -> dict[str, Any]:
        return {"number": number, "text": f"{self.chance.random()} " * 220, "done": [True, {"in": number}]}

    def step(self) -> None:
        """What a step changes."""
        state = self.state
        for _ in range(3):
            state["history"].append(self._entry(len(state["history"])))
            state["counter"] += 1
        del state["history"][self.chance.randrange(len(state["history"]))]
        state["counter"] -= 1
        giver, taker = self.chance.sample(range(100), 2)
        state["accounts"][giver] -= 7
        state["accounts"][taker] += 7
        self.steps += 1

    def move(self) -> None:
        """What any task changes at any time."""
        ledger = self.state["ledger"]
        giver, taker = self.chance.sample(list(ledger["accounts"]), 2)
        ledger["accounts"][giver] -= 7
        ledger["accounts"][taker] += 7
        ledger["moves"] += 1
        self.state["mirror"]["moves"] += 1
        self.moves += 1


def torn(state: dict[str, Any]) -> list[str]:
    """What in a restored state is not of one instant."""
    found = []
    if state["counter"] != len(state["history"]):
        found.append(f"a counter of {state['counter']} for {len(state['history'])} entries")
    if sum(state["accounts"]) != TOTAL:
        found.append(f"{sum(state['accounts'])} in the accounts")
    if sum(state["ledger"]["accounts"].values()) != TOTAL:
        found.append(f"{sum(state['ledger']['accounts'].values())} in the ledger")
    if state["ledger"]["moves"] != state["mirror"]["moves"]:
        found.append(f"{state['ledger']['moves']} moves in the ledger, {state['mirror']['moves']} in the mirror")
    return found


@attrs.define
class Counts:
    """What happened."""

    checkpoints: int = 0
    steps: int = 0
    moves: int = 0
    moments: int = 0
    """Different ones that were captured."""
    torn: list[str] = attrs.Factory(list)

    def look(self, state: dict[str, Any]) -> None:
        """Judge a checkpoint."""
        self.checkpoints += 1
        self.torn += torn(state)


async def on_a_loop(directory: Path, many: int, **options: Any) -> Counts:
    """Checkpoints of a host on an event loop, with one task that steps and two that move what is shared."""
    bank, counts = Bank(), Counts()
    mode = LongRunningMode(settings(directory, max_checkpoints=many + 10))
    mode.capture_with(lambda: bank.state, **options)
    restored: list[Any] = []
    mode.restore_with(restored.append)
    over = asyncio.Event()

    async def step() -> None:
        while not over.is_set():
            async with mode.step("step"):
                bank.step()

    async def move() -> None:
        while not over.is_set():
            bank.move()
            await asyncio.sleep(0)

    async with mode:
        tasks = [asyncio.ensure_future(one()) for one in (step, move, move)]
        ids = [await mode.take_checkpoint() for _ in range(many)]
        over.set()
        await asyncio.gather(*tasks)
        _judge(counts, bank, ids, restored, [await mode.recover_from_checkpoint(one) for one in ids])
    return counts


def on_threads(directory: Path, many: int, **options: Any) -> Counts:
    """Checkpoints of a host without a loop, with a thread that steps all the time."""
    bank, counts = Bank(), Counts()
    mode = LongRunningMode(settings(directory, max_checkpoints=many + 10))
    mode.capture_with(lambda: bank.state, **options)
    restored: list[Any] = []
    mode.restore_with(restored.append)
    over = threading.Event()
    with mode as blocking:

        def step() -> None:
            while not over.is_set():
                with blocking.step("step"):
                    bank.step()

        thread = threading.Thread(target=step)
        thread.start()
        ids = [blocking.take_checkpoint() for _ in range(many)]
        over.set()
        thread.join()
        _judge(counts, bank, ids, restored, [blocking.recover_from_checkpoint(one) for one in ids])
    return counts


def _judge(counts: Counts, bank: Bank, ids: list[str], restored: list[Any], answers: list[bool]) -> None:
    assert all(answers), "one could not be restored"
    assert len(ids) == len(restored)
    for state in restored:
        counts.look(state)
    counts.steps, counts.moves = bank.steps, bank.moves
    counts.moments = len({(state["counter"], state["ledger"]["moves"]) for state in restored})


Host = Callable[[Path, int], Counts]


def loop_host(directory: Path, many: int) -> Counts:
    """On a loop, with what is shared declared."""
    return asyncio.run(on_a_loop(directory, many, shared=SHARED))


@pytest.mark.parametrize("host", [loop_host, on_threads], ids=["loop", "threads"])
def test_no_checkpoint_mixes_two_moments(host: Host, tmp_path: Path, sampled: Sampled, release: bool) -> None:
    """However soon the state is changed after, and whatever other tasks do in between."""
    counts = host(tmp_path, CHECKPOINTS_FOR_RELEASE if release else CHECKPOINTS)
    print(counts)
    assert [] == counts.torn
    assert counts.moments > counts.checkpoints // 2, "the host kept too still to prove anything"
    assert counts.steps > counts.checkpoints // 2


def test_planted_shared_parts_that_are_not_declared_are_caught(tmp_path: Path, sampled: Sampled) -> None:
    """What other tasks change between two slices is torn, if nobody says that they may."""
    for number in range(ROUNDS):
        counts = asyncio.run(on_a_loop(tmp_path / str(number), CHECKPOINTS))
        if counts.torn:
            break
    print(counts)
    assert counts.torn
