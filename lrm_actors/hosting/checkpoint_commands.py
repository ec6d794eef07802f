"""Checkpoints pinned or removed by hand, for whoever asks over the socket. Talks to the checkpointer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lrm_actors.domain.checkpointer import NAME, PinCheckpoint, Prune
from lrm_actors.hosting.owner.arguments import check_names, text_in
from lrm_actors.hosting.owner.errors import RequestRefused

if TYPE_CHECKING:
    from lrm_actors.domain.behavior import Command
    from lrm_actors.runtime.system import ActorSystem

MAX_TEXT = 500
"""Characters of an id or a reason."""
MOST = 10**9
"""Of a number or a time."""
WAIT_S = 8.0
"""How long the checkpointer has to answer: whoever asks over the socket waits ten seconds."""
COUNTS = ("max_checkpoints", "max_emergency", "keep_hourly_h", "keep_daily_days")
RULES = (*COUNTS, "max_age_s")
"""What ``prune`` may be told in place of the settings."""


def pin_checkpoint(system: ActorSystem, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Pin a checkpoint, or let go of it.

    Raises:
        RequestRefused: an argument is none.
        CommandRefused: there is no such checkpoint, or as many as may be are pinned.
        AskError: it cannot be put on record.
    """
    system.ask_blocking(NAME, pin_of(arguments), timeout_s=WAIT_S)
    return {"checkpoint_id": arguments["checkpoint_id"], "pinned": arguments["pinned"]}


def prune_checkpoints(system: ActorSystem, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Apply retention now; the ids of what went.

    Raises:
        RequestRefused: an argument is none.
        AskError: it cannot be put on record.
    """
    return {"removed": system.ask_blocking(NAME, prune_of(arguments), timeout_s=WAIT_S)}


def pin_of(arguments: Mapping[str, Any]) -> Command:
    """The command that a request stands for.

    Raises:
        RequestRefused: an argument is none.
    """
    check_names(arguments, "pin_checkpoint", ("checkpoint_id", "pinned", "reason"))
    if not isinstance(arguments.get("pinned"), bool):
        raise RequestRefused("pinned is neither true nor false")
    return PinCheckpoint(
        text_in(arguments, "checkpoint_id", MAX_TEXT), arguments["pinned"], text_in(arguments, "reason", MAX_TEXT)
    )


def prune_of(arguments: Mapping[str, Any]) -> Prune:
    """The command that a request stands for.

    Raises:
        RequestRefused: an argument is none.
    """
    check_names(arguments, "prune_checkpoints", (*RULES, "reason"))
    rules: dict[str, Any] = {name: arguments[name] for name in RULES if arguments.get(name) is not None}
    for name, value in rules.items():
        numbers = int if name in COUNTS else (int, float)
        if isinstance(value, bool) or not isinstance(value, numbers) or not 0 <= value <= MOST:
            raise RequestRefused(f"{name} is no number from 0 to {MOST}")
    return Prune(**rules, reason=text_in(arguments, "reason", MAX_TEXT))
