"""What changed between two states of plain data: a list of changes, each with its path. Reads nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from eventstore.frozen import frozen

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
MAX_CHANGES = 1_000
"""Changes that are told unless somebody asks for more."""
MAX_MATCHED = 2_000
"""Entries of a list that are matched with those of another; beyond it they are compared place by place."""

_MISSING = object()


@frozen
class Change:
    """One difference."""

    path: tuple[Any, ...]
    """Keys and indexes from the top. In a list, the index of what was removed is that of the first state, of anything
    else that of the second."""
    kind: str
    """``added``, ``removed`` or ``changed``."""
    before: Any = None
    """What stood there; None where nothing did."""
    after: Any = None
    """What stands there now; None where nothing does."""

    @property
    def where(self) -> str:
        """The path as text: ``agent_state.history[12].url``."""
        return path_text(self.path)


def differences(before: Any, after: Any, *, limit: int = MAX_CHANGES) -> list[Change]:
    """What has to be done to one state to get the other.

    A value of another type is another value: ``1`` is neither ``1.0`` nor ``True``. Entries of a list that were moved
    by others, put in before them or taken out, are found again and told as none.

    Args:
        before: plain data.
        after: plain data.
        limit: changes at most. As many may mean that there are more.
    """
    return list(islice(_changes(before, after, ()), max(limit, 0)))


def path_text(path: Sequence[Any]) -> str:
    """Keys and indexes as they would be written: ``agent_state.history[12]['a key']``; a dot alone for the whole."""
    text = ""
    for part in path:
        if isinstance(part, str) and part.isidentifier():
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text or "."


def _changes(before: Any, after: Any, path: tuple[Any, ...]) -> Iterator[Change]:
    if type(before) is dict and type(after) is dict:
        yield from _in_dicts(before, after, path)
    elif type(before) is list and type(after) is list:
        yield from _in_lists(before, after, path)
    elif not _same(before, after):
        yield Change(path, CHANGED, before, after)


def _in_dicts(before: dict[Any, Any], after: dict[Any, Any], path: tuple[Any, ...]) -> Iterator[Change]:
    for key, value in before.items():
        other = after.get(key, _MISSING)
        if other is _MISSING:
            yield Change((*path, key), REMOVED, before=value)
        else:
            yield from _changes(value, other, (*path, key))
    for key, value in after.items():
        if key not in before:
            yield Change((*path, key), ADDED, after=value)


def _in_lists(before: list[Any], after: list[Any], path: tuple[Any, ...]) -> Iterator[Change]:
    """Lists grow at an end, or lose their oldest entries: what both have is found first."""
    start, end = _alike(before, after)
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    for tag, i1, i2, j1, j2 in _matched(old, new):
        if tag == "equal":
            continue
        both = min(i2 - i1, j2 - j1)
        for offset in range(both):
            yield from _changes(old[i1 + offset], new[j1 + offset], (*path, start + j1 + offset))
        for at in range(i1 + both, i2):
            yield Change((*path, start + at), REMOVED, before=old[at])
        for at in range(j1 + both, j2):
            yield Change((*path, start + at), ADDED, after=new[at])


def _alike(before: list[Any], after: list[Any]) -> tuple[int, int]:
    """How many entries at the beginning, and behind them at the end, are the same in both."""
    shorter = min(len(before), len(after))
    start = 0
    while start < shorter and _equal(before[start], after[start]):
        start += 1
    end = 0
    while end < shorter - start and _equal(before[-1 - end], after[-1 - end]):
        end += 1
    return start, end


def _matched(old: list[Any], new: list[Any]) -> Iterator[tuple[str, int, int, int, int]]:
    if not old or not new or len(old) + len(new) > MAX_MATCHED:
        return iter([("replace", 0, len(old), 0, len(new))])
    from difflib import SequenceMatcher  # an agent that runs has no use for it

    matcher = SequenceMatcher(None, [_print(one) for one in old], [_print(one) for one in new], autojunk=False)
    return iter(matcher.get_opcodes())


def _print(value: Any) -> bytes:
    """Something that two values share only if they are equal, type by type."""
    try:
        packed = msgspec.msgpack.encode(value)
    except (TypeError, ValueError, OverflowError):  # a whole number of more than 64 bits
        packed = repr(value).encode(errors="backslashreplace")
    return hashlib.blake2b(packed, digest_size=16).digest()


def _equal(before: Any, after: Any) -> bool:
    return next(_changes(before, after, ()), None) is None


def _same(before: Any, after: Any) -> bool:
    # A number that is none is not equal to itself, and no change all the same.
    return type(before) is type(after) and (before == after or (before != before and after != after))  # noqa: PLR0124
