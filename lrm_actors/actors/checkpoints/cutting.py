"""Cuts a host's state: packs it leaf by leaf, in slices short enough for an event loop, and finds what changed.

Every value is packed again and its bytes are compared with those of the last cut, which no change can escape. Two
faster ways skip what is said not to have changed: frozen objects that are the same object as before, and whatever the
host did not mark. They can be checked: then everything is packed all the same, and a change that would have been missed
is told.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping
from itertools import islice
from typing import Any

from lrm_actors.actors.checkpoints import sizes
from lrm_actors.actors.checkpoints.leaves import BLOCKS, EACH, PAIRS, Branch, Cut, Leaf, Node, flatten
from lrm_actors.actors.checkpoints.likeness import begins_with, comparable, place_of, stands_as_it_stood
from lrm_actors.actors.checkpoints.marking import COMPARE, IDENTITY, MARKS, Marks
from lrm_actors.actors.checkpoints.plain import (
    DICT,
    LIST,
    MAX_DEPTH,
    OBJECT,
    UNPACKABLE,
    array_head,
    check_key,
    fields_of,
    is_frozen_object,
    kind_of,
    look_through,
    map_head,
    pack,
    pack_quickly,
    shown,
    unpack,
)
from lrm_actors.actors.checkpoints.texts import cut_text
from lrm_actors.actors.checkpoints.values import HEAVY, NO_KEY, NOTHING_MARKED, ValueCutter
from lrm_actors.errors import NotCapturable

SLICE_S = 0.001
"""Seconds of the loop's time after which a cut lets others in."""
SAMPLED = 8
"""Values that are looked at to tell."""
PATIENCE = 64
"""Values in a row that were looked for in vain, before a list is taken to be a new one."""
LOOKS = 8
"""Values of a list that did not change, until the clock is looked at."""

_Cutting = Generator[None, None, Node]


class Cutter(ValueCutter):
    """Makes one cut.

    Args:
        previous: the last cut, if there was one. Its objects are taken over where nothing changed.
        way: how the change is found.
        marks: in the way of marks, what may have changed; None: everything.
        check: see whether the way misses anything.
        loose: the state is the fields of an object, where tuples may be.
    """

    def __init__(
        self,
        previous: Node | None = None,
        *,
        way: str = COMPARE,
        marks: Marks | None = None,
        check: bool = False,
        loose: bool = False,
    ) -> None:
        super().__init__(identity=way == IDENTITY, check=check)
        self._previous = previous
        self._loose = loose
        self._marks = marks if way == MARKS else None
        self._sizes: list[tuple[Any, int]] = []
        self._until_s = 0.0

    def at_once(self, state: Any) -> Cut:
        """Cut in one slice.

        Raises:
            NotCapturable: something in it is not plain data; the message names the path.
        """
        cutting = self.in_slices(state, first_s=float("inf"))
        while True:
            try:
                next(cutting)
            except StopIteration as done:
                cut: Cut = done.value
                return cut

    def in_slices(self, state: Any, *, first_s: float = 0.0) -> Generator[None, None, Cut]:
        """Cut, and let go of the thread again and again: each ``next`` is a slice of about ``SLICE_S``.

        Args:
            state: see ``at_once``.
            first_s: the first slice may be so long, so that a cut that takes no longer is made in one go.

        Raises:
            NotCapturable: something in it is not plain data; the message names the path.
        """
        walk = self._walk(state)
        root: Node | None = None
        longest_s, all_s, slices = 0.0, 0.0, 0
        while True:
            began_s = time.perf_counter()
            self._until_s = began_s + (SLICE_S if slices else max(first_s, SLICE_S))
            try:
                next(walk)
            except StopIteration as done:
                root = done.value
            except RuntimeError as error:  # a dict does not let itself be walked on after it has changed
                if isinstance(error, RecursionError) or not slices:
                    raise
                return Cut(Leaf(b""), slices, longest_s * 1000, all_s * 1000, changed_meanwhile=True)
            took_s = time.perf_counter() - began_s
            longest_s, all_s, slices = max(longest_s, took_s), all_s + took_s, slices + 1
            if root is not None:
                return self._done(root, longest_s * 1000, all_s * 1000, slices)
            yield

    def _done(self, root: Node, longest_ms: float, took_ms: float, slices: int) -> Cut:
        torn = slices > 1 and any(len(container) != size for container, size in self._sizes)
        return Cut(root, slices, longest_ms, took_ms, tuple(self._missed), torn)

    # --- the walk -------------------------------------------------------------------------------------------------

    def _walk(self, state: Any) -> _Cutting:
        old = self._previous
        loose = self._loose
        if type(old) is Leaf and not look_through(state, self._path, loose=loose, budget=sizes.SPLIT_BYTES):
            old = None  # a first checkpoint has little to tell: what has come since is not packed in one call
        node = self._light(state, NO_KEY, old, skip=False, loose=loose)
        if node is HEAVY:
            node = yield from self._container(state, b"", old, self._marks, loose=loose)
        assert isinstance(node, Node)
        return node

    def _container(self, value: Any, key: bytes, old: Node | None, marks: Marks | None, *, loose: bool) -> _Cutting:
        """Cut a container into the values that it holds, or a long text into pieces."""
        if len(self._path) >= MAX_DEPTH:
            raise NotCapturable(f"nested more than {MAX_DEPTH} levels deep, or within itself, at {shown(self._path)}")
        if type(value) is str:
            text = yield from cut_text(value, key, old, lambda: self._until_s, lambda: shown(self._path))
            if old is not None and flatten(text) != flatten(old):
                self._changed(skip=marks is NOTHING_MARKED)
            return text
        kind = kind_of(value)
        loose = loose or kind == OBJECT
        whole = value
        if kind == OBJECT:
            value = fields_of(value, self._path)
        is_map = kind in {DICT, OBJECT}
        if kind in {DICT, LIST}:
            self._sizes.append((value, len(value)))
        previous = comparable(old, is_map=is_map)
        if len(value) <= sizes.FEW:
            width = 0
        elif previous is not None:
            width = previous.width
        else:
            width = self._width_for(value, is_map=is_map, loose=loose)
        layout = EACH if not width else PAIRS if is_map else BLOCKS
        if previous is not None and previous.layout != layout:
            previous = None
        head = key + (map_head(len(value)) if is_map else array_head(len(value)))
        head_leaf = previous.head if previous is not None and previous.head.data == head else Leaf(head)
        nodes: Any
        if width:
            nodes = yield from self._blocks(value, previous, width, is_map=is_map, loose=loose)
        elif is_map:
            nodes = yield from self._pairs(value, previous, marks, loose=loose)
        else:
            nodes = yield from self._values(value, previous, marks, loose=loose)
        if marks is NOTHING_MARKED and not stands_as_it_stood(previous, head_leaf, nodes):
            self._changed(skip=True)
        of = whole if self._identity and is_frozen_object(whole) else None
        return Branch(head_leaf, layout, nodes, of, width=width)

    def _pairs(
        self, value: Mapping[Any, Any], old: Branch | None, marks: Marks | None, *, loose: bool
    ) -> Generator[None, None, dict[Any, Node]]:
        previous: dict[Any, Node] = {} if old is None else old.nodes
        nodes: dict[Any, Node] = {}
        path, clock = self._path, time.perf_counter
        path.append(None)
        for key, one in value.items():
            before = previous.get(key)
            if before is not None and type(key) is not str:
                check_key(key, path[:-1])
                before = before if begins_with(before, pack(key, path)) else None
            if before is not None and self._is_same(one, before, marks, key):
                nodes[key] = before
            else:
                path[-1] = key
                if before is None:
                    check_key(key, path[:-1])
                skip, below = self._marked(one, before, marks, key)
                node = self._light(one, key, before, skip=skip, loose=loose)
                if node is HEAVY:
                    node = yield from self._container(one, pack(key, path), before, below, loose=loose)
                nodes[key] = node
            if clock() > self._until_s:
                yield
        path.pop()
        return nodes

    def _values(
        self, value: Any, old: Branch | None, marks: Marks | None, *, loose: bool
    ) -> Generator[None, None, list[Node]]:
        previous: list[Node] = [] if old is None else old.nodes
        if marks is not None and not all(type(index) is int and index >= 0 for index in marks):
            marks = None  # which value an index from the end meant, nobody knows any more: any of them
        if marks is not None and not self._check:
            return (yield from self._marked_values(value, previous, marks, loose=loose))
        nodes: list[Node] = []
        path, clock = self._path, time.perf_counter
        path.append(None)
        shift, in_vain, known = 0, 0, len(previous)
        packs, most = marks is None and not self._identity, 4 * sizes.WIDE
        for index, one in enumerate(value):
            at = index + shift
            before = previous[at] if 0 <= at < known else None
            if packs and type(one) is dict and type(before) is Leaf and len(one) <= most:
                try:  # what _is_same() would do, without a call for each of many
                    is_same = pack_quickly(one) == before.data
                except UNPACKABLE:
                    is_same = False
            else:
                is_same = before is not None and self._is_same(one, before, marks, index)
            if before is not None and is_same:
                nodes.append(before)
                in_vain = 0
            else:
                path[-1] = index
                skip, below = self._marked(one, before, marks, index)
                node = self._light(one, NO_KEY, before, skip=skip, loose=loose)
                if node is HEAVY:
                    node = yield from self._container(one, b"", before, below, loose=loose)
                elif node is before:
                    in_vain = 0
                elif known and in_vain < PATIENCE and marks is None:
                    found = place_of(node, previous, at)
                    if found is None:
                        in_vain += 1
                    else:
                        node, shift, in_vain = previous[found], found - index, 0
                nodes.append(node)
            if (not is_same or index % LOOKS == 0) and clock() > self._until_s:
                yield
        path.pop()
        return nodes

    def _marked_values(
        self, value: Any, previous: list[Node], marks: Marks, *, loose: bool
    ) -> Generator[None, None, list[Node]]:
        """The values of a list of which only some are looked at: the marked ones, and those that were added."""
        nodes = previous[: len(value)]
        places = sorted(index for index in marks if type(index) is int and 0 <= index < len(nodes))
        looked_at = [(index, value[index]) for index in (*places, *range(len(nodes), len(value)))]
        for index, one in looked_at:
            self._path.append(index)
            before, below = nodes[index] if index < len(nodes) else None, marks.get(index)
            node = self._light(one, NO_KEY, before, skip=False, loose=loose)
            if node is HEAVY:
                node = yield from self._container(one, b"", before, below, loose=loose)
            nodes[index : index + 1] = [node]
            self._path.pop()
            if time.perf_counter() > self._until_s:
                yield
        return nodes

    def _blocks(
        self, value: Any, old: Branch | None, width: int, *, is_map: bool, loose: bool
    ) -> Generator[None, None, list[Node]]:
        previous: list[Node] = [] if old is None else old.nodes
        nodes: list[Node] = []
        rest: Iterable[Any] = iter(value.items() if is_map else value)
        while chunk := list(islice(rest, width)):
            before = previous[len(nodes)] if len(nodes) < len(previous) else None
            block: Any = dict(chunk) if is_map else chunk
            try:
                node = self._block(block, before, loose=loose)
            except NotCapturable:
                look_through(value, self._path, loose=loose)  # which knows where in the whole it stands
                raise
            if node is None:  # one of its values is large
                within = before if type(before) is Branch else None
                make = self._pairs if is_map else self._values
                parts = yield from make(block, within, None, loose=loose)
                node = Branch(Leaf(b"") if within is None else within.head, EACH, parts)
            nodes.append(node)
            if time.perf_counter() > self._until_s:
                yield
        return nodes

    def _block(self, block: Any, old: Node | None, *, loose: bool) -> Node | None:
        """A leaf of several values, or nothing where one of them is large."""
        if type(old) is Branch:
            return None
        if old is None and not look_through(block, self._path, loose=loose, budget=sizes.BLOCK_BYTES):
            return None
        size = len(map_head(len(block)))
        data = pack(block, self._path, loose=loose)
        if type(old) is Leaf:
            if old.data == data[size:]:
                return old
            # Where many small values move up by one, each block is another one: what comes back equal is plain enough.
            if unpack(data) != block and not look_through(block, self._path, loose=loose, budget=sizes.BLOCK_BYTES):
                return None
        return Leaf(data[size:])

    def _width_for(self, value: Any, *, is_map: bool, loose: bool) -> int:
        """How many values of a wide container make a block; 0: each of them is large enough for a leaf of its own."""
        every = len(value) // SAMPLED
        if is_map:  # of which none can be had but by going through those before it
            sample = list(islice(value.values(), 0, sizes.WIDE * SAMPLED, sizes.WIDE))
        else:
            sample = [value[index] for index in range(0, every * SAMPLED, every)]
        small = [one for one in sample if look_through(one, self._path, loose=loose, budget=sizes.WORTH_A_LEAF)]
        if len(small) * 2 <= len(sample):
            return 0
        on_average = max(1, len(pack(small, self._path, loose=loose)) // len(small))
        return min(sizes.WIDEST, max(sizes.WIDE, sizes.BLOCK_TARGET // on_average))
