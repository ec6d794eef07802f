"""The ways in which the change of a state is found, and what a host says of its own changes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

COMPARE, IDENTITY, MARKS = "compare", "identity", "marks"
WAYS = (COMPARE, IDENTITY, MARKS)
"""The safest first: everything is compared; a frozen object that is the same is unchanged; what is not marked is."""

Marks = Mapping[Any, Any]
"""What the host marked, by key: the marks below it, or None: all of it."""


def marks_of(paths: Iterable[tuple[Any, ...]]) -> Marks | None:
    """The marks that these paths are, each of keys and indexes; the empty path marks everything."""
    marks: dict[Any, Any] = {}
    for path in paths:
        if not path:
            return None
        level = marks
        for key in path[:-1]:
            below = level.setdefault(key, {})
            if below is None:
                break
            level = below
        else:
            level[path[-1]] = None
    return marks
