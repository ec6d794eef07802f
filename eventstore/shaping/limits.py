"""How large, how deep and how long the numbers of what is stored may be; everything has a finite limit."""

from __future__ import annotations

from typing import Any

import msgspec

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
MAX_EVENT_BYTES = 16 * 1024 * 1024
"""JSON bytes of one event, or of one reply to a command."""
MAX_STATE_BYTES = 256 * 1024 * 1024
"""JSON bytes of one state. SQLite itself ends at 1,000,000,000 bytes in a row."""
MAX_DEPTH = 100
"""Objects and arrays inside each other, the event itself included. The decoder's own limit depends on the stack."""

_TO_ZEROS = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_LONG_NUMBER = b"0" * 19  # the shortest run of digits that may exceed 64 bits
_decode_any = msgspec.json.Decoder().decode


def beyond_limits(data: bytes, *, integers: bool = True, unbounded: bool = True, levels: int = MAX_DEPTH) -> str:
    """Why JSON holds an integer beyond 64 bits or is nested too deep; empty when it is not so.

    Args:
        data: JSON.
        integers: whether it may hold integers.
        unbounded: whether it may be nested deeper than is known beforehand.
        levels: how deep it may be nested.
    """
    if is_suspect(data, integers=integers, unbounded=unbounded, levels=levels):
        return _look(_decode_any(data), levels)
    return ""


def is_suspect(data: bytes, *, integers: bool, unbounded: bool, levels: int = MAX_DEPTH) -> bool:
    """Whether JSON may be beyond a limit, at a quick look: digits and brackets in text make it so too."""
    if integers and data.translate(_TO_ZEROS).find(_LONG_NUMBER) >= 0:
        return True
    return unbounded and data.count(b"[") + data.count(b"{") > levels


def _look(value: Any, levels: int) -> str:
    level: list[Any] = [value]
    for depth in range(levels + 1):
        if any(isinstance(one, int) and not INT_MIN <= one <= INT_MAX for one in level):
            return "an integer beyond 64 bits"
        holders = [one for one in level if isinstance(one, dict | list)]
        if not holders:
            break
        if depth == levels:
            return f"nested more than {MAX_DEPTH if levels == MAX_DEPTH - 1 else levels} levels deep"
        level = [inner for one in holders for inner in (one.values() if isinstance(one, dict) else one)]
    return ""
