"""Waiting until what is in the log can be seen: a commit is told of before its actor publishes the state it made.

Talks to the log and to the running actors. For whoever hears of a commit and then looks at a state.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from eventstore.errors import EventStoreError

if TYPE_CHECKING:
    from eventstore.protocol import EventStore
    from lrm_actors.hosting.engine import Engine
    from lrm_actors.hosting.running import Running

LONGEST_S, POLL_S = 5.0, 0.002
"""How long is waited at most, and how often is looked: from the commit to the state it is a moment."""


def published_state(engine: Engine, store: EventStore, name: str) -> Any:
    """The state of an actor, with all that the log has of it now. Blocks, not for long."""
    until_published(engine.running, store, name)
    return engine.state(name)


def until_published(running: Running | None, store: EventStore, *names: str) -> bool:
    """Wait until these actors have published what the log has of them now; whether they have. Blocks, not for long."""
    if running is None:
        return False
    pause = threading.Event()
    try:
        wanted = {name: store.version(name) for name in names}
    except EventStoreError:  # closed meanwhile: there is nothing to wait for
        return False
    for _ in range(int(LONGEST_S / POLL_S)):
        if all(running.system.shell(name).published.version >= version for name, version in wanted.items()):
            return True
        pause.wait(POLL_S)
    return False
