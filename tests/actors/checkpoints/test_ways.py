"""Whatever a host does to its state, marks and objects included, is in the next cut, to the type of each value."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from lrm_actors.actors.checkpoints import sizes
from lrm_actors.actors.checkpoints.cutting import Cutter
from lrm_actors.actors.checkpoints.marking import IDENTITY, MARKS, WAYS, marks_of
from lrm_actors.actors.checkpoints.plain import unpack
from tests.actors.checkpoints.kit import document
from tests.actors.checkpoints.test_cutting import TINY

SCALARS: tuple[Any, ...] = (
    "x" * 5, "y" * 30, "é" * 20, b"z" * 50, b"w" * 10, 1, True, 1.0, 0, False, 0.0, -0.0, None, 2**70, -5, "", math.nan,
)  # fmt: skip
KEYS: tuple[Any, ...] = ("a", "b", "c", 0, 1, 2, True, 1.0, -1, None, 0.0, -0.0, "x" * 30)
Path = tuple[Any, ...]


@attrs.frozen
class Still:
    inner: Any
    pair: Any


@attrs.define
class Moving:
    inner: Any


@pytest.mark.parametrize("way", WAYS)
def test_any_edit_in_any_way_is_in_the_next_cut(way: str, release: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marked where it is made. What the way of identity cannot see is seen by its check."""
    for name, value in TINY.items():
        monkeypatch.setattr(sizes, name, value)
    seeds, cuts = 300 if release else 15, 0
    for seed in range(seeds):
        chance = random.Random(seed)
        state = {
            "list": [_value(chance, 1) for _ in range(12)],
            "dict": {str(n): _value(chance, 1) for n in range(12)},
            "any": _value(chance, 0),
        }
        root = Cutter(way=way).at_once(state).root
        for _ in range(10):
            marks = [_edit(chance, state) for _ in range(chance.choice((1, 1, 2, 5)))]
            check = way == IDENTITY or chance.random() < 0.3
            cutter = Cutter(root, way=way, marks=marks_of(marks) if way == MARKS else None, check=check)
            made = cutter.at_once(state)
            assert repr(unpack(document(made.root))) == repr(_plain(state)), (seed, marks)
            assert way == IDENTITY or made.missed == (), (seed, marks)
            root, cuts = made.root, cuts + 1
    print(f"\nhistories of edits cut in the way of {way}: {seeds}, {cuts} cuts")


def _value(chance: random.Random, depth: int, *, loose: bool = False) -> Any:
    sort = chance.random()
    if depth > 3 or sort < 0.4:
        return chance.choice(SCALARS)
    size = chance.choice((0, 1, 3, 9, 20))
    if sort < 0.6:
        return [_value(chance, depth + 1, loose=loose) for _ in range(size)]
    if sort < 0.85:
        keys = [chance.choice(KEYS) if chance.random() < 0.5 else chance.randrange(40) for _ in range(size)]
        return {key: _value(chance, depth + 1, loose=loose) for key in keys}
    inner = _value(chance, depth + 1, loose=True)
    return Still(inner, (1, 2)) if sort < 0.93 else Moving(inner)


def _edit(chance: random.Random, state: Any) -> Path:
    """Change something, and say where."""
    where, path = chance.choice(list(_containers(state, ())))
    new, what = _value(chance, 2), chance.random()
    if type(where) is list:
        index = chance.randrange(len(where)) if where else 0
        if what < 0.3 or not where:
            where.append(new)
            return path if chance.random() < 0.3 else (*path, len(where) - 1)
        if what < 0.6:
            where[index] = new
            return (*path, index if chance.random() < 0.8 else index - len(where))
        if what < 0.8:
            del where[index]
        else:
            where.insert(index, new)
        return path
    key = chance.choice(list(where) if where and what >= 0.6 else KEYS)
    if what < 0.6 or not where:
        where[key] = new
        return (*path, key)
    taken = where.pop(key)
    if what >= 0.8:
        where[key] = taken  # at the end
    return path


def _containers(value: Any, path: Path) -> Iterator[tuple[Any, Path]]:
    if type(value) in (list, dict):
        yield value, path
    for key, one in _inside(value):
        yield from _containers(one, (*path, key))


def _inside(value: Any) -> Iterator[tuple[Any, Any]]:
    if type(value) is dict:
        return iter(value.items())
    if type(value) in (list, tuple):
        return iter(enumerate(value))
    if attrs.has(type(value)):
        return iter([(field.name, getattr(value, field.name)) for field in attrs.fields(type(value))])
    return iter(())


def _plain(value: Any) -> Any:
    """As it comes back: objects as the dicts of their fields, tuples in them as lists."""
    if type(value) in (list, tuple):
        return [_plain(one) for one in value]
    if type(value) is dict or attrs.has(type(value)):
        return {key: _plain(one) for key, one in _inside(value)}
    return value
