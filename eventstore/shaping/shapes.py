"""What a class may hold, and whether a value of it came back exactly: equal, and of the same type all the way down.

``==`` is too weak for that: ``1 == 1.0 == True``, and members of ``StrEnum`` equal their text. So both values are taken
apart, once per class decided how, into a *shape* of plain builtins. Two shapes are alike when they hold nothing derived
from a builtin, are equal, and are written as the same JSON, which tells numbers and flags from each other.
"""

from __future__ import annotations

import collections.abc
import datetime as dt
import decimal
import enum
import operator
import types
import typing
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

import attrs
import msgspec

Shape: TypeAlias = Callable[[Any], object]
"""Takes a value apart into builtins. Raises ``Unlike`` when the value is not of the class that was declared."""

PLAIN: Shape | None = None
"""The shape of what consists of builtins alone: the value itself."""

_encode = msgspec.json.Encoder().encode
_EXACT = frozenset((bool, int, float, str, types.NoneType, list, tuple, dict))
_SCALARS = frozenset((bool, int, float, str, types.NoneType))
_BY_REPR = (dt.datetime, dt.date, dt.time, dt.timedelta, uuid.UUID)
_LISTS = frozenset(
    (
        *(list, collections.abc.Sequence, collections.abc.MutableSequence),
        *(collections.abc.Collection, collections.abc.Iterable),
    )
)
_SETS: dict[Any, type] = {
    set: set,
    frozenset: frozenset,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
}
_DICTS = frozenset((dict, collections.abc.Mapping, collections.abc.MutableMapping))


class Unlike(ValueError):
    """A value is not of the class that its field declares, so it would come back as another."""


class Unstorable(Exception):
    """A class declares what a round trip cannot vouch for.

    Attributes:
        field: where, as a path of field names; ``*`` for the class itself.
        reason: what is wrong with it.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field or "*", reason


@attrs.define
class Facts:
    """What was found out about a class while its shape was made."""

    integers: bool = False
    """It may hold integers, so long ones must be looked for."""
    unbounded: bool = False
    """Its values may be nested without end: it holds ``Any``, or itself."""
    decimals: bool = False
    """It may hold decimals, of which those that are not finite are text to a decoder."""
    loose: bool = False
    """Its instances may carry more than their fields, which an encoder would write too."""


def is_plain(value: Any) -> bool:
    """Whether a value consists of builtins that JSON knows, and of tuples; subclasses and members of enums are none."""
    level: list[Any] = [value]
    while level:
        kinds = set(map(type, level))
        if not kinds <= _EXACT:
            return False
        if kinds <= _SCALARS:
            return True
        inner: list[Any] = []
        for one in level:
            kind = type(one)
            if kind is dict:
                inner += one
                inner += one.values()
            elif kind is list or kind is tuple:
                inner += one
        level = inner
    return True


def alike(value: Any, back: Any) -> bool:
    """Whether two shapes tell of identical values."""
    return is_plain(value) and bool(value == back) and _encode(value) == _encode(back)


def shape_of(hint: Any, facts: Facts) -> Shape | None:
    """How values that are declared as ``hint`` are taken apart.

    Raises:
        Unstorable: it declares what cannot be stored, with the field.
    """
    return _Maker(facts).make(hint, "", {})


def getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """A function from an object to a tuple of these attributes."""
    if not names:
        return lambda _: ()
    # attrgetter gives a tuple from two names on, so that a single one is asked for twice
    return operator.attrgetter(*(names if len(names) > 1 else names * 2))


def field_names(cls: type) -> tuple[str, ...] | None:
    """The fields of an attrs class or a msgspec struct; None for every other class."""
    if attrs.has(cls):
        return tuple(field.name for field in attrs.fields(cls))
    return cls.__struct_fields__ if issubclass(cls, msgspec.Struct) else None


def hints_of(cls: type) -> dict[str, Any]:
    """The annotations of a class, resolved.

    Raises:
        Unstorable: one names what is not importable.
    """
    try:
        return typing.get_type_hints(cls)
    except NameError as error:
        raise Unstorable(error.name or "*", "its type is not importable when events are read") from None


@attrs.define
class _Maker:
    """Makes the shape of one class; knows the classes it is inside of, so that it ends where one holds itself."""

    facts: Facts
    known: dict[Any, Shape] = attrs.field(factory=dict)
    open: set[Any] = attrs.field(factory=set)

    def make(self, hint: Any, path: str, variables: dict[Any, Any]) -> Shape | None:
        hint = _bare(hint, variables)
        origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
        if origin is Any:
            self.facts.integers = self.facts.unbounded = True
            return PLAIN
        if origin in _SCALARS:
            self.facts.integers |= origin is int
            return PLAIN
        if origin is typing.Literal:
            self.facts.integers |= any(isinstance(one, int) for one in arguments)
            return PLAIN
        if origin in (typing.Union, types.UnionType):
            return self._union(list(_alternatives(hint, variables)), path, variables)
        if isinstance(origin, type) and field_names(origin) is not None:
            return self._object(origin, arguments, path, variables)
        if origin is tuple:
            return self._tuple(arguments, path, variables)
        if origin in _LISTS:
            return _list_of(self._inner(arguments, 0, path, variables))
        if origin in _SETS:
            return _set_of(_SETS[origin], self._inner(arguments, 0, path, variables))
        if origin in _DICTS:
            keys = self.make(arguments[0], path, variables) if arguments else PLAIN
            return _dict_of(keys, self._inner(arguments, 1, path, variables))
        self.facts.decimals |= origin is decimal.Decimal
        return _leaf(origin, hint, path)

    def _inner(self, arguments: tuple[Any, ...], index: int, path: str, variables: dict[Any, Any]) -> Shape | None:
        return self.make(arguments[index] if arguments else Any, path, variables)

    def _tuple(self, arguments: tuple[Any, ...], path: str, variables: dict[Any, Any]) -> Shape | None:
        if not arguments or arguments[-1] is Ellipsis:
            inner = self._inner(arguments, 0, path, variables)
            return PLAIN if inner is None else _tuple_of(inner)
        shapes = [self.make(one, path, variables) for one in arguments]
        return PLAIN if not any(shapes) else _record_of(shapes)

    def _union(self, hints: list[Any], path: str, variables: dict[Any, Any]) -> Shape | None:
        shapes = {cls: self.make(one, path, variables) for one in hints for cls in _classes_of(one)}
        if not any(shapes.values()):
            return PLAIN

        def union(value: Any) -> object:
            if type(value) not in shapes and Any not in shapes:
                raise Unlike(f"{value!r:.80} is a {type(value).__qualname__}, which is not declared")
            shape = shapes.get(type(value))
            return value if shape is None else shape(value)

        return union

    def _object(self, cls: type, arguments: tuple[Any, ...], path: str, variables: dict[Any, Any]) -> Shape:
        arguments = tuple(_bare(one, variables) for one in arguments)
        key = (cls, arguments)
        if key in self.open:
            self.facts.unbounded = True
            return lambda value: self.known[key](value)  # noqa: PLW0108 - it is known only once all of it was seen
        if key in self.known:
            return self.known[key]
        self.open.add(key)
        if attrs.has(cls):
            _check_class(cls, path)
            self.facts.loose |= _is_loose(cls)
        inner = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
        hints = hints_of(cls)
        shapes = {
            name: self.make(hints.get(name, Any), f"{path}.{name}".lstrip("."), inner)
            for name in field_names(cls) or ()
        }
        self.open.remove(key)
        self.known[key] = _object_of(cls, shapes)
        return self.known[key]


def _check_class(cls: Any, path: str) -> None:
    """Refuse a class whose fields would be dropped, or that the rest of the system could not compare."""
    if vars(cls).get("__eq__", object.__eq__) is object.__eq__:
        raise Unstorable(path, f"{cls.__qualname__} does not compare by value")
    for field in attrs.fields(cls):
        where = f"{path}.{field.name}".lstrip(".")
        if field.name.startswith("_"):
            raise Unstorable(where, "a private field is not stored")
        if not field.eq:
            raise Unstorable(where, "a field that is not compared cannot be checked")


def _is_loose(cls: Any) -> bool:
    """Whether an instance may have public attributes beside its fields: cached properties, or a ``__dict__``."""
    slots: set[str] = set()
    for base in cls.__mro__:
        names = vars(base).get("__slots__", ())
        slots.update((names,) if isinstance(names, str) else names)
    extra = slots - {field.name for field in attrs.fields(cls)}
    return cls.__dictoffset__ != 0 or any(not name.startswith("_") for name in extra)


def _bare(hint: Any, variables: dict[Any, Any]) -> Any:
    """A hint without what says nothing about the value's type."""
    for _ in range(100):
        if isinstance(hint, TypeVar):
            hint = variables.get(hint) or hint.__bound__ or Any
        elif hasattr(hint, "__supertype__"):  # NewType
            hint = hint.__supertype__
        elif hasattr(hint, "__value__"):  # type alias of Python 3.12
            hint = hint.__value__
        elif typing.get_origin(hint) in (typing.Annotated, typing.Final):
            hint = typing.get_args(hint)[0]
        else:
            break
    return {None: types.NoneType, object: Any}.get(hint, hint)


def _alternatives(hint: Any, variables: dict[Any, Any]) -> Iterator[Any]:
    """The members of a union, those of unions in it included."""
    hint = _bare(hint, variables)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        for one in typing.get_args(hint):
            yield from _alternatives(one, variables)
    else:
        yield hint


def _classes_of(hint: Any) -> Iterable[Any]:
    """The types that values declared as ``hint`` have when they are read."""
    origin = typing.get_origin(hint) or hint
    if origin is typing.Literal:
        return [type(one) for one in typing.get_args(hint)]
    if origin in _LISTS:
        return [list]
    if origin in _DICTS:
        return [dict]
    return [_SETS.get(origin, origin)]


def _leaf(origin: Any, hint: Any, path: str) -> Shape:
    if isinstance(origin, type) and issubclass(origin, enum.Enum):
        return _checked(origin, lambda value: value.name)
    if origin in (bytes, bytearray):
        return _checked(origin, lambda value: value.hex())
    if origin in _BY_REPR:
        return _checked(origin, repr)
    if origin is decimal.Decimal:
        return _checked(origin, _decimal)
    raise Unstorable(path, f"{_name(hint)} is not a type that can be stored")


def _decimal(value: decimal.Decimal) -> str:
    if not value.is_finite():
        raise Unlike(f"{value!r} is not a finite number")
    return repr(value)


def _name(hint: Any) -> str:
    return hint.__qualname__ if isinstance(hint, type) else str(hint)


def _checked(cls: type, shape: Shape) -> Shape:
    def checked(value: Any) -> object:
        if type(value) is not cls:
            raise Unlike(f"{value!r:.80} is a {type(value).__qualname__}, not a {cls.__qualname__}")
        return shape(value)

    return checked


def _list_of(inner: Shape | None) -> Shape | None:
    return PLAIN if inner is None else _checked(list, lambda value: [inner(one) for one in value])


def _tuple_of(inner: Shape) -> Shape:
    return _checked(tuple, lambda value: [inner(one) for one in value])


def _record_of(shapes: list[Shape | None]) -> Shape:
    return _checked(
        tuple,
        lambda value: [one if shape is None else shape(one) for one, shape in zip(value, shapes, strict=True)],
    )


def _set_of(cls: type, inner: Shape | None) -> Shape:
    """The order of a set says nothing, and differs between two that are equal."""

    def ordered(value: Any) -> object:
        shapes = [one if inner is None else inner(one) for one in value]
        return sorted([_encode(one).decode(), one] for one in shapes) if is_plain(shapes) else value

    return _checked(cls, ordered)


def _dict_of(keys: Shape | None, values: Shape | None) -> Shape | None:
    if keys is None and values is None:
        return PLAIN
    return _checked(
        dict,
        lambda value: [
            (key if keys is None else keys(key), one if values is None else values(one)) for key, one in value.items()
        ],
    )


def _object_of(cls: type, shapes: dict[str, Shape | None]) -> Shape:
    plain = getter(tuple(name for name, shape in shapes.items() if shape is None))
    shaped = [(name, shape) for name, shape in shapes.items() if shape is not None]
    if not shaped:
        return _checked(cls, plain)
    return _checked(cls, lambda value: (plain(value), [shape(getattr(value, name)) for name, shape in shaped]))
