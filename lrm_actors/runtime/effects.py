"""Carrying out what was decided: timers on the clock, everything else on a worker thread.

Talks to the clock, the workers, and the mailbox of the actor whose effects these are. Runs only after the commit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from lrm_actors.domain.behavior import CancelTimer, Command, Effect, StartTimer
from lrm_actors.domain.contract import check_result
from lrm_actors.errors import BadDecision
from lrm_actors.runtime.clock import Cancel
from lrm_actors.runtime.control import EffectEscaped, Services
from lrm_actors.runtime.envelope import Own
from lrm_actors.runtime.mailbox import Mailbox


class Effects:
    """The timers and running effects of one actor."""

    def __init__(self, mailbox: Mailbox, services: Services) -> None:
        self._mailbox = mailbox
        self._services = services
        self._timers: dict[str, _Timer] = {}
        """Those that have not fired yet."""
        self._lock = threading.Lock()
        self._retired = False

    def carry_out(self, effect: Effect, cause: int | None, correlation_id: str | None, depth: int) -> None:
        """Begin one effect. What comes back from it will name ``cause`` as its cause."""

        def send_back(command: Command | None) -> None:
            if command is not None and not self._retired:
                envelope = Own(command, cause=cause, correlation_id=correlation_id, depth=depth)
                self._mailbox.put_anyway(envelope)

        match effect:
            case StartTimer(key=key, delay_s=delay_s, command=command):
                self._cancel(key)
                self._start(key, delay_s, lambda: send_back(command))
            case CancelTimer(key=key):
                self._cancel(key)
            case _:
                self._services.workers.submit(
                    EffectJob(self._mailbox.owner, effect, lambda: send_back(self._handle(effect)))
                )

    def retire(self) -> None:
        """The actor has a successor, which takes up again what the log knows of: nothing from here reaches it."""
        self._retired = True
        self.cancel_timers()

    def cancel_timers(self) -> None:
        """Forget every timer: the next recovery starts those that the log knows of."""
        for key in list(self._timers):
            self._cancel(key)

    def pending(self) -> list[tuple[str, float]]:
        """Key and due time of each timer that has not fired. For whoever looks on, from any thread."""
        return [(key, timer.due_s) for key, timer in list(self._timers.items())]

    def _handle(self, effect: Effect) -> Command | None:
        try:
            handler = self._services.handlers.get(type(effect))
            if handler is None:
                kind = type(effect).__name__
                hint = f"give the system handlers={{{kind}: function}}, which gets the effect"
                raise BadDecision(f"nothing carries out the effect {kind}", hint=hint)
            result = handler(effect)
            check_result(effect, result)
            return result
        except BaseException as error:  # noqa: BLE001 - an effect may raise anything, and its actor must hear of it
            if not self._retired:
                self._mailbox.command(EffectEscaped(type(effect).__name__, error))
            return None

    def _start(self, key: str, delay_s: float, send: Callable[[], None]) -> None:
        timer = _Timer()
        timer.due_s = self._services.clock.monotonic() + max(0.0, delay_s)

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


class EffectJob:
    """An effect that is to be carried out, and whose it is."""

    __slots__ = ("_carry_out", "actor", "effect")

    def __init__(self, actor: str, effect: Effect, carry_out: Callable[[], object]) -> None:
        self.actor = actor
        self.effect = effect
        self._carry_out = carry_out

    def __call__(self) -> None:
        """Carry it out."""
        self._carry_out()


class _Timer:
    """A timer that has not fired yet. Only its actor's thread starts and cancels it."""

    __slots__ = ("cancel", "due_s")
    cancel: Cancel
    due_s: float
