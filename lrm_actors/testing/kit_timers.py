"""The timers of one actor in a test's hand: on a clock that the test moves, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from lrm_actors.domain.behavior import CancelTimer, Command, Effect, StartTimer
from lrm_actors.runtime.clock import Cancel, ManualClock


@attrs.define
class _Timer:
    command: Command
    due_s: float
    cancel: Cancel


class KitTimers:
    """Those that are pending.

    Args:
        clock: at which they are due.
        fire: given the command of each that is.
    """

    def __init__(self, clock: ManualClock, fire: Callable[[Command], object]) -> None:
        self._clock = clock
        self._send = fire
        self._pending: dict[str, _Timer] = {}

    def commands(self) -> dict[str, Command]:
        """The command that each will send, by key."""
        return {key: timer.command for key, timer in self._pending.items()}

    def take(self, effect: Effect) -> bool:
        """Start or cancel one. Whether the effect asked for that, and not for something else."""
        match effect:
            case StartTimer(key=key, delay_s=delay_s, command=command):
                self._cancel(key)
                due_s = self._clock.monotonic() + max(0.0, delay_s)
                cancel = self._clock.call_later(delay_s, lambda: self._fire(key, command))
                self._pending[key] = _Timer(command, due_s, cancel)
            case CancelTimer(key=key):
                self._cancel(key)
            case _:
                return False
        return True

    def forget(self) -> set[str]:
        """Forget all of them, as a process that ends does. Keys of those that were not due yet."""
        now_s = self._clock.monotonic()
        pending = {key for key, timer in self._pending.items() if timer.due_s > now_s}  # one of no delay is a message
        for key in list(self._pending):
            self._cancel(key)
        return pending

    def _cancel(self, key: str) -> None:
        timer = self._pending.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _fire(self, key: str, command: Command) -> None:
        self._pending.pop(key, None)
        self._send(command)
