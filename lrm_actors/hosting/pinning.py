"""An operation mode held by hand, for whoever asks over the socket. Talks to the modes actor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lrm_actors.domain import modes
from lrm_actors.domain.given import is_encodable, is_number
from lrm_actors.hosting.owner.errors import RequestRefused
from lrm_actors.inspect import sections

if TYPE_CHECKING:
    from lrm_actors.runtime.system import ActorSystem

MAX_REASON = 500
"""Characters."""


def pin_command(system: ActorSystem, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Hold a mode for a while, or let go of it; the mode afterwards, and what is held.

    Raises:
        RequestRefused: an argument is none.
        CommandRefused: there is no such mode, or it cannot be held for so long.
        AskError: it cannot be put on record.
    """
    mode, for_s, reason = (arguments.get(name) for name in ("mode", "for_s", "reason"))
    if arguments.keys() - {"mode", "for_s", "reason"} or not isinstance(mode, str | None):
        raise RequestRefused("pin_mode takes a mode, for_s and a reason, and nothing else")
    if not isinstance(reason, str) or len(reason) > MAX_REASON or not is_encodable(reason):
        raise RequestRefused(f"the reason is no text of up to {MAX_REASON} characters")
    if not is_number(for_s):
        raise RequestRefused("for_s is no number of seconds")
    pin = modes.Pin(mode, reason, None if mode is None else float(for_s))
    system.ask_blocking(modes.NAME, pin)
    state = system.state(modes.NAME)
    told = sections.mode(state, system.clock.now())
    return {"mode": state.mode, "pinned": told["pinned"], "pinned_for_s": told["pinned_for_s"]}
