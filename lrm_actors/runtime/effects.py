"""Carrying out what was decided: timers on the clock, everything else on a worker thread.

Talks to the clock, the workers, and the mailbox of the actor whose effects these are. Runs only after the commit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from lrm_actors.domain.behavior import CancelTimer, Command, Effect, StartTimer
from lrm_actors.runtime.clock import Cancel
from lrm_actors.runtime.control import EffectEscaped, Services
from lrm_actors.runtime.mailbox import Envelope, Mailbox


class Effects:
    """The timers and running effects of one actor."""

    def __init__(self, mailbox: Mailbox, services: Services) -> None:
        self._mailbox = mailbox
        self._services = services
        self._timers: dict[str, _Timer] = {}
        """Those that have not fired yet."""
        self._lock = threading.Lock()

    def carry_out(self, effect: Effect, cause: int | None, correlation_id: str | None, depth: int) -> None:
        """Begin one effect. What comes back from it will name ``cause`` as its cause."""

        def send_back(command: Command | None) -> None:
            if command is not None:
                envelope = Envelope(command, cause=cause, correlation_id=correlation_id, depth=depth)
                self._mailbox.put_anyway(envelope)

        match effect:
            case StartTimer(key=key, delay_s=delay_s, command=command):
                self._cancel(key)
                self._start(key, delay_s, lambda: send_back(command))
            case CancelTimer(key=key):
                self._cancel(key)
            case _:
                self._services.workers.submit(lambda: send_back(self._handle(effect)))

    def cancel_timers(self) -> None:
        """Forget every timer: the next recovery starts those that the log knows of."""
        for key in list(self._timers):
            self._cancel(key)

    def _handle(self, effect: Effect) -> Command | None:
        try:
            return self._services.handlers[type(effect)](effect)
        except BaseException as error:  # noqa: BLE001 - an effect may raise anything, and its actor must hear of it
            self._mailbox.command(EffectEscaped(type(effect).__name__, error))
            return None

    def _start(self, key: str, delay_s: float, send: Callable[[], None]) -> None:
        timer = _Timer()

        def fire() -> None:
            with self._lock:  # the actor may be putting another one in its place
                if self._timers.get(key) is timer:
                    del self._timers[key]
            send()

        self._timers[key] = timer
        timer.cancel = self._services.clock.call_later(delay_s, fire)

    def _cancel(self, key: str) -> None:
        with self._lock:
            timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()


class _Timer:
    """A timer that has not fired yet. Only its actor's thread starts and cancels it."""

    __slots__ = ("cancel",)
    cancel: Cancel
