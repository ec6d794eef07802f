"""What the checkpointer is told, and what comes back to it from a capture."""

from __future__ import annotations

import attrs

from eventstore.frozen import frozen
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.retention import CheckpointerConfig, CheckpointInfo

FULL = "StorageFull"
"""Error of a checkpoint for which the disk had no room."""
FEWEST = 3
"""Checkpoints that are kept however full the disk is, where they fit."""


@frozen
class Configure(Command):
    config: CheckpointerConfig


@frozen
class IntervalOver(Command):
    """The timer."""


@frozen
class GiveUpOverdue(Command):
    """A capture has not come back for too long."""


@frozen
class CheckpointDue(Command):
    """The interval is over."""


@frozen
class ListCheckpoints(Command):
    """The reply is the ids of the sound ones, newest first, once whatever was stored before has taken effect."""


@frozen
class TakeCheckpoint(Command):
    """Capture now. The reply is the checkpoint's id; it is taken when ``checkpointer.taken`` is in the log."""

    kind: str
    reason: str
    error: str = ""
    """The error of an emergency."""
    hints: tuple[str, ...] = ()


@frozen
class Blob:
    """A large binary part of a state, kept once however many checkpoints hold it."""

    digest: str
    """Of its content: the name it is kept under."""
    data: bytes = attrs.field(repr=False)


@frozen
class StoreCheckpoint(Command):
    """The captured state comes back from the host: whole, or as what changed since the checkpoint it builds on."""

    checkpoint_id: str
    kind: str
    reason: str
    data: bytes = attrs.field(repr=False)
    """Compressed."""
    digest: str
    """Of the whole state, hex."""
    size_bytes: int
    """Of the whole state, packed."""
    position: int
    hints: tuple[str, ...] = ()
    parent: str = ""
    """The checkpoint that ``data`` is a change of; empty when it is the whole state."""
    parent_digest: str = ""
    """Digest of the parent's state as it was when this was made: that of an id may be captured anew. Empty: unknown."""
    blobs: tuple[Blob, ...] = ()
    """Those that the parent's state does not hold; all of them without a parent."""
    gone: tuple[str, ...] = ()
    """Digests of blobs that the parent's state holds and this one does not."""
    stall_ms: float = 0.0
    """Longest time that the capture held the host's event loop."""
    way: str = "compare"
    """How the change was found."""
    missed: tuple[str, ...] = ()
    """Paths of the state at which a fast way of finding changes was proven wrong."""
    state_version: int = 1
    """Schema version of the host's state."""

    def where_nothing_fits(self, message: str) -> Command:
        """A checkpoint that does not fit has failed: that fits, and old ones are deleted because of it."""
        return CaptureFailed(self.checkpoint_id, FULL, message)


@frozen
class CaptureFailed(Command):
    checkpoint_id: str
    error: str
    message: str


@frozen
class MarkDamaged(Command):
    checkpoint_id: str
    reason: str
    read: tuple[CheckpointInfo, ...] = ()
    """The rows that were read, as they were: if one was removed or stored anew meanwhile, that is all that was seen.
    Empty where whoever read them has looked again."""


@frozen
class ReportRestored(Command):
    checkpoint_id: str
    passed_over: tuple[str, ...] = ()
    """Newer ones that were damaged."""


@frozen
class CleanUp(Command):
    """Delete all but the best few: the disk is full."""

    keep: int = FEWEST
    gently: bool = False
    """It is only nearly so: keep half of what there is, if that is more."""


@frozen
class PinCheckpoint(Command):
    """Keep a checkpoint whatever the rules say, or leave it to the rules again. The reply is its id."""

    checkpoint_id: str
    pinned: bool = True
    reason: str = ""


@frozen
class Prune(Command):
    """Apply retention now, by other rules than the settings' where they are given. The reply is the ids that went."""

    max_checkpoints: int | None = None
    max_emergency: int | None = None
    max_age_s: float | None = None
    keep_hourly_h: int | None = None
    keep_daily_days: int | None = None
    reason: str = "pruned by hand"

    def config(self, config: CheckpointerConfig) -> CheckpointerConfig:
        """The settings with what is given here in their place."""
        fields = ("max_checkpoints", "max_emergency", "max_age_s", "keep_hourly_h", "keep_daily_days")
        given = {name: getattr(self, name) for name in fields if getattr(self, name) is not None}
        return attrs.evolve(config, **given)


@frozen
class LookAfter(Command):
    """The janitor's timer."""


@frozen
class TidyUp(Command):
    """Something is to go by age, or a chain holds more that nobody keeps than it should."""


@frozen
class NoteMissed(Command):
    """Checkpoints are asked for, and none was stored for too long."""


@frozen
class NoteStep(Command):
    """From the journal's log: a step is committed."""

    step: int


@frozen
class RebasedRow:
    """A checkpoint stored anew: whole, or as a change of another one that is kept."""

    checkpoint_id: str
    parent: str
    data: bytes = attrs.field(repr=False)
    added: tuple[str, ...] = ()
    """Digests of blobs against the parent's state; all of them without a parent."""
    gone: tuple[str, ...] = ()


@frozen
class StoreRebased(Command):
    """A chain comes back without the rows that nobody keeps. Rows that are not named stay as they are."""

    rows: tuple[RebasedRow, ...]

    def where_nothing_fits(self, message: str) -> Command:
        """It is tried again later; until then everything stays where it is."""
        return RebaseFailed(tuple(row.checkpoint_id for row in self.rows), FULL, message)


@frozen
class RebaseFailed(Command):
    """A chain could not be stored anew, and stays as it is: nothing is lost by that but room."""

    checkpoint_ids: tuple[str, ...]
    error: str
    message: str


@frozen
class NoteMode(Command):
    mode: str
