"""Cuts one value of a state, as far as one call can pack it, and tells whether it changed."""

from __future__ import annotations

from typing import Any, Final

from lrm_actors.actors.checkpoints import sizes
from lrm_actors.actors.checkpoints.leaves import BLOB, Branch, Leaf, Node
from lrm_actors.actors.checkpoints.marking import Marks
from lrm_actors.actors.checkpoints.plain import (
    DICT,
    FEW_LEVELS,
    LIST,
    MAX_DEPTH,
    OBJECT,
    SCALAR,
    TUPLE,
    UNPACKABLE,
    bytes_head,
    is_frozen_object,
    is_simple,
    kind_of,
    look_through,
    pack,
    pack_quickly,
    shown,
)
from lrm_actors.actors.checkpoints.texts import is_long_text

MAX_MISSED = 20
"""Missed changes that are told."""

NO_KEY: Final = object()
"""Of a value that stands in no dict."""
NOTHING_MARKED: Final[Marks] = {}
HEAVY: Final = object()
"""In place of the node of a value that is to be cut into its values or pieces."""


class ValueCutter:
    """Cuts values of one state.

    Args:
        identity: frozen objects that are the same object are taken to be as they were.
        check: see whether the way of finding changes misses any.
    """

    def __init__(self, *, identity: bool, check: bool) -> None:
        self._identity = identity
        self._check = check
        self._missed: list[str] = []
        self._path: list[Any] = []
        """Of the value that is cut."""

    def _is_same(self, value: Any, old: Node, marks: Marks | None, key: Any) -> bool:
        """Told quickly: that a value did not change. What it cannot tell, ``_light`` does."""
        cls = type(value)
        if old.of is value and (
            cls is str or cls is bytes or (self._identity and not self._check and value is not None)
        ):
            return True
        if marks is not None and not self._check:
            return key not in marks
        if type(old) is Leaf and (cls is dict or cls is list) and len(value) <= 4 * sizes.WIDE:
            try:
                return (pack_quickly({key: value})[1:] if old.has_key else pack_quickly(value)) == old.data
            except UNPACKABLE:
                return False
        return False

    def _marked(self, value: Any, old: Node | None, marks: Marks | None, key: Any) -> tuple[bool, Marks | None]:
        """Whether a fast way would not have looked at a value, and what is marked below it."""
        if old is not None and (key not in marks if marks is not None else old.of is value and value is not None):
            return True, NOTHING_MARKED
        return False, None if marks is None else marks.get(key)

    def _light(self, value: Any, key: Any, old: Node | None, *, skip: bool, loose: bool) -> Any:
        """The node of a value that one call can pack; the old one, if nothing changed; or ``HEAVY``.

        Args:
            value: a part of the state.
            key: its own, if it is in a dict.
            old: what was there before.
            skip: a fast way would not have looked at it.
            loose: it is a part of an object.
        """
        kind = kind_of(value)
        is_container = kind in {DICT, LIST, OBJECT} or (kind == TUPLE and loose)
        if type(value) is bytes and len(value) >= sizes.BLOB_BYTES:
            return self._blob(value, key, old, skip=skip)
        if is_long_text(value):
            return HEAVY
        if is_container and (type(old) is Branch or (kind != OBJECT and len(value) > 4 * sizes.WIDE)):
            return HEAVY
        has_key = key is not NO_KEY
        # What has changed may be large by now, and is not packed before that is known. Objects may be as they were.
        looks_first = type(old) is not Leaf or kind in {DICT, LIST}
        if looks_first and not self._is_small(value, loose=loose) and is_container:
            return HEAVY
        whole, path = ({key: value}, self._path[:-1]) if has_key else (value, self._path)
        data = pack(whole, path, loose=loose)[has_key:]
        if type(old) is Leaf and old.data == data and (is_container or kind == SCALAR):  # a set packs as a list does
            old.of = self._known_by(value)  # which may be another object, or was not worth knowing until now
            return old
        if old is not None:
            self._changed(skip=skip)
        if not looks_first and not self._is_small(value, loose=loose) and is_container:
            return HEAVY
        return Leaf(data, self._known_by(value), has_key=has_key)

    def _is_small(self, value: Any, *, loose: bool) -> bool:
        """Whether a value can have one leaf. Sees that it is plain, as ``look_through`` does."""
        if len(self._path) < MAX_DEPTH - FEW_LEVELS and is_simple(value, sizes.SPLIT_BYTES):
            return True
        return look_through(value, self._path, loose=loose, budget=sizes.SPLIT_BYTES)

    def _blob(self, value: bytes, key: Any, old: Node | None, *, skip: bool) -> Node:
        if type(old) is Branch and old.layout == BLOB and old.nodes[0].data == value:
            return old
        if old is not None:
            self._changed(skip=skip)
        head = (b"" if key is NO_KEY else pack(key, self._path)) + bytes_head(len(value))
        return Branch(Leaf(head), BLOB, [Leaf(value, is_blob=True)], value)

    def _known_by(self, value: Any) -> Any:
        cls = type(value)
        if cls is str or cls is bytes:
            return value if len(value) >= sizes.KNOWN_BYTES else None
        return value if self._identity and is_frozen_object(value) else None

    def _changed(self, *, skip: bool) -> None:
        if skip and len(self._missed) < MAX_MISSED:
            self._missed.append(shown(self._path))
