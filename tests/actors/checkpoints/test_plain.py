"""What a state may be made of: the quick way to tell lets nothing through that the careful one refuses."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.actors.checkpoints import plain
from lrm_actors.actors.checkpoints.plain import is_simple, look_through
from lrm_actors.errors import NotCapturable


class Word(str):
    """A text that is none."""

    __slots__ = ()


class Level(enum.IntEnum):
    """A number that is none."""

    LOW = 1


SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text("ab", max_size=30)
STRANGERS = st.sampled_from([(1, 2), {1}, Word("a"), Level.LOW, b"bytes", bytearray(b"b"), decimal.Decimal(1), 1j])
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=4),
    max_leaves=12,
)
ANY = st.recursive(
    SCALARS | STRANGERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab") | st.integers(0, 3), inner, max_size=3),
    max_leaves=10,
)


def told_with_care(value: Any, budget: int) -> bool | None:
    """What ``look_through`` says; None: it refuses the value."""
    try:
        return look_through(value, [], budget=budget)
    except NotCapturable:
        return None


@given(ANY, st.integers(0, 300))
def test_what_is_told_to_be_simple_is_plain_and_small(value: Any, budget: int) -> None:
    """Strangers among the values, subclasses of the plain types, keys that are no text: left to the careful way."""
    assert not is_simple(value, budget) or told_with_care(value, budget)


@given(st.lists(PLAIN, max_size=4), st.integers(0, 300))
def test_both_ways_weigh_alike(value: list[Any], budget: int) -> None:
    """Where a value may be cut does not depend on who looked at it."""
    assert is_simple(value, budget) == told_with_care(value, budget)


def test_what_is_deep_or_no_container_is_left_to_the_careful_way() -> None:
    """It refuses what is nested too deeply, or within itself."""
    deep: list[Any] = []
    for _ in range(plain.FEW_LEVELS + 1):
        deep = [deep]
    within: dict[str, Any] = {}
    within["itself"] = within
    assert [is_simple(one, 10_000) for one in (deep, deep[0], within, "text", 1, dt.date.min)] == [
        False, True, False, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("stranger", [(1, 2), Level.LOW])
def test_a_quick_way_that_lets_strangers_through_is_caught(stranger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the first test sees it."""
    monkeypatch.setattr(plain, "_NUMBERS", frozenset((int, type(stranger))))
    with pytest.raises(AssertionError):
        test_what_is_told_to_be_simple_is_plain_and_small.hypothesis.inner_test([stranger], 300)  # type: ignore[attr-defined]
