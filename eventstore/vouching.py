"""Spares the reading back of events whose fields' types prove that they come back.

Text without lone surrogates, integers within 64 bits, finite floats, flags and None come back from JSON as they are,
whatever their value. So when the fields of a class are declared as nothing else, and one event of it with the same
types came back exactly, the next one does too if its numbers are within range.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from eventstore.limits import INT_MAX, INT_MIN
from eventstore.shapes import getter

MAX_KNOWN = 16
"""Combinations of types that are remembered of one class; events of others are read back each time."""

_SCALARS = frozenset((bool, int, float, str, types.NoneType))
_HOOKS = ("__attrs_pre_init__", "__attrs_post_init__")


def scalar_fields(cls: type) -> tuple[str, ...] | None:
    """The names of the fields, when all are declared as ``str``, ``bool``, ``int``, ``float`` or None and nothing else.

    None for every other class, and where a validator, a constraint or a hook may refuse to read a value for what it is.
    """
    if not attrs.has(cls) or any(hasattr(cls, hook) for hook in _HOOKS):
        return None
    hints = typing.get_type_hints(cls, include_extras=True)  # constraints stand in the extras
    for field in attrs.fields(cls):
        if field.validator is not None or not set(_alternatives(hints.get(field.name))) <= _SCALARS:
            return None
    return tuple(field.name for field in attrs.fields(cls))


def _alternatives(hint: Any) -> Iterator[Any]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        for one in typing.get_args(hint):
            yield from _alternatives(one)
    else:
        yield getattr(hint, "__supertype__", hint)


def vouching(fields: tuple[str, ...]) -> tuple[Callable[[object, bytes], bool], Callable[[object], None]]:
    """Two functions that share what is known of one class.

    The first takes an instance and its JSON, and says whether it certainly comes back; False only says that nobody
    knows yet. The second takes an instance that came back exactly, and remembers its types.

    Args:
        fields: their names, from ``scalar_fields``.
    """
    get = getter(fields)
    known: list[list[type]] = []
    # Of each known combination: where integers stand, and how many nulls its JSON has, or -1 where it has no float
    numbers: list[tuple[tuple[int, ...], int]] = []

    def vouch(value: object, data: bytes) -> bool:
        values = get(value)
        try:
            integers, nulls = numbers[known.index([*map(type, values)])]
        except ValueError:
            return False
        for index in integers:
            if not INT_MIN <= values[index] <= INT_MAX:
                return False
        # A float that is not finite is written as null, which must not be taken for None
        return nulls < 0 or data.count(b"null") == nulls

    def learn(value: object) -> None:
        kinds = [*map(type, get(value))]
        if len(known) < MAX_KNOWN and kinds not in known:
            integers = tuple(index for index, kind in enumerate(kinds) if kind is int)
            numbers.append((integers, kinds.count(types.NoneType) if float in kinds else -1))
            known.append(kinds)

    return vouch, learn
