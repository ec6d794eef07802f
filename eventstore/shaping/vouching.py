"""Spares the reading back of events whose types prove that they come back.

Text without lone surrogates, integers within 64 bits, finite floats, flags and None come back from JSON as they are,
whatever their value. So when one event of a class came back exactly, the next one of the same types does too, if its
numbers are within range.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Hashable
from typing import Any, TypeAlias

from eventstore.shaping.limits import INT_MAX, INT_MIN, is_suspect
from eventstore.shaping.shapes import Facts, getter
from eventstore.shaping.signatures import SCALARS, declares_floats, scalar_fields, signature_of

MAX_KNOWN = 64
"""Combinations of types that are remembered of one class; events of others are read back each time."""

Check: TypeAlias = Callable[[Any, bytes], bool]


def _nobody_knows(value: Any, data: bytes) -> bool:
    return False


class Vouching:
    """What is known of the events of one class."""

    __slots__ = ("check", "learn")

    def __init__(self, learn: Callable[[Any], None], check: Check = _nobody_knows) -> None:
        self.check = check
        """Takes an instance and its JSON, and says whether it certainly comes back; False only says that nobody knows
        yet. Another function after ``learn``: do not keep it."""
        self.learn = learn
        """Takes an instance that came back exactly, and remembers its types."""


def vouching(cls: type, facts: Facts) -> Vouching | None:
    """What will be known of a class; None for one whose types prove nothing.

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

    def check(value: Any, data: bytes) -> bool:
        if signature(value) not in known or (floats and data.find(b"null") >= 0):
            return False
        return not is_suspect(data, integers=integers, unbounded=unbounded)

    def learn(value: Any) -> None:
        if len(known) < MAX_KNOWN:
            known.add(signature(value))

    return Vouching(learn, check)


def _of_scalars(fields: tuple[str, ...]) -> Vouching:
    """The same, quicker, for classes whose fields are all scalars."""
    get = getter(fields)
    known: list[list[type]] = []

    def learn(value: Any) -> None:
        kinds = [*map(type, get(value))]
        if len(known) < MAX_KNOWN and kinds not in known and SCALARS.issuperset(kinds):
            known.append(kinds)
            made.check = _written_out(fields, kinds) if len(known) == 1 else _looked_up(get, known)

    made = Vouching(learn)
    return made


def _written_out(fields: tuple[str, ...], kinds: list[type]) -> Check:
    """Checks for one combination of types. Written out, it takes half as long as looking it up, for every event."""
    parts = []
    for field, kind in zip(fields, kinds, strict=False):  # of a single field the kind is there twice
        if kind is types.NoneType:
            parts.append(f"value.{field} is None")
        elif kind is int:
            parts.append(f"type(value.{field}) is int and {INT_MIN} <= value.{field} <= {INT_MAX}")
        else:
            parts.append(f"type(value.{field}) is {kind.__name__}")
    if float in kinds:
        parts.append(f"data.count(b'null') == {kinds.count(types.NoneType)}")
    check: Check = eval(f"lambda value, data: {' and '.join(parts) or True}")  # noqa: S307 - text of ours
    return check


def _looked_up(get: Callable[[Any], tuple[Any, ...]], known: list[list[type]]) -> Check:
    """Checks for several combinations."""
    numbers = [
        (tuple(index for index, kind in enumerate(kinds) if kind is int), kinds.count(types.NoneType), float in kinds)
        for kinds in known
    ]

    def check(value: Any, data: bytes) -> bool:
        values = get(value)
        try:
            integers, nulls, floats = numbers[known.index([*map(type, values)])]
        except ValueError:
            return False
        for index in integers:
            if not INT_MIN <= values[index] <= INT_MAX:
                return False
        # A float that is not finite is written as null, which must not be taken for None
        return not floats or data.count(b"null") == nulls

    return check
