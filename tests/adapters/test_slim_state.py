from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.adapters.browser_use import slim


def state(steps: int, **more: Any) -> dict[str, Any]:
    """A state after so many steps."""
    history = [item(number) for number in range(1, steps + 1)]
    last = {name: history[-1][name] for name in ("model_output", "result")} if history else None
    agent = {
        "n_steps": steps + 1,
        "task": "watch",
        "history": history,
        "memory": [{"step_number": number, "memory": f"did {number}"} for number in range(steps)],
        "actions_seen": [f"h{number}" for number in range(max(0, steps - 20), steps)],
        "pages_seen": [],
        "files": {"todo.md": {"type": "MarkdownFile", "data": {"name": "todo", "content": "line\n" * steps}}},
        "last": last,
    }
    return {"agent_state": {**agent, **more}, "browser_state": {"tabs": [f"tab {steps}"], "cookies": ["one"]}}


def item(number: int) -> dict[str, Any]:
    """A step of the history."""
    return {
        "model_output": {"memory": f"m{number}"},
        "result": [{"extracted_content": "x" * 50}],
        "state": {"url": "u"},
    }


def stored(value: Any) -> Any:
    """As it comes back from the log."""
    return json.loads(json.dumps(value))


def test_what_a_step_changed_makes_the_state_after_it() -> None:
    """From nothing to a thousand steps, by way of what each of them told."""
    now = slim.empty()
    for steps in range(60):
        changes = stored(slim.delta(now, state(steps)))
        now = slim.apply(now, changes)
        assert state(steps) == now


def test_a_step_costs_the_same_after_a_thousand_steps() -> None:
    """What is told does not grow with what was told before."""
    early = len(json.dumps(slim.delta(state(30), state(31))))
    late = len(json.dumps(slim.delta(state(1000), state(1001))))
    assert abs(late - early) < 40


def test_what_did_not_change_is_not_told() -> None:
    """Nothing at all, where nothing did."""
    assert slim.delta(state(5), copy.deepcopy(state(5))) == {}


def test_the_last_decision_is_not_told_twice() -> None:
    """It stands in the newest item of the history, except where that item is missing."""
    assert slim.delta(state(5), state(6))["last"] == "history"
    failed = state(6, last={"model_output": None, "result": [{"error": "timed out"}]})
    assert slim.delta(state(5), failed)["last"] == {"model_output": None, "result": [{"error": "timed out"}]}


def test_a_memory_that_was_summed_up_is_told_by_what_is_left_of_it() -> None:
    """The first item and the last six stay, when a summary takes the place of the others."""
    before, after = state(40), state(40)
    memory = after["agent_state"]["memory"]
    after["agent_state"]["memory"] = [memory[0], *memory[-6:]]
    changes = stored(slim.delta(before, after))
    assert len(changes["lists"]["memory"]["add"]) == 6
    assert slim.apply(before, changes) == after


def test_a_state_is_never_changed_in_place() -> None:
    """Whoever has an older one, as a checkpoint that is being taken, keeps what it was."""
    before = state(5)
    kept = copy.deepcopy(before)
    slim.apply(before, slim.delta(before, state(9)))
    assert kept == before


file_states = st.dictionaries(
    st.sampled_from(["a.md", "b.txt", "c.csv"]),
    st.text(max_size=6).map(lambda text: {"type": "TxtFile", "data": {"name": "a", "content": text}}),
    max_size=3,
)


@given(file_states, file_states, st.lists(st.integers(0, 3), max_size=6), st.lists(st.integers(0, 3), max_size=6))
def test_any_two_states_are_told_apart(
    old_files: dict[str, Any], new_files: dict[str, Any], old: list[int], new: list[int]
) -> None:
    """Whatever a step did to files and lists, applying what is told of it gives the state after it."""
    before, after = state(2, files=old_files, actions_seen=old), state(3, files=new_files, actions_seen=new)
    assert slim.apply(before, stored(slim.delta(before, after))) == after
