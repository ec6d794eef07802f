"""Spares the reading back of events whose types prove that they come back.

Text without lone surrogates, integers within 64 bits, finite floats, flags and None come back from JSON as they are,
whatever their value. So when one event of a class came back exactly, the next one of the same types does too, if its
numbers are within range.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Hashable
from typing import TypeAlias

from eventstore.shaping.limits import INT_MAX, INT_MIN, is_suspect
from eventstore.shaping.shapes import Facts, getter
from eventstore.shaping.signatures import declares_floats, scalar_fields, signature_of

MAX_KNOWN = 64
"""Combinations of types that are remembered of one class; events of others are read back each time."""

Vouching: TypeAlias = tuple[Callable[[object, bytes], bool], Callable[[object], None]]
"""Two functions that share what is known of one class.

The first takes an instance and its JSON, and says whether it certainly comes back; False only says that nobody knows
yet. The second takes an instance that came back exactly, and remembers its types.
"""


def vouching(cls: type, facts: Facts) -> Vouching | None:
    """The two functions; None for a class whose types prove nothing.

    Args:
        cls: an attrs class.
        facts: what its shape told of it.
    """
    if facts.loose:
        return None
    scalars = scalar_fields(cls)
    if scalars is not None:
        return _of_scalars(scalars)
    signature = signature_of(cls)
    if signature is None:
        return None
    known: set[Hashable] = set()
    floats, integers, unbounded = declares_floats(cls), facts.integers, facts.unbounded

    def vouch(value: object, data: bytes) -> bool:
        if signature(value) not in known or (floats and data.find(b"null") >= 0):
            return False
        return not is_suspect(data, integers=integers, unbounded=unbounded)

    def learn(value: object) -> None:
        if len(known) < MAX_KNOWN:
            known.add(signature(value))

    return vouch, learn


def _of_scalars(fields: tuple[str, ...]) -> Vouching:
    """The same, quicker, for classes whose fields are all scalars."""
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
