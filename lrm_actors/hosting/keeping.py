"""What a mode can say of its checkpoints, one function each, in blocking calls. The host is not touched.

Talks to the engine and to the log. None of these is for an event loop's thread but those that say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lrm_actors.domain import checkpointer
from lrm_actors.domain.given import is_number, is_whole
from lrm_actors.errors import CheckpointNotFound, SettingsError
from lrm_actors.hosting.host import check_name
from lrm_actors.hosting.published import published_state
from lrm_actors.hosting.reading import CheckpointReader, steadily
from lrm_actors.inspect.differences import Change, differences

if TYPE_CHECKING:
    from eventstore.protocol import EventReader
    from lrm_actors.domain.checkpointer import CheckpointerState, CheckpointInfo
    from lrm_actors.hosting.engine import Engine

MOST = 10**9
"""Of a number or a time in a rule of retention."""
STATES = ("agent_state", "browser_state")
"""What of a checkpoint is compared with another."""


def list_checkpoints(engine: Engine) -> list[str]:
    """Ids of the checkpoints that can be recovered from, newest first. Returns at once."""
    kept = engine.state(checkpointer.NAME).kept
    return [info.checkpoint_id for info in reversed(kept) if not info.damaged]


def describe(engine: Engine, checkpoint_id: str) -> CheckpointInfo:
    """What is on record of a checkpoint. Returns at once.

    Raises:
        CheckpointNotFound: there is none of this id.
    """
    for info in engine.state(checkpointer.NAME).kept:
        if info.checkpoint_id == checkpoint_id:
            return info  # type: ignore[no-any-return]  # a state is anything
    raise CheckpointNotFound(checkpoint_id)


def preview(engine: Engine, checkpoint_id: str) -> dict[str, Any]:
    """A checkpoint as one document, read from the log.

    Raises:
        CheckpointNotFound: there is none of this id.
        CheckpointDamaged: its bytes are not what was captured.
    """
    (document,) = _documents(engine, checkpoint_id)
    return document


def diff(engine: Engine, before: str, after: str, limit: int) -> list[Change]:
    """What changed in the state from one checkpoint to another.

    Raises:
        SettingsError: the limit is none.
        CheckpointNotFound: there is none of this id.
        CheckpointDamaged: its bytes are not what was captured.
    """
    if not is_whole(limit) or not 0 <= limit <= MOST:
        raise SettingsError("limit", limit, f"a whole number from 0 to {MOST:,}")
    old, new = _documents(engine, before, after)
    return compared(old, new, limit)


def pin(engine: Engine, checkpoint_id: str, reason: str, *, pinned: bool) -> None:
    """Keep one whatever the rules say, or leave it to them again.

    Raises:
        CheckpointNotFound: there is none of this id.
        CommandRefused: as many as may be are pinned.
        NotRunning, AskError: it cannot be put on record now.
    """
    reason = check_name("reason", reason)
    checkpoint_id = describe(engine, checkpoint_id).checkpoint_id
    engine.ask_blocking(checkpointer.NAME, checkpointer.PinCheckpoint(checkpoint_id, pinned, reason))


def prune(engine: Engine, *, dry_run: bool, reason: str, rules: Mapping[str, Any]) -> list[str]:
    """Ids of what retention removes now, oldest first; with ``dry_run`` nothing is removed.

    Raises:
        SettingsError: a rule that cannot be.
        NotRunning, AskError: it cannot be put on record now.
    """
    reason = check_name("reason", reason)
    if not isinstance(dry_run, bool):  # what is taken for false removes
        raise SettingsError("dry_run", dry_run, "True or False")
    given = {name: value for name, value in rules.items() if value is not None}
    for name, value in given.items():
        least = 1 if name == "max_checkpoints" else 0
        fits = is_number(value) if name == "max_age_s" else is_whole(value)
        if not fits or not least <= value <= MOST:
            raise SettingsError(name, value, f"a number from {least} to {MOST:,}")
    command = checkpointer.Prune(**given, reason=reason)
    state = engine.state(checkpointer.NAME)
    if dry_run or engine.is_off:
        gone = checkpointer.would_prune(state, command.config(state.config), engine.clock.now().wall_s)
        return list(gone)
    removed: list[str] = engine.ask_blocking(checkpointer.NAME, command)
    return removed


def compared(before: dict[str, Any], after: dict[str, Any], limit: int) -> list[Change]:
    """What changed in the state from one document to another."""
    old, new = ({part: one[part] for part in STATES} for one in (before, after))
    return differences(old, new, limit=limit)


def documents(
    reader: EventReader, state_of: Callable[[], CheckpointerState], checkpoint_ids: Sequence[str]
) -> tuple[dict[str, Any], ...]:
    """The documents of some checkpoints of a log, which may be living.

    Raises:
        CheckpointNotFound: there is none of this id.
        CheckpointDamaged: its bytes are not what was captured.
    """

    def read(state: CheckpointerState) -> tuple[dict[str, Any], ...]:
        checkpoints = CheckpointReader(reader, state)
        return tuple(checkpoints.restore(one).document for one in checkpoint_ids)

    return steadily(state_of, read, found=lambda _: False)


def _documents(engine: Engine, *checkpoint_ids: str) -> tuple[dict[str, Any], ...]:
    for one in checkpoint_ids:
        describe(engine, one)  # where nothing runs there is none, rather than no log
    store = engine.store()
    return documents(store, lambda: published_state(engine, store, checkpointer.NAME), checkpoint_ids)
