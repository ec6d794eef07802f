"""What changed between two states: enough to make the one of the other, and little where little changed."""

from __future__ import annotations

import copy
import math
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from lrm_actors.inspect import differences as planted
from lrm_actors.inspect.differences import ADDED, CHANGED, REMOVED, Change, differences, path_text

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3)
keys = st.text(max_size=2) | st.integers(0, 3) | st.booleans() | st.none()
states = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=4), max_leaves=15
)


def same(one: Any, other: Any) -> bool:
    """Equal, type by type."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other or (one != one and other != other))  # noqa: PLR0124 - a number that is none


def applied(state: Any, changes: list[Change]) -> Any:
    """A state after its changes: what was removed goes first, from the end of each list on."""
    root = {"": copy.deepcopy(state)}

    def holder(path: tuple[Any, ...]) -> tuple[Any, Any]:
        found: Any = root
        for key in ("", *path)[:-1]:
            found = found[key]
        return found, ("", *path)[-1]

    for change in reversed([one for one in changes if one.kind == REMOVED]):
        where, key = holder(change.path)
        del where[key]
    for change in changes:
        where, key = holder(change.path)
        if change.kind == CHANGED:
            where[key] = change.after
        elif change.kind == ADDED and isinstance(where, list):
            where.insert(key, change.after)
        elif change.kind == ADDED:
            where[key] = change.after
    return root[""]


confusing = st.sampled_from([0, False, 0.0, "", b"", None, math.nan])
alike = st.recursive(
    confusing,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("k"), inner, max_size=1),
    max_leaves=3,
)


@hypothesis.given(alike, alike)
def test_there_is_none_exactly_where_two_states_are_the_same(one: Any, other: Any) -> None:
    """By type too: 1 is neither 1.0 nor True."""
    assert same(one, other) == (differences(one, other) == [])
    assert [] == differences(one, copy.deepcopy(one))


@hypothesis.given(st.dictionaries(st.text(max_size=2), scalars | st.lists(scalars, max_size=6)), st.data())
def test_the_changes_make_the_one_state_of_the_other(before: Any, data: st.DataObject) -> None:
    """Nothing that changed is left out."""
    after = copy.deepcopy(before)
    for _ in range(data.draw(st.integers(0, 5))):
        edit(after, data)
    assert same(after, applied(before, differences(before, after)))


def edit(state: dict[str, Any], data: st.DataObject) -> None:
    """Put something in, take something out, or change it, as an agent does."""
    key = data.draw(st.sampled_from([*state, "new"]))
    held = state.get(key)
    if isinstance(held, list) and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(held)))
        if at < len(held) and data.draw(st.booleans()):
            del held[at]
        else:
            held.insert(at, data.draw(scalars))
    elif data.draw(st.booleans()):
        state[key] = data.draw(scalars)
    else:
        state.pop(key, None)


def test_a_list_that_grows_and_loses_its_oldest_tells_just_that() -> None:
    """And not that each of its places holds something else now."""
    before = {"history": [{"step": n} for n in range(50)]}
    after = {"history": [*before["history"][1:], {"step": 50}]}
    assert [
        Change(("history", 0), REMOVED, before={"step": 0}),
        Change(("history", 49), ADDED, after={"step": 50}),
    ] == differences(before, after)


def test_a_change_inside_an_entry_is_told_inside_it() -> None:
    """With its path, as one would write it."""
    before = {"agent_state": {"history": [{"url": "a", "ok": True}, {"url": "b"}]}}
    after = {"agent_state": {"history": [{"url": "a", "ok": False}, {"url": "b"}]}}
    (change,) = differences(before, after)
    assert ("agent_state.history[0].ok", CHANGED, True, False) == (
        change.where,
        change.kind,
        change.before,
        change.after,
    )


def test_it_is_bounded() -> None:
    """However much changed, and whatever is in the lists."""
    before, after = list(range(5_000)), list(range(5_000, 10_000))
    assert 1_000 == len(differences(before, after))
    assert 3 == len(differences(before, after, limit=3))
    assert [] == differences([2**70, math.nan], [2**70, math.nan])
    assert [CHANGED, ADDED] == [one.kind for one in differences([2**70], [2**71, 1])]


@pytest.mark.parametrize(
    ("path", "text"),
    [((), "."), (("a", 3, "b"), "a[3].b"), (("a key", 1), "['a key'][1]"), ((None, True), "[None][True]")],
)
def test_a_path_is_written_as_one_would_write_it(path: tuple[Any, ...], text: str) -> None:
    """A key that is no name stands in brackets."""
    assert text == path_text(path)


def test_a_comparison_that_takes_true_for_one_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The property above sees it."""
    monkeypatch.setattr(planted, "_same", lambda before, after: before == after)
    with pytest.raises((AssertionError, ExceptionGroup)):
        test_there_is_none_exactly_where_two_states_are_the_same()
