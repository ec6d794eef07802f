"""Makes the bytes of checkpoints, one after the other: what changed since the last one, or all of it now and then.

Remembers the last document in memory. Off the loop: whoever calls it is a worker, and lets other threads in.

A checkpoint is made on the one before it, but for every ``STRIDE``-th, an *anchor*: that is made on the anchor before,
and the first of them is a base. So restoring one reads its base, the anchors up to it, and fewer than ``STRIDE``
others, and what lies between two anchors is needed by nothing that comes later.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import attrs

from eventstore.frozen import frozen
from lrm_actors.actors.checkpoints import delta, form
from lrm_actors.actors.checkpoints.leaves import Cut, Leaf, Node, flatten
from lrm_actors.errors import NotCapturable

STRIDE = 32
"""Checkpoints from one anchor to the next. Each costs a restore a fraction of a millisecond."""
MAX_ANCHORS = 32
"""Of one base."""
OUTGROWN, ANCHORS_OUTGROWN = 1.0, 1.5
"""A new base is made when what was stored since the last anchor is so many times as large as the base, or when the
anchors together are."""
SMALL_BASE_BYTES = 16 * 1024
"""A base counts for at least so much, or small states would be written whole all the time."""
LOOKED_AT_A_TIME, HASHED_AT_A_TIME = 5_000, 1_000
"""Leaves, before other threads are let in: about a millisecond. Letting them in takes a tenth of one."""


@frozen
class EncodedCheckpoint:
    """The bytes of a checkpoint."""

    data: bytes
    digest: str
    """Over the state and what stands beside it, hex."""
    size_bytes: int
    """Of the packed state."""
    parent: str = ""
    """The one that it is a delta on; "": it is a base."""
    parent_digest: str = ""
    """That one's digest: one of the same name may be captured anew."""
    blobs: tuple[tuple[str, bytes], ...] = attrs.field(default=(), repr=False)
    """Large bytes that its parent does not have, by their digest."""
    gone: tuple[str, ...] = ()
    """Digests of those that only its parent has."""


@frozen
class _Made:
    """A checkpoint that another can be made on."""

    checkpoint_id: str
    flat: list[Leaf]
    size: int
    digest: str


class Encoder:
    """Makes checkpoints, each on one before it."""

    def __init__(self) -> None:
        self.root: Node | None = None
        """What the last one was cut into."""
        self._last: _Made | None = None
        self._anchor: _Made | None = None
        self._since = self._since_bytes = 0
        """Checkpoints since the anchor."""
        self._anchors = self._anchor_bytes = self._base_bytes = 0
        """Since the base."""

    @property
    def tip(self) -> str:
        """Id of the last checkpoint; "": there is none, and the next is a base."""
        return "" if self._last is None else self._last.checkpoint_id

    def forget(self) -> None:
        """The next checkpoint is a base."""
        self.root = self._last = self._anchor = None

    def encode(
        self, cut: Cut, *, checkpoint_id: str, hints: Iterable[str] = (), state_version: int = 1, whole: bool = False
    ) -> EncodedCheckpoint:
        """The bytes to keep of a cut; it is the one that the next is made on.

        Args:
            cut: the state.
            checkpoint_id: of this checkpoint.
            hints: of its moment.
            state_version: of the host's state.
            whole: make a base in any case.

        Raises:
            NotCapturable: the state is too large.
        """
        try:
            return self._encoded(cut, checkpoint_id, tuple(hints), state_version, whole=whole)
        except BaseException:
            self.forget()  # what it was made on may be there in part only
            raise

    def _encoded(
        self, cut: Cut, checkpoint_id: str, hints: tuple[str, ...], state_version: int, *, whole: bool
    ) -> EncodedCheckpoint:
        flat = flatten(cut.root)
        is_anchor = self._since >= STRIDE
        on = None if whole or self._wants_base(is_anchor=is_anchor) else self._anchor if is_anchor else self._last
        old = [] if on is None else on.flat
        size = _checked(_size_of(flat)) if on is None else 0
        _let_others_in(len(flat))
        parent, parent_digest = ("", "") if on is None else (on.checkpoint_id, on.digest)
        data, fresh, dropped = row_of(
            flat, old, checkpoint_id=checkpoint_id, parent=parent, hints=hints, state_version=state_version
        )
        if on is not None:
            is_once = len(flat) - len(fresh) == len(old) - len(dropped)  # and no leaf is taken over twice
            size = _checked(on.size + _size_of(fresh) - _size_of(dropped) if is_once else _size_of(flat))
        digest = form.digest_of_state(checkpoint_id, hints, state_version, [leaf.digest for leaf in flat])
        made = _Made(checkpoint_id, flat, size, digest)
        self._adopt(made, cut.root, len(data), is_base=on is None, is_anchor=is_anchor)
        blobs, gone = _blobs(flat, old, fresh, dropped)
        return EncodedCheckpoint(data, digest, size, parent, parent_digest, blobs, gone)

    def _wants_base(self, *, is_anchor: bool) -> bool:
        if self._last is None:
            return True
        base = max(self._base_bytes, SMALL_BASE_BYTES)
        if self._since_bytes > OUTGROWN * base or self._anchor_bytes > ANCHORS_OUTGROWN * base:
            return True
        return is_anchor and self._anchors >= MAX_ANCHORS

    def _adopt(self, made: _Made, root: Node, stored: int, *, is_base: bool, is_anchor: bool) -> None:
        self.root, self._last = root, made
        if is_base:
            self._anchors = self._anchor_bytes = 0
            self._base_bytes = stored
        elif is_anchor:
            self._anchors += 1
            self._anchor_bytes += stored
        if is_base or is_anchor:
            self._anchor = made
            self._since = self._since_bytes = 0
        self._since += 1
        self._since_bytes += 0 if is_base or is_anchor else stored


def row_of(
    flat: Sequence[Leaf],
    old: Sequence[Leaf],
    *,
    checkpoint_id: str,
    parent: str,
    hints: Iterable[str],
    state_version: int,
) -> tuple[bytes, list[Leaf], list[Leaf]]:
    """The bytes of a checkpoint, the leaves that are new in it, and those of its parent that it drops.

    Args:
        flat: its leaves. Those of the parent that it takes over are the same objects.
        old: the parent's leaves; none for a base.
        checkpoint_id: its own.
        parent: id of the one that it is made on; "": it is a base.
        hints: of its moment.
        state_version: of the host's state.
    """
    runs, fresh = delta.runs_of(flat, old if parent else ())
    dropped = delta.dropped(runs, old) if parent else []
    _let_others_in(len(flat))
    _hash(fresh)
    data = form.write(
        checkpoint_id=checkpoint_id,
        parent=parent,
        hints=hints,
        state_version=state_version,
        runs=runs,
        fresh=[(leaf.data, leaf.digest if leaf.is_blob else None) for leaf in fresh],
        prefix=[leaf.data for leaf in dropped if not leaf.is_blob],
    )
    return data, fresh, dropped


def _size_of(leaves: Iterable[Leaf]) -> int:
    """Bytes of some leaves."""
    return sum([len(leaf.data) for leaf in leaves])


def _checked(size: int) -> int:
    """The size of a state that can be kept.

    Raises:
        NotCapturable: it is too large.
    """
    if size > form.MAX_STATE_BYTES:
        raise NotCapturable(f"the state has {size} bytes, at most {form.MAX_STATE_BYTES} can be stored")
    return size


def _hash(leaves: Iterable[Leaf]) -> None:
    """Have each leaf know its digest, a few at a time."""
    for seen, leaf in enumerate(leaves):
        leaf.know_digest()
        if seen % HASHED_AT_A_TIME == HASHED_AT_A_TIME - 1:
            time.sleep(0)


def _let_others_in(seen: int) -> None:
    """Between two parts of the work, where the one that is done went through so many leaves."""
    if seen > LOOKED_AT_A_TIME:
        time.sleep(0)


def _blobs(
    flat: list[Leaf], old: list[Leaf], fresh: list[Leaf], dropped: list[Leaf]
) -> tuple[tuple[tuple[str, bytes], ...], tuple[str, ...]]:
    """Which large bytes there are now that were not there before, and the other way round."""
    if not any(leaf.is_blob for leaf in (*fresh, *dropped)):
        return (), ()
    now = {leaf.digest for leaf in flat if leaf.is_blob}
    before = {leaf.digest for leaf in old if leaf.is_blob}
    added = {leaf.digest.hex(): leaf.data for leaf in fresh if leaf.is_blob and leaf.digest not in before}
    return tuple(added.items()), tuple(sorted(digest.hex() for digest in before - now))
