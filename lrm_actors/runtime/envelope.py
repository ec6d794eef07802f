"""What a mailbox holds: a command on its way, with where it came from and who waits for its reply. Talks to nobody."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from lrm_actors.runtime.reply import Reply


class Envelope(Struct, eq=False):
    """A command on its way, with where it came from. ``message`` and ``reply_to`` are pykka's names."""

    message: Any
    reply_to: Reply | None = None
    command_id: str | None = None
    cause: int | None = None
    correlation_id: str | None = None
    depth: int = 0
    wired_at: int | None = None
    """Position of the wired event it was made from."""
    given_id: bool = False
    """The sender chose the id, so this may be a retry."""
    keep_reply: bool = True
    """Its reply is stored with what it led to, for a retry to be given."""
    attempts: int = 0
    """Failures of it so far."""


class Own(Envelope, eq=False):
    """From a timer or an effect of the actor itself. Nobody else waits for it, and recovery starts those again."""
