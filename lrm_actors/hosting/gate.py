"""Tells the host of each operation mode, in order, on a thread beside everything else.

Talks to the host over the bridge. Reads the changes from the log, so that none is missed and none is told twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lrm_actors.hosting.host import HostBridge
from lrm_actors.hosting.offload import beside

if TYPE_CHECKING:
    from eventstore.protocol import EventStore

MODE_CHANGED = "modes.changed"

_log = logging.getLogger("lrm_actors.hosting.host")


def keep_told(bridge: HostBridge, gate: Callable[[str], Any], store: EventStore, mode: str) -> None:
    """Call the host's gate with the mode of now and with each one after it, as long as the log is open.

    Args:
        bridge: to the host.
        gate: the host's function, plain or async. What it raises is logged.
        store: the log.
        mode: the mode at its head.
    """
    telling = threading.Lock()
    seen = store.head
    first = [mode]

    def tell() -> None:
        nonlocal seen
        with telling:
            modes = [first.pop()] if first else []
            for record in store.read(after=seen, types=(MODE_CHANGED,), removed="skip"):
                seen = record.position
                modes += (event.mode for event in record.events if hasattr(event, "mode"))
            for one in modes:
                try:
                    bridge.call(gate, one)
                except Exception:  # noqa: BLE001 - the host's function may raise anything
                    _log.exception("the host's gate failed on %s", one)

    def on_commit(_: int, types: frozenset[str]) -> None:
        if MODE_CHANGED in types:
            beside(tell)

    store.subscribe(on_commit)
    beside(tell)
