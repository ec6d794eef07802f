"""A state of an older version becomes one of the host's, or an error says what to do, and nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lrm_actors.errors import StateNotUpcast, StateTooNew, UpcasterFailed, UpcasterMissing
from lrm_actors.hosting.upcasting import upcast, wanted_version

ID = "checkpoint_0000000000001_00000000"


def tell(*seen: int) -> Mapping[int, Any]:
    """Upcasters that note which of them were called."""
    return {version: lambda state, version=version: [*state, version] for version in seen}


def test_each_version_is_taken_to_the_next() -> None:
    """In order, none left out; one of the host's own version is left alone."""
    assert [1, 2, 3] == upcast([], 1, 4, tell(1, 2, 3), checkpoint_id=ID)
    assert [2, 3] == upcast([], 2, 4, tell(1, 2, 3), checkpoint_id=ID)
    assert [] == upcast([], 4, 4, tell(1, 2, 3, 4), checkpoint_id=ID)


def test_a_host_that_captures_nothing_gets_what_its_upcasters_lead_to() -> None:
    """Without any it gets the state as it is."""
    assert 4 == wanted_version(1, None, tell(1, 2, 3))
    assert 7 == wanted_version(7, None, {})
    assert [] == upcast([], 7, None, {}, checkpoint_id=ID)


def test_a_state_newer_than_the_host_is_refused() -> None:
    """It says which release to start."""
    with pytest.raises(StateTooNew, match=f"the state in {ID} is of version 5, the host's is of version 4") as raised:
        upcast([], 5, 4, tell(1), checkpoint_id=ID)
    assert "start the release" in raised.value.hint


def test_a_missing_upcaster_is_named_before_any_is_called() -> None:
    """So that none of them has changed anything."""
    called: list[int] = []
    with pytest.raises(UpcasterMissing, match="no upcaster from version 2 to 3") as raised:
        upcast([], 1, 4, {1: called.append, 3: called.append}, checkpoint_id=ID)
    assert 2 == raised.value.missing
    assert "upcasters={2: function}" in raised.value.hint
    assert [] == called


async def later(state: Any) -> Any:
    """What must not be one."""
    return state


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda state: state["pages"], "TypeError: list indices must be"),
        (later, "it is async, and must be a plain"),
        (lambda state: state.append("page"), "it gives None, and must give the state"),
    ],
)
def test_an_upcaster_that_fails_is_named(function: Any, why: str) -> None:
    """With its own error as the cause."""
    with pytest.raises(UpcasterFailed, match=f"from version 1 to 2 failed: {why}") as raised:
        upcast([], 1, 2, {1: function}, checkpoint_id=ID)
    assert isinstance(raised.value, StateNotUpcast)
    assert 1 == raised.value.failed
