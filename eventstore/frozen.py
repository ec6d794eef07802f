"""``attrs.frozen`` for a package that declares hundreds of classes and would have them in half the memory.

attrs writes methods for each class, compiles them, and keeps their source for debuggers; its list of the fields is a
class of its own each time. Here the methods that are alike but for the names of the fields are shared. They do what
those of attrs do.
"""

from __future__ import annotations

import linecache
import reprlib
from typing import TYPE_CHECKING, Any

import attrs

__all__ = ["frozen"]

if TYPE_CHECKING:
    from attrs import frozen  # as which type checkers are to take it
else:

    def frozen(cls: type | None = None, **options: Any) -> Any:
        """As ``attrs.frozen``, with the same arguments, to be used with or without any."""
        if cls is None:
            return lambda decorated: frozen(decorated, **options)
        if _asks_for_its_own(cls, options):
            return attrs.frozen(cls, **options)
        made = attrs.frozen(cls, repr=False, eq=False, getstate_setstate=False, **options)
        if not all(field.repr is field.eq is True and field.hash is None for field in attrs.fields(made)):
            return attrs.frozen(cls, **options)
        if "__repr__" not in vars(cls):
            made.__repr__ = _repr
        if "__eq__" not in vars(cls):
            made.__eq__, made.__hash__ = _equals, _hash
        if not {"__getstate__", "__setstate__"} & vars(cls).keys():
            made.__getstate__, made.__setstate__ = _state, _set_state
        made.__attrs_attrs__ = _Fields(attrs.fields(made))
        made.__init__.__doc__ = None  # it says that attrs made it
        if (about := vars(made).get("__attrs_props__")) is not None:
            made.__attrs_props__ = _alike.setdefault(repr(about), about)
        linecache.cache.pop(made.__init__.__code__.co_filename, None)
        return made


_alike: dict[str, Any] = {}
"""What attrs notes of how a class was made is the same for nearly all: by its text."""


def _asks_for_its_own(cls: type, options: dict[str, Any]) -> bool:
    alike = {"field_transformer", "kw_only"}
    return bool(options.keys() - alike) or issubclass(cls, BaseException) or "__init__" in vars(cls)


class _Fields(tuple[Any, ...]):
    """The fields of a class: by their places and, as those of attrs, by their names."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        for field in self:
            if field.name == name:
                return field
        raise AttributeError(name)


@reprlib.recursive_repr("...")
def _repr(self: Any) -> str:
    name = type(self).__qualname__.rsplit(">.", 1)[-1]
    return f"{name}({', '.join(f'{field.name}={getattr(self, field.name)!r}' for field in attrs.fields(type(self)))})"


def _equals(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    # Not as tuples: those take a number that is none to be equal to itself.
    return all(getattr(self, field.name) == getattr(other, field.name) for field in attrs.fields(self.__class__))


def _hash(self: Any) -> int:
    return hash((self.__class__, *(getattr(self, field.name) for field in attrs.fields(self.__class__))))


def _state(self: Any) -> dict[str, Any]:
    return {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}


def _set_state(self: Any, state: dict[str, Any]) -> None:
    for name, value in state.items():
        object.__setattr__(self, name, value)
