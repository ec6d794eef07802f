"""Whether every checkpoint of a log can be restored: through its chain, each row of the log read once.

Talks to the log; changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from eventstore.errors import ReadFailed
from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from lrm_actors.domain.checkpointer import CheckpointerState
from lrm_actors.domain.checkpointing.chains import chain_of
from lrm_actors.domain.retention import id_ms
from lrm_actors.errors import CheckpointDamaged
from lrm_actors.hosting.reading import CheckpointReader


@frozen
class Checked:
    """One checkpoint that was read."""

    checkpoint_id: str
    why: str = ""
    """Why it cannot be restored; empty when it can."""

    @property
    def ok(self) -> bool:
        """Whether it can be restored."""
        return not self.why


def check_checkpoints(reader: EventReader, kept: CheckpointerState) -> tuple[Checked, ...]:
    """Restore every checkpoint that is kept, those on record as damaged included. Oldest first.

    Args:
        reader: the log.
        kept: the checkpoints there are.
    """
    checkpoints = CheckpointReader(reader, kept)
    # Chain by chain: what was read of one is given up with it.
    by_chain = sorted(kept.kept, key=lambda info: chain_of(kept, info.checkpoint_id)[0].checkpoint_id)
    found = [_checked(checkpoints, info.checkpoint_id) for info in by_chain]
    return tuple(sorted(found, key=lambda one: id_ms(one.checkpoint_id)))


def checked(reader: EventReader, kept: CheckpointerState) -> Iterator[tuple[str, str]]:
    """The same as pairs, as ``inspect.verify`` takes them."""
    return ((one.checkpoint_id, one.why) for one in check_checkpoints(reader, kept))


def _checked(checkpoints: CheckpointReader, checkpoint_id: str) -> Checked:
    try:
        checkpoints.restore(checkpoint_id)
    except CheckpointDamaged as error:
        return Checked(checkpoint_id, error.reason)
    except ReadFailed as error:
        return Checked(checkpoint_id, str(error))
    return Checked(checkpoint_id)
