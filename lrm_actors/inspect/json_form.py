"""The form of a checkpoint in JSON: what JSON has no words for is written as an object with one key that begins with $.

``{"$bytes": "<base64>"}``, ``{"$float": "nan" | "inf" | "-inf"}``, and ``{"$map": [[key, value], ...]}`` for a mapping
whose keys are not all text, or that could be mistaken for one of these. Nothing is lost: ``from_json_form`` gives back
what was written.
"""

from __future__ import annotations

import base64
import math
from typing import Any, Final

BYTES, FLOAT, MAP = "$bytes", "$float", "$map"
_WORDS = frozenset((BYTES, FLOAT, MAP))
_FLOATS: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def to_json_form(value: Any) -> Any:
    """Plain data, as a checkpoint holds it, in values that JSON has."""
    if type(value) is dict:
        if all(type(key) is str for key in value) and not (len(value) == 1 and _WORDS & value.keys()):
            return {key: to_json_form(one) for key, one in value.items()}
        return {MAP: [[to_json_form(key), to_json_form(one)] for key, one in value.items()]}
    if type(value) is list:
        return [to_json_form(one) for one in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return {BYTES: base64.b64encode(value).decode("ascii")}
    if isinstance(value, float) and not math.isfinite(value):
        return {FLOAT: str(value)}
    return value


def from_json_form(value: Any) -> Any:
    """What ``to_json_form`` was given.

    Raises:
        ValueError: it is not such a form.
    """
    if isinstance(value, list):
        return [from_json_form(one) for one in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((word, held),) = value.items()
        if word == BYTES:
            return base64.b64decode(held, validate=True)
        if word == FLOAT:
            return _float(held)
        if word == MAP:
            return _map(held)
    return {key: from_json_form(one) for key, one in value.items()}


def _float(held: Any) -> float:
    if not isinstance(held, str) or held not in _FLOATS:
        msg = f"{FLOAT} holds {held!r:.80}"
        raise ValueError(msg)
    return _FLOATS[held]


def _map(held: Any) -> dict[Any, Any]:
    if not isinstance(held, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in held):
        msg = f"{MAP} holds no pairs"
        raise ValueError(msg)
    try:
        return {from_json_form(key): from_json_form(one) for key, one in held}
    except TypeError as error:
        msg = f"{MAP} has a key that is none"
        raise ValueError(msg) from error
