"""Why an actor has not answered, for an ask whose time ran out. Reads what a shell publishes; asks nobody."""

from __future__ import annotations

from lrm_actors.runtime.control import FAILED, HALTED, NO_STORAGE, RUNNING, STARTING, SUSPENDED
from lrm_actors.runtime.reply import Reply
from lrm_actors.runtime.shell import Shell

TEXT_LIMIT = 200
"""Characters of an actor's own error that are repeated."""

_WHY = {
    STARTING: "it is starting",
    SUSPENDED: "it is suspended",
    HALTED: "it is held while others are restarted",
    NO_STORAGE: "the log cannot be written",
}


def why_silent(shell: Shell, reply: Reply, now_s: float) -> str:
    """What keeps an actor from answering, as far as can be seen; empty where nothing can.

    Args:
        shell: the actor's.
        reply: what is waited for.
        now_s: this moment by the system's monotonic clock.
    """
    if shell.phase == FAILED:
        last = shell.counters.last_error
        if last is None:
            return "it failed and waits for its restart"
        return f"it failed on {last.handling} and waits for its restart: {last.error}: {last.message[:TEXT_LIMIT]}"
    if shell.phase != RUNNING:
        return _WHY.get(shell.phase, "")
    if any(envelope.reply_to is reply for envelope in list(shell.mailbox.stashed)):
        return "it has put the command off"
    message, since_s = shell.hand.message(), shell.hand.since_s
    if message is None or since_s is None:
        return ""
    return f"it has had {type(message.message).__name__} in hand for {max(0.0, now_s - since_s):.1f} s"
