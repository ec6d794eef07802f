"""A trace of a running agent's actors for whoever asks over the socket: on while somebody reads it, and not longer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from lrm_actors.hosting.owner.errors import RequestRefused

if TYPE_CHECKING:
    from lrm_actors.runtime.system import ActorSystem

LEASE_S = 30.0
"""Seconds without a reading after which the trace ends: who asked for it may have been killed."""
KEPT = 2_000
"""Entries kept between two readings."""
READ_AT_ONCE = 1_000


class RemoteTrace:
    """Carries out the command ``trace``, for one system."""

    def __init__(self, system: Callable[[], ActorSystem]) -> None:
        self._system = system
        self._lock = threading.Lock()
        self._ours = False
        self._end_lease: Callable[[], None] = lambda: None

    def command(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Begin, read, or end a trace.

        ``{"do": "start", "actors": [...] or null, "bodies": bool}``, ``{"do": "read", "after": number}``,
        ``{"do": "stop"}``. A reading gives the entries after a number, the oldest first, and whether the trace is on.

        Raises:
            RequestRefused: the request is none of these, or a trace is on already.
        """
        with self._lock:
            match dict(arguments):
                case {"do": "start", "actors": list() | None as actors, "bodies": bool() as bodies}:
                    self._start(actors, bodies=bodies)
                    return {"on": True, "entries": []}
                case {"do": "read", "after": int() as after}:
                    return self._read(after)
                case {"do": "stop"}:
                    self._stop()
                    return {"on": False, "entries": []}
        raise RequestRefused("trace takes 'start' with actors and bodies, 'read' with after, or 'stop'")

    def _start(self, actors: list[Any] | None, *, bodies: bool) -> None:
        look = self._system().inspection
        if look.tracing:
            hint = f"wait until its reader has ended; {LEASE_S:g} s after a reader's last reading it ends by itself"
            raise RequestRefused("a trace is on already", hint=hint)
        look.trace(None if actors is None else [str(one) for one in actors], keep=KEPT, bodies=bodies)
        self._ours = True
        self._renew()

    def _read(self, after: int) -> dict[str, Any]:
        look = self._system().inspection
        found = [attrs.asdict(one) for one in look.traced() if one.number > after][:READ_AT_ONCE]
        if self._ours:
            self._renew()
        return {"on": look.tracing, "entries": found}

    def _stop(self) -> None:
        self._end_lease()
        if self._ours:
            self._ours = False
            self._system().inspection.stop_trace()

    def _renew(self) -> None:
        self._end_lease()
        self._end_lease = self._system().clock.call_later(LEASE_S, self._stop_unread)

    def _stop_unread(self) -> None:
        with self._lock:
            self._stop()
