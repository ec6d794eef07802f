"""Makes the bytes of checkpoints, one after the other: what changed since the last one, or all of it now and then.

Remembers the last document in memory. Off the loop: whoever calls it is a worker, and lets other threads in.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import attrs

from eventstore.frozen import frozen
from lrm_actors.actors.checkpoints import delta, form
from lrm_actors.actors.checkpoints.cutting import Cut
from lrm_actors.actors.checkpoints.leaves import Leaf, Node, flatten
from lrm_actors.errors import NotCapturable

MAX_CHAIN = 256
"""Checkpoints on one base: each costs a restore some 20 µs."""
OUTGROWN = 1.0
"""A new base is made when the deltas together are so many times as large as their base."""
SMALL_BASE_BYTES = 16 * 1024
"""A base counts for at least so much, or small states would be written whole all the time."""
HASHED_AT_A_TIME = 64
"""Leaves, before other threads are let in."""


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
    blobs: tuple[tuple[str, bytes], ...] = attrs.field(default=(), repr=False)
    """Large bytes that its parent does not have, by their digest."""
    gone: tuple[str, ...] = ()
    """Digests of those that only its parent has."""


class Encoder:
    """Makes deltas, each on the checkpoint before."""

    def __init__(self) -> None:
        self.tip: str = ""
        """Id of the last checkpoint; "": there is none, and the next is a base."""
        self.root: Node | None = None
        """What it was cut into."""
        self._flat: list[Leaf] = []
        self._base_bytes = self._delta_bytes = self._chain = 0

    def forget(self) -> None:
        """The next checkpoint is a base."""
        self.tip, self.root, self._flat = "", None, []

    def encode(
        self, cut: Cut, *, checkpoint_id: str, hints: Iterable[str] = (), state_version: int = 1, whole: bool = False
    ) -> EncodedCheckpoint:
        """The bytes to keep of a cut; it is the one that the next is a delta on.

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
            self.forget()  # the leaves may know places that are none
            raise

    def _encoded(
        self, cut: Cut, checkpoint_id: str, hints: tuple[str, ...], state_version: int, *, whole: bool
    ) -> EncodedCheckpoint:
        flat = flatten(cut.root)
        size = sum([len(leaf.data) for leaf in flat])
        if size > form.MAX_STATE_BYTES:
            raise NotCapturable(f"the state has {size} bytes, at most {form.MAX_STATE_BYTES} can be stored")
        is_base = whole or not self.tip or self._chain >= MAX_CHAIN or self._outgrown()
        old = [] if is_base else self._flat
        if is_base:
            for leaf in flat:
                leaf.at = -1
        runs, fresh = delta.runs_of(flat)
        dropped = delta.dropped(runs, old) if old else []
        for leaf in dropped:
            leaf.at = -1
        _hash(fresh)
        data = form.write(
            checkpoint_id=checkpoint_id,
            parent="" if is_base else self.tip,
            hints=hints,
            state_version=state_version,
            runs=runs,
            fresh=[(leaf.data, leaf.digest if leaf.is_blob else None) for leaf in fresh],
            prefix=[leaf.data for leaf in dropped if not leaf.is_blob],
        )
        encoded = EncodedCheckpoint(
            data,
            form.digest_of_state(checkpoint_id, hints, state_version, [leaf.digest for leaf in flat]),
            size,
            "" if is_base else self.tip,
            *_blobs(flat, old, fresh, dropped),
        )
        self._adopt(checkpoint_id, cut.root, flat, len(data), is_base=is_base)
        return encoded

    def _outgrown(self) -> bool:
        return self._delta_bytes > OUTGROWN * max(self._base_bytes, SMALL_BASE_BYTES)

    def _adopt(self, checkpoint_id: str, root: Node, flat: list[Leaf], stored: int, *, is_base: bool) -> None:
        self.tip, self.root, self._flat = checkpoint_id, root, flat
        if is_base:
            self._base_bytes, self._delta_bytes, self._chain = stored, 0, 1
        else:
            self._delta_bytes += stored
            self._chain += 1


def _hash(leaves: Iterable[Leaf]) -> None:
    """Have each leaf know its digest, a few at a time."""
    for seen, leaf in enumerate(leaves):
        leaf.know_digest()
        if seen % HASHED_AT_A_TIME == HASHED_AT_A_TIME - 1:
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
