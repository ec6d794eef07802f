"""The types of everything in a value, as one key: of two values with the same key, either both come back, or neither.

That holds for text, flags, None, finite floats and integers within 64 bits, for tuples, lists and dicts of them, and
for attrs classes that refuse no value for what it is. The key says nothing of the numbers themselves.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import attrs

from eventstore.shaping.shapes import getter

Signature: TypeAlias = Callable[[Any], Any]
"""Takes a value, and gives the key, which can be hashed."""

SCALARS = frozenset((bool, int, float, str, types.NoneType))
_JSON = SCALARS | {dict, list}
_TEXT = {str}
_HOOKS = ("__attrs_pre_init__", "__attrs_post_init__")


def scalar_fields(cls: type) -> tuple[str, ...] | None:
    """The names of the fields, when all are declared as ``str``, ``bool``, ``int``, ``float`` or None and nothing else.

    None for every other class.
    """
    hints = _hints_of(cls)
    return None if hints is None or not all(map(_is_scalar, hints.values())) else tuple(hints)


def signature_of(cls: type) -> Signature | None:
    """How the key of an instance is found; None for a class where it proves nothing."""
    hints = _hints_of(cls)
    return None if hints is None else _of_class(cls, hints, (cls,))


def declares_floats(cls: type) -> bool:
    """Whether a float is declared somewhere in it. In ``Any`` the key tells those that are not finite."""
    waiting: list[Any] = [cls]
    while waiting:
        hint = waiting.pop()
        hint = getattr(hint, "__supertype__", hint)
        if hint is float:
            return True
        waiting += typing.get_args(hint)
        if isinstance(hint, type) and attrs.has(hint):
            waiting += (_hints_of(hint) or {}).values()
    return False


def _hints_of(cls: type) -> dict[str, Any] | None:
    """The fields' declared types; None where a hook or a validator may refuse to read a value for what it is."""
    if not attrs.has(cls) or any(hasattr(cls, hook) for hook in _HOOKS):
        return None
    hints = typing.get_type_hints(cls, include_extras=True)  # constraints stand in the extras
    if any(field.validator is not None or field.name not in hints for field in attrs.fields(cls)):
        return None
    return {field.name: hints[field.name] for field in attrs.fields(cls)}


def _alternatives(hint: Any) -> Iterator[Any]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        for one in typing.get_args(hint):
            yield from _alternatives(one)
    else:
        yield getattr(hint, "__supertype__", hint)


def _is_scalar(hint: Any) -> bool:
    return set(_alternatives(hint)) <= SCALARS


def _of(hint: Any, inside: tuple[type, ...]) -> Signature | None:
    """``type`` itself for what is plain. The others take whatever they are given; what they do not know is its type."""
    others = [one for one in _alternatives(hint) if one not in SCALARS]
    if not others:
        return type
    origin, arguments = typing.get_origin(others[0]) or others[0], typing.get_args(others[0])
    if len(others) > 1:
        return None
    if origin is Any:
        return _of_json
    if isinstance(origin, type) and attrs.has(origin) and not arguments and origin not in inside:
        hints = _hints_of(origin)
        return None if hints is None else _of_class(origin, hints, (*inside, origin))
    if (origin is list and len(arguments) == 1) or (origin is tuple and arguments[1:] == (Ellipsis,)):
        inner = _of(arguments[0], inside)
        return None if inner is None else _of_list(origin, inner)
    if origin is dict and arguments and arguments[0] is str:
        inner = _of(arguments[1], inside)
        return None if inner is None else _of_dict(inner)
    return None


def _of_class(cls: type, hints: dict[str, Any], inside: tuple[type, ...]) -> Signature | None:
    signatures = {name: _of(hint, inside) for name, hint in hints.items()}
    if None in signatures.values():
        return None
    plain = getter(tuple(name for name, signature in signatures.items() if signature is type))
    rest = [
        (name, signature) for name, signature in signatures.items() if signature is not type and signature is not None
    ]

    def signature(value: Any) -> Any:
        if type(value) is not cls:
            return type(value)
        return (cls, *map(type, plain(value)), *[inner(getattr(value, name)) for name, inner in rest])

    return signature


def _of_list(cls: Any, inner: Signature) -> Signature:
    def signature(value: Any) -> Any:
        return (cls, frozenset(map(inner, value))) if type(value) is cls else type(value)

    return signature


def _of_dict(inner: Signature) -> Signature:
    def signature(value: Any) -> Any:
        if type(value) is not dict:
            return type(value)
        return (dict, frozenset(map(type, value)), frozenset(map(inner, value.values())))

    return signature


def _of_json(value: Any) -> Any:
    """The same for all JSON; for everything else, and for floats that are not finite, one that nothing is equal to."""
    level: list[Any] = [value]
    while level:
        kinds = set(map(type, level))
        if not kinds <= _JSON:
            return object()
        if float in kinds and not all(map(math.isfinite, [one for one in level if type(one) is float])):
            return object()
        if kinds <= SCALARS:
            break
        keys: list[Any] = []
        inner: list[Any] = []
        for one in level:
            if type(one) is dict:
                keys += one
                inner += one.values()
            elif type(one) is list:
                inner += one
        if not set(map(type, keys)) <= _TEXT:
            return object()
        level = inner
    return _JSON
