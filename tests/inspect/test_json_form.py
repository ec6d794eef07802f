"""A checkpoint's state in JSON: everything that it may hold, and back again."""

from __future__ import annotations

import json
import math
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from lrm_actors.inspect.json_form import from_json_form, to_json_form
from tests.inspect.test_differences import same

words = st.sampled_from(["$bytes", "$float", "$map"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3) | words
keys = st.text(max_size=2) | words | st.integers(0, 3) | st.booleans() | st.none() | st.floats(allow_nan=False)
states = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=3), max_leaves=15
)


@hypothesis.given(states)
def test_nothing_is_lost_on_the_way(state: Any) -> None:
    """Not bytes, not numbers that JSON lacks, not keys that are no text, and nothing that looks like our own words."""
    written = json.dumps(to_json_form(state), allow_nan=False)
    assert same(state, from_json_form(json.loads(written)))


def test_what_json_has_words_for_is_written_as_it_is() -> None:
    """Somebody who reads it sees the state."""
    state = {"task": "look", "seen": [1, 2.5, None, True], "$bytes": 1, "picture": b"\x00\xff", "worst": -math.inf}
    assert {
        "task": "look",
        "seen": [1, 2.5, None, True],
        "$bytes": 1,
        "picture": {"$bytes": "AP8="},
        "worst": {"$float": "-inf"},
    } == to_json_form(state)
    assert {"$map": [[1, "a"], ["1", "b"]]} == to_json_form({1: "a", "1": "b"})


@pytest.mark.parametrize(
    "form",
    [{"$bytes": "=?"}, {"$float": "one"}, {"$float": []}, {"$map": [1]}, {"$map": {}}, {"$map": [[[], 1]]}],
)
def test_what_is_no_such_form_is_refused(form: Any) -> None:
    """With one error."""
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever text
        from_json_form(form)
