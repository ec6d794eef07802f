"""What one document of leaves takes from another: runs of leaves that both have, and the leaves that only it has.

A run is three numbers: how far from the end of the run before it the first leaf stands that is taken over, how many
are, and how many new ones follow. A base takes nothing over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import eq
from typing import TypeVar

from lrm_actors.actors.checkpoints.leaves import Leaf

T = TypeVar("T")

MAX_LEAVES = 1 << 24
"""Of a document: more would be an attack on the memory of whoever restores it."""


def runs_of(flat: Sequence[Leaf]) -> tuple[list[int], list[Leaf]]:
    """The runs that make a document of the one before it, whose leaves know their place, and the new leaves.

    From here on the leaves know their place in the new one.
    """
    places = [leaf.at for leaf in flat]
    breaks = _breaks(places)
    runs: list[int] = []
    fresh: list[Leaf] = []
    end = first = count = new = 0
    for begin, stop in pairwise((0, *breaks, len(flat))):
        if begin == stop:
            continue
        if places[begin] < 0:
            fresh += flat[begin:stop]
            new += stop - begin
            continue
        if count or new:
            runs += (first - end, count, new)
            end = first + count
        first, count, new = places[begin], stop - begin, 0
    if count or new:
        runs += (first - end, count, new)
    for place, leaf in enumerate(flat):  # only now: one may stand in it twice
        leaf.at = place
    return runs, fresh


def _breaks(places: Sequence[int]) -> list[int]:
    """Where one does not follow the one before it. Nearly all do, so they are passed over without a look at each."""
    follows = bytes(map(eq, places[1:], [at + 1 if at >= 0 else -2 for at in places]))
    breaks: list[int] = []
    at = follows.find(0)
    while at >= 0:
        breaks.append(at + 1)
        at = follows.find(0, at + 1)
    return breaks


def dropped(runs: Sequence[int], old: Sequence[T]) -> list[T]:
    """What is not taken over, in its order: what came in its place is often much like it."""
    taken = sorted((first, first + count) for first, count, _ in _runs(runs) if count)
    gone: list[T] = []
    reached = 0
    for first, end in taken:
        gone += old[reached:first]
        reached = max(reached, end)
    gone += old[reached:]
    return gone


def apply(runs: Sequence[int], old: Sequence[T], fresh: Sequence[T], at_most: int = MAX_LEAVES) -> list[T]:
    """The document that runs make of another.

    Args:
        runs: see ``runs_of``.
        old: the leaves of the other.
        fresh: the new leaves.
        at_most: leaves that it may have.

    Raises:
        ValueError: they do not fit it.
    """
    made: list[T] = []
    used = 0
    for first, count, new in _runs(runs):
        if first + count > len(old) or used + new > len(fresh):
            msg = "it takes over what is not there"
            raise ValueError(msg)
        made += old[first : first + count]
        made += fresh[used : used + new]
        used += new
        if len(made) > min(at_most, MAX_LEAVES):
            msg = f"it has more than {min(at_most, MAX_LEAVES)} leaves"
            raise ValueError(msg)
    if used != len(fresh):
        msg = "it has leaves that stand nowhere"
        raise ValueError(msg)
    return made


def _runs(runs: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """The first leaf of each run, how many are taken over, and how many are new."""
    if len(runs) % 3:
        msg = "its runs are none"
        raise ValueError(msg)
    end = 0
    for at in range(0, len(runs), 3):
        skip, count, new = runs[at : at + 3]
        first = end + skip
        if first < 0 or count < 0 or new < 0:
            msg = "its runs are none"
            raise ValueError(msg)
        yield first, count, new
        end = first + count
