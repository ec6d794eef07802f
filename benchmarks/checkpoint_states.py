"""The states of an agent that the benchmarks of checkpoints keep, and how a step changes them.

A browser agent's: a task, a history of steps of about 5 KB each, what it remembers, its cookies, where it is. All of it
nested dicts and lists that are changed in place. The text is made of words that compress about as well as prose does
(zstd level 1: 2.6 times).
"""

from __future__ import annotations

import random
from typing import Any

import attrs

KB, MB = 1_000, 1_000_000
STEP_BYTES = 5 * KB
"""A step of the history, packed."""
SHARE = 0.01
"""Of the state's bytes that a step changes."""
_LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
_MADE = random.Random(1)
WORDS = tuple("".join(_MADE.choices(_LETTERS, weights=range(26, 0, -1), k=_MADE.randint(2, 10))) for _ in range(2_000))

State = dict[str, Any]
Path = tuple[Any, ...]
"""Keys and indexes, from the top of a state."""


@attrs.frozen
class Changes:
    """What a step changed."""

    steps: dict[int, dict[str, Any]]
    """Steps of the history that are new or changed, by their index."""
    paths: list[Path]
    """Where anything was changed."""


def text(chance: random.Random, size: int) -> str:
    """About so many bytes of words."""
    return " ".join(chance.choices(WORDS, k=max(1, size * 10 // 66)))


def new_step(number: int, chance: random.Random, size: int = STEP_BYTES) -> dict[str, Any]:
    """A step of the history."""
    return {
        "number": number,
        "url": f"https://example.org/{chance.choice(WORDS)}/{chance.randrange(10**6)}",
        "thought": text(chance, size // 10),
        "dom": text(chance, size * 7 // 10),
        "actions": [
            {"kind": "click", "index": chance.randrange(400), "x": chance.random() * 1280, "wait": False},
            {"kind": "type", "index": chance.randrange(400), "text": text(chance, size // 50), "wait": True},
        ],
        "result": {"ok": True, "took_s": chance.random(), "extracted": text(chance, size // 10), "error": None},
    }


def new_state(size: int, seed: int = 0) -> State:
    """A state of about so many bytes, packed."""
    chance = random.Random(seed)
    memory = {f"fact {number}": _fact(chance) for number in range(200)}
    cookies = [_cookie(number, chance) for number in range(100)]
    return {
        "task": text(chance, 500),
        "history": [new_step(number, chance) for number in range(max(1, (size - 50 * KB) // STEP_BYTES))],
        "memory": memory,
        "cookies": cookies,
        "cursor": {"step": 0, "page": {"scroll": 0, "tab": 1}, "retries": [0, 0, 0]},
    }


def _fact(chance: random.Random) -> dict[str, Any]:
    return {"value": text(chance, 100), "score": chance.random(), "seen": [chance.randrange(10_000) for _ in range(4)]}


def _cookie(number: int, chance: random.Random) -> dict[str, Any]:
    value = f"{chance.getrandbits(128):032x}"
    return {"name": f"c{number}", "value": value, "domain": ".example.org", "expires": chance.random() * 1e9}


def change(state: State, chance: random.Random, size: int) -> Changes:
    """Change 1 % of a state of so many bytes, in place: a new step, and steps anywhere in the history written again."""
    history = state["history"]
    indexes = [chance.randrange(len(history)) for _ in range(round(size * SHARE / STEP_BYTES) - 1)]
    for index in indexes:
        history[index].update(new_step(index, chance))
    indexes.append(len(history))
    history.append(new_step(len(history), chance))
    facts = [f"fact {number}" for number in chance.sample(range(200), 10)]
    for fact in facts:
        state["memory"][fact]["score"] = chance.random()
        state["memory"][fact]["seen"].append(len(history))
    cookies = chance.sample(range(100), 2)
    for number in cookies:
        state["cookies"][number] = _cookie(number, chance)
    _go_on(state)
    places: list[Path] = [("history", index) for index in indexes]
    places += [("memory", fact) for fact in facts] + [("cookies", number) for number in cookies] + [("cursor",)]
    return Changes({index: history[index] for index in indexes}, places)


def grow(state: State, chance: random.Random, size: int = KB) -> dict[str, Any]:
    """Let a state grow by so many bytes, in place; the step that is new in it."""
    step = new_step(len(state["history"]), chance, size - 200)
    state["history"].append(step)
    _go_on(state)
    return step


def touch(state: State, chance: random.Random) -> None:
    """Change about 1 KB of a state, in place; its size stays."""
    step = chance.choice(state["history"])
    step["thought"], step["result"]["extracted"] = text(chance, KB // 2), text(chance, KB // 2)
    _go_on(state)


def _go_on(state: State) -> None:
    state["cursor"]["step"] += 1
    state["cursor"]["page"]["scroll"] = state["cursor"]["step"] * 40 % 2000
