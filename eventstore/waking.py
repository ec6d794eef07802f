"""Who wants to hear of commits in this process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from eventstore.asked import check_callable

Listener: TypeAlias = Callable[[int, frozenset[str]], None]

_log = logging.getLogger("eventstore")


class Listeners:
    """Listeners of one store. Called after each commit of events, outside the store's lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: tuple[tuple[object, Listener], ...] = ()
        self.any = False
        """Whether anybody listens."""

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Add a listener; call what is returned to remove it again.

        Raises:
            BadRequest: it cannot be called.
        """
        check_callable("listener", listener, "a position and the names of types")
        key = object()
        with self._lock:
            self._listeners = (*self._listeners, (key, listener))
            self.any = True

        def unsubscribe() -> None:
            with self._lock:
                self._listeners = tuple(pair for pair in self._listeners if pair[0] is not key)
                self.any = bool(self._listeners)

        return unsubscribe

    def notify(self, head: int, types: frozenset[str]) -> None:
        """Tell everyone. What a listener raises is logged: the append it interrupts has succeeded, maybe another's."""
        for _, listener in self._listeners:
            try:
                listener(head, types)
            except KeyboardInterrupt:  # it is not the listener's
                raise
            except BaseException:  # noqa: BLE001 - a stranger's code, whose end is its own affair
                _log.exception("a listener of the event store failed", extra={"position": head})


@contextmanager
def waking(listeners: Listeners | None) -> Iterator[threading.Event]:
    """An event that is set by each commit, or never when there is nobody in this process to tell of them."""
    woken = threading.Event()
    unsubscribe = listeners.subscribe(lambda _head, _types: woken.set()) if listeners is not None else None
    try:
        yield woken
    finally:
        if unsubscribe is not None:
            unsubscribe()
