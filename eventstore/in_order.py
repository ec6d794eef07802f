"""Reading the attachments of many keys: in pages, in the order of the keys, none of them hidden by a damaged one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

from eventstore.asked import check_text
from eventstore.records import Attachment

PAGE_KEYS = 256
"""Attachments that are read together. Each of them is in memory until the next such page is read."""

Row = TypeVar("Row")


class InOrder(Iterator[Attachment], Generic[Row]):
    """The attachments of some keys in their order, a page read at once. ``next`` goes on behind one that is damaged.

    Args:
        wanted: the keys.
        read: what there is of a page of them, by key.
        open_row: makes an attachment of that, or raises what is wrong with it.
    """

    def __init__(
        self,
        wanted: Iterable[str],
        read: Callable[[Sequence[str]], Mapping[str, Row]],
        open_row: Callable[[str, Row | None], Attachment],
    ) -> None:
        self._wanted = map(_text, wanted)
        self._read = read
        self._open_row = open_row
        self._page: deque[str] = deque()
        self._rows: Mapping[str, Row] | None = None

    def __next__(self) -> Attachment:
        if not self._page:
            self._page.extend(islice(self._wanted, PAGE_KEYS))
            if not self._page:
                raise StopIteration
            self._rows = None
        if self._rows is None:  # also where the last call could not read them
            self._rows = self._read(tuple(self._page))
        key = self._page.popleft()
        return self._open_row(key, self._rows.get(key))


def _text(key: str) -> str:
    check_text("one of keys", key)
    return key
