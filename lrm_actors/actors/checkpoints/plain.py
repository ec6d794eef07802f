"""What a host's state may be made of, and how one value of it is packed.

Plain data come back exactly as they were. An object of an attrs class, a dataclass or a pydantic model is kept as the
dict of its fields, since data never name code: it comes back as that dict, and a tuple in it as a list.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NoReturn

import attrs
import msgspec

from lrm_actors.domain.given import is_encodable
from lrm_actors.errors import NotCapturable

MAX_DEPTH = 100
"""Levels of nesting a state may have."""
MAX_PATH = 300
"""Characters of a path that a message shows."""
NEVER = 1 << 62
"""A budget that no state uses up."""

SCALAR, LIST, DICT, TUPLE, OBJECT, OTHER = range(6)
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
"""Integers that have a form of their own in MessagePack."""
_BIG_INTEGER = 1
"""Extension code of an integer that needs more than 64 bits."""
_KINDS: Final = {
    **dict.fromkeys((str, int, float, bool, type(None), bytes), SCALAR), list: LIST, dict: DICT, tuple: TUPLE,
}  # fmt: skip
_PLAIN = (str, int, float, bytes, list, dict, tuple, type)
_KEYS = frozenset((str, int, float, bool, type(None)))
_NUMBERS = frozenset((int, float, bool, type(None)))
FEW_LEVELS = 10
"""Of a simple value."""
_WEIGHT = 8
"""Bytes that a value counts for besides those of its text."""

Path = list[Any]


def kind_of(value: Any) -> int:
    """What a value is to a checkpoint: one of the constants of this module."""
    cls: Any = type(value)
    kind = _KINDS.get(cls)
    return _kind_of_class(cls) if kind is None else kind


@lru_cache(maxsize=1024)
def _kind_of_class(cls: Any) -> int:
    is_object = attrs.has(cls) or dataclasses.is_dataclass(cls) or _is_pydantic(cls)
    return OBJECT if is_object and not issubclass(cls, _PLAIN) else OTHER


def _is_pydantic(cls: type) -> bool:
    """Told without importing pydantic: whoever has a model has imported it."""
    return hasattr(cls, "model_fields") and callable(getattr(cls, "model_dump", None))


def is_frozen_object(value: Any) -> bool:
    """Whether an object cannot be given other fields: its attrs or pydantic class or dataclass says so."""
    cls: Any = type(value)
    return cls not in _KINDS and _is_frozen_class(cls)


@lru_cache(maxsize=1024)
def _is_frozen_class(cls: Any) -> bool:
    if attrs.has(cls):
        return cls.__setattr__ is not object.__setattr__ and "frozen" in cls.__setattr__.__name__
    if dataclasses.is_dataclass(cls):
        return bool(getattr(cls, "__dataclass_params__").frozen)  # noqa: B009 - of the standard library, but unnamed
    return _is_pydantic(cls) and bool(getattr(cls, "model_config", {}).get("frozen"))


def fields_of(value: Any, path: Path) -> dict[str, Any]:
    """The fields of an object, by name.

    Raises:
        NotCapturable: one of them has a private name, which would be lost, or has no value; or it is a pydantic model
            that is no dict of fields, such as a ``RootModel``.
    """
    cls = type(value)
    if attrs.has(cls):
        names = [field.name for field in attrs.fields(cls)]
        for name in names:
            if name.startswith("_"):
                raise NotCapturable(f"{cls.__qualname__} at {shown(path)} has the private field {name}")
    elif dataclasses.is_dataclass(cls):
        names = [field.name for field in dataclasses.fields(cls)]
    else:
        dumped = value.model_dump()
        if not isinstance(dumped, dict):  # a list of pairs would seem to be one
            what = f"a model of a {type(dumped).__qualname__}: give what it holds"
            raise NotCapturable(f"{cls.__qualname__} at {shown(path)} is {what}")
        return dict(dumped)
    try:
        return {name: getattr(value, name) for name in names}
    except AttributeError as error:
        raise NotCapturable(f"{cls.__qualname__} at {shown(path)} lacks a field: {error}") from error


# Looking through


def look_through(
    value: Any,
    path: Path,
    *,
    loose: bool = False,
    budget: int = NEVER,
) -> bool:
    """See that a value is plain and comes back as it is.

    Subclasses of the plain types are refused, and tuples outside of objects: they would come back as something else.

    Args:
        value: a part of the state.
        path: where it stands. Left as it was.
        loose: it is a part of an object, where a tuple may be.
        budget: bytes, roughly, after which it is no longer looked at.

    Returns: whether all of it was seen.

    Raises:
        NotCapturable: with the path of the first offending value.
    """
    open_levels: list[Iterator[tuple[Any, Any]]] = []
    looses: list[bool] = []
    base = len(path)
    try:
        if _holds_more(value, budget):
            return False
        pending: Iterator[tuple[Any, Any]] | None = _inside(value, path, loose=loose)
        budget -= _weight(value)
        if pending is not None:
            _descend(open_levels, path, pending, base)
            looses.append(loose or kind_of(value) == OBJECT)
        while open_levels:
            if budget < 0:
                return False
            item = next(open_levels[-1], None)
            if item is None:
                open_levels.pop()
                looses.pop()
                path.pop()
                continue
            path[-1], one = item
            if _holds_more(one, budget):
                return False
            budget -= _weight(one)
            inside = _inside(one, path, loose=looses[-1])
            if inside is not None:
                _descend(open_levels, path, inside, base)
                looses.append(looses[-1] or kind_of(one) == OBJECT)
    finally:
        del path[base:]
    return budget >= 0


def is_simple(value: Any, budget: int) -> bool:
    """Told quickly: that a value that can be packed is plain, small and not deep. The rest is for ``look_through``.

    Args:
        value: a part of the state, of which every text and number is known to be one that can be packed.
        budget: as for ``look_through``.
    """
    return _left_of(budget - _WEIGHT, value, FEW_LEVELS) >= 0


def _left_of(budget: int, container: Any, levels: int) -> int:
    """What the values of a container leave of a budget; negative: nothing, or it is not simple."""
    cls = type(container)
    if cls is dict:
        if not all(type(key) is str for key in container):
            return -1
        values = list(container.values())
    elif cls is list:
        values = container
    else:
        return -1
    for one in values:
        cls = type(one)
        if cls is str:
            budget -= len(one)
        elif cls is dict or cls is list:
            budget = _left_of(budget, one, levels - 1) if levels else -1
        elif cls not in _NUMBERS:
            return -1
        budget -= _WEIGHT
        if budget < 0:
            return -1
    return budget


def _descend(open_levels: list[Iterator[tuple[Any, Any]]], path: Path, inside: Iterator[Any], base: int) -> None:
    if len(open_levels) + base >= MAX_DEPTH:
        raise NotCapturable(f"nested more than {MAX_DEPTH} levels deep, or within itself, at {shown(path)}")
    open_levels.append(inside)
    path.append(None)


def _holds_more(value: Any, budget: int) -> bool:
    """Whether a text, or the values of a container alone, use a budget up: then nothing of it is touched."""
    cls = type(value)
    if cls is str:
        return len(value) > budget
    return (cls is list or cls is dict or cls is tuple) and len(value) * _WEIGHT > budget


def _weight(value: Any) -> int:
    return _WEIGHT + len(value) if type(value) is str or type(value) is bytes else _WEIGHT


def _inside(value: Any, path: Path, *, loose: bool) -> Iterator[tuple[Any, Any]] | None:
    """What a container holds, by key or index; None for a scalar."""
    match kind_of(value):
        case 0:  # a scalar
            if type(value) is str and not is_encodable(value):
                raise NotCapturable(f"a text with lone surrogates at {shown(path)} cannot be stored")
            return None
        case 1:  # a list
            return iter(tuple(enumerate(value)))
        case 2:  # a dict
            for key in tuple(value):
                check_key(key, path)
            return iter(tuple(value.items()))
        case 3 if loose:
            return iter(tuple(enumerate(value)))
        case 4:  # an object
            return iter(fields_of(value, path).items())
    raise NotCapturable(f"{type(value).__qualname__} at {shown(path)} is not plain data")


def check_key(key: Any, path: Path) -> None:
    """See that a key of a dict comes back as it is.

    Raises:
        NotCapturable: it would not.
    """
    kind = type(key)
    if (
        kind not in _KEYS
        or (kind is str and not is_encodable(key))
        or (kind is int and not _SMALLEST <= key <= _LARGEST)
    ):
        what = "more than 64 bits" if kind is int else kind.__qualname__
        raise NotCapturable(f"a key at {shown(path)} cannot be stored: {what}")


def shown(path: Path) -> str:
    """A path as an expression: ``state['history'][1]``."""
    text = "state" + "".join(f"[{key!a:.80}]" for key in path)
    return text if len(text) <= MAX_PATH else f"{text[:MAX_PATH]}…"


# Packing


def _object_fields(value: Any) -> Any:
    """What the encoder asks when it does not know a class."""
    if kind_of(value) == OBJECT:
        return fields_of(value, [])
    msg = f"{type(value).__qualname__} is not plain data"
    raise TypeError(msg)


pack_quickly = msgspec.msgpack.Encoder(enc_hook=_object_fields).encode
"""One call of the encoder, without a word on where it failed."""
UNPACKABLE = (TypeError, ValueError, OverflowError, RecursionError)
"""What it raises then."""


def pack(value: Any, path: Path, *, loose: bool = False) -> bytes:
    """A part of the state as MessagePack, in one call that nothing can interrupt. Does not check that it is plain.

    Raises:
        NotCapturable: it cannot be packed at all; the message names the path.
    """
    try:
        return pack_quickly(value)
    except UNPACKABLE as error:
        look_through(value, path, loose=loose)  # raises, and says where, unless it was an integer of over 64 bits
        try:
            return pack_quickly(_with_big_integers(value))
        except UNPACKABLE:
            _refuse(error, path)


def _refuse(error: Exception, path: Path) -> NoReturn:
    raise NotCapturable(f"what is at {shown(path)} cannot be stored: {error}") from error


def _with_big_integers(value: Any) -> Any:
    match kind_of(value):
        case 2:
            return {key: _with_big_integers(one) for key, one in value.items()}
        case 1 | 3:
            return [_with_big_integers(one) for one in value]
        case 4:
            return _with_big_integers(fields_of(value, []))
    if type(value) is int and not _SMALLEST <= value <= _LARGEST:
        return msgspec.msgpack.Ext(_BIG_INTEGER, f"{value:x}".encode())  # hex: its length has no limit in Python
    return value


def unpack(packed: bytes) -> Any:
    """The state that was packed.

    Raises:
        ValueError: it is no MessagePack, or holds what no state holds.
    """
    try:
        return msgspec.msgpack.decode(packed, ext_hook=_extension)
    except (msgspec.MsgspecError, ValueError, RecursionError, TypeError) as error:
        raise ValueError(str(error)) from error


def _extension(code: int, data: memoryview) -> int:
    if code != _BIG_INTEGER:
        msg = f"unknown extension {code}"
        raise ValueError(msg)
    return int(bytes(data), 16)


def array_head(count: int) -> bytes:
    """How a MessagePack array of so many values begins."""
    return _head(count, 0x90, 0xDC)


def map_head(count: int) -> bytes:
    """How a MessagePack map of so many pairs begins."""
    return _head(count, 0x80, 0xDE)


def _head(count: int, few: int, many: int) -> bytes:
    if count < 16:
        return bytes((few | count,))
    return (
        bytes((many,)) + count.to_bytes(2, "big") if count < 1 << 16 else bytes((many + 1,)) + count.to_bytes(4, "big")
    )


def text_head(size: int) -> bytes:
    """How a MessagePack text of so many bytes begins."""
    if size < 32:
        return bytes((0xA0 | size,))
    if size < 1 << 8:
        return bytes((0xD9, size))
    if size < 1 << 16:
        return b"\xda" + size.to_bytes(2, "big")
    return b"\xdb" + size.to_bytes(4, "big")


def bytes_head(size: int) -> bytes:
    """How MessagePack bytes of a size begin."""
    if size < 1 << 8:
        return bytes((0xC4, size))
    if size < 1 << 16:
        return b"\xc5" + size.to_bytes(2, "big")
    return b"\xc6" + size.to_bytes(4, "big")


def parts(state: Any) -> Mapping[str, Any] | None:
    """Agent's and browser's state apart, if the host gave exactly these two."""
    if type(state) is dict and state.keys() == {"agent_state", "browser_state"}:
        return state
    return None
