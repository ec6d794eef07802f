"""What is looked at between samples while a mode runs: memory, the host's event loop, the mailboxes.

Talks to the sampler and the running actors. The looks run on a thread of their own; the loop is never waited for.
"""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import TYPE_CHECKING

from lrm_actors.actors.sampling.lag import LoopLag
from lrm_actors.actors.sampling.probe import PressureProbe
from lrm_actors.domain import monitor
from lrm_actors.domain.metrics import Metrics
from lrm_actors.hosting.offload import start_thread

if TYPE_CHECKING:
    import asyncio

    from lrm_actors.actors.sampling.sampler import Sampler
    from lrm_actors.hosting.running import Running

LAST_LOOK_S = 1.0
"""How long the end waits for a look under way."""


class Probing:
    """Looks between the samples of one mode, run after run.

    Args:
        sampler: told how the loop and the mailboxes are.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._lag: LoopLag | None = None
        self._probe: PressureProbe | None = None
        self._thread: Future[None] | None = None

    def bind(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """The host's loop; None: it has none."""
        self._lag = None if loop is None else LoopLag(loop)

    def begin(self, running: Running) -> None:
        """Look, until ``end``."""
        lag, system = self._lag, running.system
        self._sampler.loop_lag = _nothing if lag is None else lambda: _taken(lag)
        self._sampler.mailbox_depth = lambda: max(one.mailbox_depth for one in system.statistics().actors)
        probe = PressureProbe(
            self._sampler.memory_reader(),
            worth_telling=lambda seen: monitor.worsens(system.state(monitor.NAME), seen, system.clock.monotonic()),
            tell=lambda seen: _tell(running, seen),
            stall=self._sampler.memory_stall(),
            ping=_nothing if lag is None else lag.ping,
        )
        self._probe, self._thread = probe, start_thread(probe.run, name="lrm-probe")

    def end(self) -> None:
        """Look no more; a look under way is waited for, a moment."""
        probe, thread = self._probe, self._thread
        self._probe = self._thread = None
        if probe is not None and thread is not None:
            probe.end()
            with suppress(FutureTimeout):
                thread.exception(LAST_LOOK_S)
            self._sampler.loop_lag = self._sampler.mailbox_depth = _nothing


def _taken(lag: LoopLag) -> float | None:
    """The lag so far; the loop is asked anew, for the next sample."""
    lag_s = lag.take()
    lag.ping()
    return lag_s


def _tell(running: Running, seen: Metrics) -> None:
    running.system.tell(monitor.NAME, monitor.RecordPressure(seen))


def _nothing() -> None:
    """What nobody measures."""
