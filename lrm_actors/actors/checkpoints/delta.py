"""What one document of leaves takes from another: runs of leaves that both have, and the leaves that only it has.

A run is three numbers: how far from the end of the run before it the first leaf stands that is taken over, how many
are, and how many new ones follow. A base takes nothing over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import eq, is_
from typing import TypeVar

T = TypeVar("T")

MAX_LEAVES = 1 << 24
"""Of a document: more would be an attack on the memory of whoever restores it."""


def runs_of(flat: Sequence[T], old: Sequence[T]) -> tuple[list[int], list[T]]:
    """The runs that make a document of another one, and its new leaves: those that are no objects of the other's."""
    runs: list[int] = []
    fresh: list[T] = []
    end = first = count = new = 0
    for begin, stop, place in _in_order(flat, old) or _anywhere(flat, old):
        if place < 0:
            fresh += flat[begin:stop]
            new += stop - begin
            continue
        if count or new:
            runs += (first - end, count, new)
            end = first + count
        first, count, new = place, stop - begin, 0
    if count or new:
        runs += (first - end, count, new)
    return runs, fresh


_Piece = tuple[int, int, int]
"""Where leaves begin and end that stand in a row in both, and where they stand in the other; -1: they are new."""


def _in_order(flat: Sequence[T], old: Sequence[T]) -> list[_Piece] | None:
    """The pieces of a document that was changed here and there, and became longer or shorter at some place.

    Nearly all are so. Then all leaves before that place stand where they stood, and all behind it as far from the end,
    and are passed over without a look at each. None: leaves of the other stand elsewhere.
    """
    longer = len(flat) - len(old)
    before = bytes(map(is_, flat, old))
    place = before.rfind(1) + 1
    behind = max(place, place + longer)
    after = bytes(map(is_, flat[behind:], old[behind - longer :]))
    pieces: list[_Piece] = []
    new, gone = [*flat[place:behind]], [*old[place : behind - longer]]
    if new:
        pieces.append((place, behind, -1))
    for stands, begins, earlier in ((before[:place], 0, 0), (after, behind, longer)):
        for begin, stop, is_there in _stretches(stands, begins):
            pieces.append((begin, stop, begin - earlier if is_there else -1))
            if not is_there:
                new += flat[begin:stop]
                gone += old[begin - earlier : stop - earlier]
    moved = {id(leaf) for leaf in gone}.intersection(map(id, new))
    return None if moved else sorted(pieces)


def _stretches(stands: bytes, begins: int) -> Iterator[tuple[int, int, int]]:
    """Where leaves begin and end that all stand in the other document, or all do not, and whether they do."""
    at = 0
    while at < len(stands):
        stop = stands.find(not stands[at], at)
        stop = len(stands) if stop < 0 else stop
        yield begins + at, begins + stop, stands[at]
        at = stop


def _anywhere(flat: Sequence[T], old: Sequence[T]) -> list[_Piece]:
    """The pieces of any document."""
    place_of = {id(leaf): at for at, leaf in enumerate(old)}
    places = [place_of.get(id(leaf), -1) for leaf in flat]
    return [(begin, stop, places[begin]) for begin, stop in pairwise((0, *_breaks(places), len(flat))) if begin < stop]


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
