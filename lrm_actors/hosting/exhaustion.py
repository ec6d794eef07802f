"""What a mode does when more handlers hang than its process can bear: save the host's state, then have it replaced.

Talks to the engine, for an emergency checkpoint, and to the host, or to the process by a signal that the host may
handle. It never ends the process behind the host's back.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from eventstore.errors import EventStoreError
from lrm_actors.domain import checkpointer
from lrm_actors.errors import LrmError
from lrm_actors.hosting import operations

if TYPE_CHECKING:
    from lrm_actors.hosting.engine import Engine
    from lrm_actors.runtime.watchdog import Exhausted

CHECKPOINT_S = 30.0
"""Seconds for the emergency checkpoint. The checkpointer, or the host's own function, may be what hangs."""

_log = logging.getLogger("lrm_actors.mode")


def terminate(reason: str) -> None:
    """Ask this process to end, as whoever started it would: by SIGTERM, which the host may handle."""
    os.kill(os.getpid(), signal.SIGTERM)


def give_up(engine: Engine, why: Exhausted, tell: Callable[[str], object]) -> None:
    """Take an emergency checkpoint, if that can be had in time, then tell the host, whose process is to be replaced."""
    reason = f"{why.actor} hangs on {why.handling} beside {why.zombies} others"
    replace(engine, reason, tell)


def replace(engine: Engine, reason: str, tell: Callable[[str], object]) -> None:
    """Save the host's state, if that can be had in time, and have its process replaced."""
    engine.exhausted = True
    try:
        if engine.capturing.can_capture:
            operations.take_checkpoint(
                engine, reason, kind=checkpointer.EMERGENCY, error="process to be replaced", timeout_s=CHECKPOINT_S
            )
    except (LrmError, EventStoreError, TimeoutError) as error:
        _log.error("no emergency checkpoint: %s", error, extra=engine.context.extra())
    _log.critical("this process is to be replaced: %s", reason, extra=engine.context.extra())
    try:
        tell(reason)
    except Exception:  # noqa: BLE001 - the host's own function may raise anything; it is logged with its trace
        _log.exception("what the host does about it failed", extra=engine.context.extra())
