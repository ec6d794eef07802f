from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.hosts.browser_use import judging
from tests.hosts.browser_use.conftest import Run
from tests.hosts.browser_use.scripted import STEPS


def test_the_undisturbed_run_takes_each_step_once(undisturbed: Run) -> None:
    """It is what everything else is compared with, so it has to be right itself."""
    result = undisturbed.result
    assert result["is_done"]
    assert STEPS == len(result["history"]) == result["asked"]
    assert set(undisturbed.books["counts"].values()) == {1}
    assert undisturbed.books["orders"]["quince"] == ["apple", "pear", "plum", "quince"]
    assert judging.differences(result, result) == []


PLANTED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a step forgotten": lambda run: (run["history"].pop(5), run["memory"].pop(6)),
    "an error that never was": lambda run: run["memory"].insert(
        7, "<step>\nAgent failed to output in the right format."
    ),
    "a step taken twice": lambda run: run["history"].insert(6, run["history"][6]),
    "a basket that was emptied": lambda run: run["memory"].__setitem__(8, run["memory"][8].replace("apple,", "")),
    "a tab that was not opened again": lambda run: run["history"][9]["state"]["tabs"].pop(),
    "a page that is not the one": lambda run: run["history"][4]["state"].update(url="about:blank"),
    "a file without its second line": lambda run: run["files"].update({"notes.md": "ada is signed in\n"}),
    "an agent that counts from 1": lambda run: run.update(n_steps=3),
}


@pytest.mark.parametrize("what", PLANTED)
def test_whatever_a_resumed_agent_got_wrong_is_seen(undisturbed: Run, what: str) -> None:
    """Each of these happened to somebody's checkpoints."""
    wrong = copy.deepcopy(undisturbed.result)
    PLANTED[what](wrong)
    assert judging.differences(wrong, undisturbed.result)


def test_a_repeat_that_nobody_was_told_of_is_seen(undisturbed: Run) -> None:
    """A request that came once more is forgiven only where its step had an action in doubt."""
    books = copy.deepcopy(undisturbed.books)
    books["counts"]["PUT /orders/plum"] += 1
    repeats = judging.repeated(books, undisturbed.books)
    assert repeats == {"PUT /orders/plum": 1}
    assert judging.unreported(repeats, [10]) == []
    assert judging.unreported(repeats, [8]) == ["PUT /orders/plum came 1 times more, in doubt 0 times"]


def test_an_effect_that_is_missing_is_seen(undisturbed: Run) -> None:
    """So is one with a basket that was rolled back."""
    books = copy.deepcopy(undisturbed.books)
    del books["orders"]["apple"]
    assert judging.effect_differences(books, undisturbed.books)
    books = copy.deepcopy(undisturbed.books)
    books["orders"]["plum"] = ["plum"]
    assert judging.effect_differences(books, undisturbed.books)
