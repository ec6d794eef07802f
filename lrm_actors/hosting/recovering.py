"""Gives the host a checkpoint's state back, and puts on record which, and what was found damaged on the way.

Talks to the engine, the log and the host. Its calls block; none is for an event loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from lrm_actors.actors.analyzer import text_of
from lrm_actors.domain import checkpointer, journal
from lrm_actors.domain.given import plain_text
from lrm_actors.errors import (
    AskError,
    CheckpointDamaged,
    CheckpointNotFound,
    NotRunning,
    StateNotRestored,
    StateNotUpcast,
)
from lrm_actors.hosting import recovery
from lrm_actors.hosting.published import published_state
from lrm_actors.hosting.reading import steadily
from lrm_actors.hosting.recovery import Recovery
from lrm_actors.hosting.stepping import current_step
from lrm_actors.hosting.upcasting import upcast

if TYPE_CHECKING:
    from lrm_actors.hosting.engine import Engine
    from lrm_actors.hosting.running import Running

RECOVERY_WAIT_S = 30.0
"""How long a recovery waits for an open step."""

_log = logging.getLogger("lrm_actors.mode")


def recover(engine: Engine, checkpoint_id: str | None = None, *, given_up: Callable[[], bool] = lambda: False) -> bool:
    """Restore the host from a checkpoint; ``engine.last_recovery`` has what there is to go on from.

    Args:
        engine: of the mode.
        checkpoint_id: this one and no other; None: the best there is.
        given_up: whether nobody waits for it any more. The host goes on as it is then: what it becomes meanwhile must
            not be put back to what it was.

    Without a usable checkpoint the answer is no, and the steps run from the beginning. ``last_recovery`` is None when
    nothing can be said: the id is not known, or its bytes are damaged.

    Raises:
        SettingsError: the id is no text.
        NotRunning: the mode was not started.
        StepOrder: inside a step.
        StateNotUpcast: the state cannot be made one of the host's version. No older checkpoint is taken for that.
        StateNotRestored: the host could not take the state up.
        StepNotReplayed: the host could not take up a step that was committed after the checkpoint.
        ReadFailed: a checkpoint was asked for by its id, and the storage does not answer.
    """
    if checkpoint_id is not None:
        checkpoint_id = plain_text("checkpoint_id", checkpoint_id)
    engine.last_recovery = None
    running = engine.running
    if running is None:
        if engine.settings.enable_long_running_mode:
            raise NotRunning("the mode is not running")
        return False
    with engine.boundary.hold(wait_s=0.0 if current_step() is not None else RECOVERY_WAIT_S):
        found = _found(engine, running, checkpoint_id)
        if found is None:
            return False
        found = _upcast(engine, found)
        if given_up():
            return False
        try:
            _restore(engine, found)
        finally:
            engine.capturing.changed(())  # what the host becomes by this, it marks nowhere
        engine.capturing.behind(steps=bool(found.steps))
        if engine.capturing.replay(found.steps):
            engine.capturing.behind(steps=False)
        engine.last_recovery = found
    if found.checkpoint_id is None:
        return False
    try:
        engine.ask_blocking(checkpointer.NAME, checkpointer.ReportRestored(found.checkpoint_id, found.passed_over))
    except AskError as error:  # the host is restored all the same
        _log.error("the recovery is not on record: %s", error, extra=engine.context.extra())
    return True


def _found(engine: Engine, running: Running, checkpoint_id: str | None) -> Recovery | None:
    store, steps = running.store, engine.state(journal.NAME)
    try:
        choice = steadily(
            lambda: published_state(engine, store, checkpointer.NAME),
            lambda state: recovery.choose(store, state, steps, checkpoint_id),
            found=lambda choice: bool(choice.damaged),
        )
    except CheckpointNotFound as error:
        _log.error("nothing is restored: %s; %s", error, error.hint, extra=engine.context.extra())
        return None
    except CheckpointDamaged as error:
        mark_damaged(engine, error.checkpoint_id, error.reason)
        return None
    for damage in choice.damaged:
        mark_damaged(engine, damage.checkpoint_id, damage.reason)
    for sentence in choice.unsound:
        _log.warning("%s", sentence, extra=engine.context.extra())
    return choice.recovery


def _upcast(engine: Engine, found: Recovery) -> Recovery:
    """With the state in the host's version. Raises what keeps it from that."""
    checkpoint = found.checkpoint
    if checkpoint is None:
        return found
    capturing = engine.capturing
    try:
        state = upcast(
            checkpoint.state,
            checkpoint.state_version,
            capturing.state_version,
            capturing.upcasters,
            checkpoint_id=checkpoint.checkpoint_id,
        )
    except StateNotUpcast as error:
        _log.error("nothing is restored: %s; %s", error, error.hint, extra=engine.context.extra())
        raise
    return attrs.evolve(found, checkpoint=attrs.evolve(checkpoint, state=state))


def _restore(engine: Engine, found: Recovery) -> None:
    if found.checkpoint_id is None:
        return
    try:
        engine.capturing.restore(found.state)
    except (Exception, asyncio.CancelledError) as error:  # nobody cancels us here: the host's function raised it
        _log.exception("the host could not take up %s", found.checkpoint_id, extra=engine.context.extra())
        raise StateNotRestored(found.checkpoint_id, f"{type(error).__name__}: {text_of(error)}") from error


def mark_damaged(engine: Engine, checkpoint_id: str, reason: str) -> None:
    """Put on record that a checkpoint is damaged; whether that can be done changes nothing for the caller."""
    _log.error("checkpoint %s is damaged: %s", checkpoint_id, reason, extra=engine.context.extra())
    try:
        engine.ask_blocking(checkpointer.NAME, checkpointer.MarkDamaged(checkpoint_id, reason))
    except AskError as error:
        _log.error("its damage is not on record: %s", error, extra=engine.context.extra())
