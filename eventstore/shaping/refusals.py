"""Names the field of a value that would not come back, and says why; slow, and only asked once something is wrong."""

from __future__ import annotations

import enum
import math
from typing import Any

import msgspec

from eventstore.errors import EventRefused
from eventstore.shaping.limits import INT_MAX, INT_MIN, MAX_DEPTH, beyond_limits
from eventstore.shaping.shapes import Facts, Unstorable, alike, field_names, hints_of, shape_of

_BUILTINS = (str, bool, int, float, dict, list, tuple, set, frozenset, bytes, bytearray)


def refusal(name: str, value: object, reason: str) -> EventRefused:
    """Name the field that does not come back, by trying each alone.

    Args:
        name: of the event type, or of what else ``value`` is.
        value: what was refused, of any class.
        reason: what was wrong with the whole, for where no field is to blame.
    """
    cls = type(value)
    names = field_names(cls)
    if names is None:
        return EventRefused(name, "*", _culprit(value) or reason)
    hints = hints_of(cls)
    for field in names:
        try:
            item = getattr(value, field)
        except AttributeError:
            return EventRefused(name, field, "it was never set")
        if why := _why(hints.get(field, Any), item):
            return EventRefused(name, field, _culprit(item) or why)
    return EventRefused(name, "*", reason)


def refusal_of_size(name: str, value: object, size: int, limit: int) -> EventRefused:
    """Name the largest field of a value that is too large.

    Args:
        name: of the event type, or of what else ``value`` is.
        value: what was refused.
        size: of its JSON, in bytes.
        limit: how large it may be, in bytes.
    """
    sizes = {field: len(msgspec.json.encode(getattr(value, field))) for field in field_names(type(value)) or ()}
    largest = max(sizes, key=lambda field: sizes[field], default="*")
    share = f"; this field has {sizes[largest]:,} of them" if sizes else ""
    return EventRefused(name, largest, f"{size:,} bytes of JSON are more than {limit:,}{share}")


def undecodable_field(cls: type) -> str:
    """The field whose annotation no decoder can be made for."""
    for name, hint in hints_of(cls).items():
        try:
            msgspec.json.Decoder(hint)
        except Exception:  # noqa: BLE001 - whatever is wrong with it
            return name
    return "*"


def _why(hint: Any, value: Any) -> str:
    """Why a value does not come back from a field declared as ``hint``; empty when it does."""
    try:
        shape = shape_of(hint, Facts())
        data = msgspec.json.encode(value)
        back = msgspec.json.decode(data, type=hint)
        if shape is not None:
            value, back = shape(value), shape(back)
        if not alike(value, back):
            return f"{value!r:.80} would come back as {back!r:.80}"
        return beyond_limits(data, levels=MAX_DEPTH - 1)  # the event around it is a level too
    except Unstorable as error:
        return error.reason
    except Exception as error:  # noqa: BLE001 - validators of the class may raise anything
        return str(error) or repr(error)


def _culprit(value: Any) -> str:
    """The innermost part to blame without knowing what was declared, and its place; empty if there is none."""
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    while waiting:
        place, part, depth = waiting.pop()
        if depth > MAX_DEPTH:
            return f"nested more than {MAX_DEPTH} levels deep"
        if reason := _blame(part):
            return f"at {place}: {reason}" if place else reason
        waiting.extend((place + where, inner, depth + 1) for where, inner in reversed(_parts(part)))
    return ""


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        inner = [(f"[{key!r:.40}]", one) for key, one in value.items()]
        return [*((f" key {key!r:.40}", key) for key in value if not isinstance(key, str) or _blame(key)), *inner]
    if isinstance(value, list | tuple):
        return [(f"[{index}]", one) for index, one in enumerate(value)]
    return [(f".{name}", getattr(value, name)) for name in field_names(type(value)) or () if hasattr(value, name)]


def _blame(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return ""  # right where its own class is declared
    if isinstance(value, _BUILTINS) and type(value) not in _BUILTINS:
        return f"{value!r:.80} is a {type(value).__qualname__}: what is read has no subclasses of builtin types"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value!r} is not a finite number"
    if isinstance(value, int) and not INT_MIN <= value <= INT_MAX:
        return "an integer beyond 64 bits"
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            return str(error)
    return ""
