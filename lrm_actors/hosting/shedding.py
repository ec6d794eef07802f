"""What work is done now, what is shed, and what is put off until the operation mode allows it again.

Reads the mode that is published, and asks no actor: a decision is a look at one immutable object. Work that was put off
runs on a thread beside everything else, or on the host's loop, the oldest first and one at a time.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar, cast

from eventstore.frozen import frozen
from lrm_actors.actors.gates import Gate
from lrm_actors.domain import analyzer, modes
from lrm_actors.domain.given import is_number, plain_text
from lrm_actors.domain.modes import CRITICALITIES
from lrm_actors.errors import DeferralFull, NotRunning, SettingsError, WorkShed
from lrm_actors.hosting.host import HostBridge
from lrm_actors.hosting.offload import beside
from lrm_actors.hosting.published import until_published

if TYPE_CHECKING:
    from eventstore.protocol import EventStore
    from lrm_actors.hosting.running import Running

MAX_DEFERRED = 1000
"""Pieces of work that may be put off at a time."""
MAX_WAIT_S = 3600.0
"""Longest time that a piece of work may wait for the mode."""
CHANGES = frozenset(("modes.changed", "analyzer.went_on", "analyzer.recovery_chosen"))
"""Events after which other work may run."""
SAMPLED = frozenset(("monitor.sampled",))
"""After these too, while something waits: a commit whose outcome was not known at first is told of by nobody."""

F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger("lrm_actors.mode")


@frozen
class SheddingStatistics:
    """What became of the work that asked, since the mode was made."""

    allowed: dict[str, int]
    """By criticality."""
    shed: dict[str, int]
    deferred: int
    """Pieces of work that wait now."""
    caught_up: int
    """Pieces that waited and were done."""


@frozen
class _Deferred:
    name: str
    criticality: str
    run: Callable[[], Any]
    outcome: Future[Any]


class Shedding:
    """Decides on each piece of work, and keeps what was put off.

    Args:
        running: gives the system that runs now, if any; without one everything runs.
        bridge: to the host, for work that was put off.
        max_deferred: pieces of work that may be put off at a time.
    """

    def __init__(
        self, running: Callable[[], Running | None], bridge: HostBridge, *, max_deferred: int = MAX_DEFERRED
    ) -> None:
        self._running, self._bridge, self.max_deferred = running, bridge, max_deferred
        self._allowed = {one: itertools.count() for one in CRITICALITIES}  # counted by C code: no thread comes between
        self._shed = {one: itertools.count() for one in CRITICALITIES}
        self._lock = threading.Lock()
        self._waiting: deque[_Deferred] = deque()
        self._working = False
        self._caught_up = 0
        self._changed = threading.Condition(threading.Lock())

    # --- deciding ---------------------------------------------------------------------------------------------------

    def should_run(self, criticality: str) -> bool:
        """Whether work of this criticality is done now.

        Raises:
            CommandRefused: there is no such criticality.
        """
        if self._runs(criticality):
            next(self._allowed[criticality])
            return True
        next(self._shed[criticality])
        return False

    def _runs(self, criticality: str) -> bool:
        running = self._running()
        if running is None:
            return modes.should_run(modes.ModesState(), criticality)
        state = running.system.state
        if not modes.should_run(state(modes.NAME), criticality):
            return False
        return criticality == "critical_plus" or not state(analyzer.NAME).paused

    @property
    def mode(self) -> str:
        """The operation mode of now."""
        running = self._running()
        return modes.NORMAL if running is None else str(running.system.state(modes.NAME).mode)

    def statistics(self) -> SheddingStatistics:
        """Everything countable, at this moment."""
        with self._lock:
            waiting, caught_up = len(self._waiting), self._caught_up
        return SheddingStatistics(_counts(self._allowed), _counts(self._shed), waiting, caught_up)

    # --- waiting ----------------------------------------------------------------------------------------------------

    def wait(self, criticality: str, wait_s: float) -> bool:
        """Wait until work of this criticality is done, no longer than ``wait_s``; whether it is now. Blocks."""
        with self._changed:
            return self._changed.wait_for(lambda: self._runs(criticality), wait_s)

    def follow(self, store: EventStore) -> None:
        """Look again after each change of the mode in this log, as long as it is open."""

        def on_commit(_: int, types: frozenset[str]) -> None:
            if not CHANGES.isdisjoint(types) or (self._waiting and not SAMPLED.isdisjoint(types)):
                beside(look)

        def look() -> None:
            until_published(self._running(), store, modes.NAME, analyzer.NAME)
            self.look_again()

        store.subscribe(on_commit)

    def look_again(self) -> None:
        """Other work may run now: tell those who wait, and catch up on what was put off. Returns when that is done."""
        with self._changed:
            self._changed.notify_all()
        with self._lock:
            if self._working:
                return
            self._working = True
        try:
            while (one := self._next()) is not None:
                self._do(one)
        except BaseException:
            with self._lock:
                self._working = False
            raise

    # --- putting off ------------------------------------------------------------------------------------------------

    def defer(self, name: str, run: Callable[[], Any], criticality: str) -> Future[Any]:
        """Do a piece of work as soon as the mode allows it, after everything put off before it.

        Raises:
            CommandRefused: there is no such criticality.
            DeferralFull: as much as may be waits already.
        """
        self._runs(criticality)
        one = _Deferred(name, criticality, run, Future())
        with self._lock:
            if len(self._waiting) >= self.max_deferred:  # what was taken back, or waited long enough, waits no more
                self._waiting = deque(waiting for waiting in self._waiting if not waiting.outcome.cancelled())
            if len(self._waiting) >= self.max_deferred:
                raise DeferralFull(name, self.max_deferred)
            self._waiting.append(one)
        beside(self.look_again)
        return one.outcome

    def close(self) -> None:
        """The mode ends: what still waits is not done, and whoever waits for it is told so."""
        with self._lock:
            left, self._waiting = list(self._waiting), deque()
        for one in left:
            if one.outcome.set_running_or_notify_cancel():
                one.outcome.set_exception(NotRunning(f"{one.name!r} was put off, and the mode was stopped"))
        if left:
            _log.warning("%d pieces of work that were put off are not done", len(left))

    def _next(self) -> _Deferred | None:
        """The oldest piece of work that may be done now."""
        with self._lock:
            for number, one in enumerate(self._waiting):
                if self._runs(one.criticality):
                    del self._waiting[number]
                    return one
            self._working = False  # here, under the lock: what is put off from now on looks for itself
            return None

    def _do(self, one: _Deferred) -> None:
        if not one.outcome.set_running_or_notify_cancel():
            return
        try:
            result = one.run()
            if inspect.isawaitable(result):
                result = self._bridge.run_async(_awaited(result))
        except BaseException as error:  # noqa: BLE001 - the host's function may raise anything; whoever waits is told
            _log.warning("%s, which was put off, failed: %s", one.name, error)
            one.outcome.set_exception(error)
        else:
            one.outcome.set_result(result)
        with self._lock:
            self._caught_up += 1


class WorkGate(Gate):
    """Lets a piece of work through while the operation mode allows its criticality.

    Every way in is that of ``Gate``: ``with``, ``async with``, ``call``, ``call_blocking``, and as a decorator.

    Args:
        shedding: decides.
        name: of the work.
        criticality: how much it matters.
        wait_s: seconds to wait for the mode; then, or at once with 0, ``WorkShed``.

    Raises:
        SettingsError: a value that it cannot have.
    """

    def __init__(self, shedding: Shedding, name: str, criticality: str, *, wait_s: float = 0.0) -> None:
        if criticality not in CRITICALITIES:
            raise SettingsError("criticality", criticality, f"one of {', '.join(CRITICALITIES)}")
        if not is_number(wait_s) or not 0.0 <= wait_s <= MAX_WAIT_S:
            raise SettingsError("wait_s", wait_s, f"a number of seconds from 0 to {MAX_WAIT_S:g}")
        self.name, self.criticality = plain_text("name", name), criticality
        self._shedding, self._wait_s = shedding, wait_s

    def is_open(self) -> bool:
        """Whether it would let work through now; counted as asked."""
        return self._shedding.should_run(self.criticality)

    def _enter(self) -> None:
        if self._shedding.should_run(self.criticality):
            return
        if not self._wait_s or not self._shedding.wait(self.criticality, self._wait_s):
            raise WorkShed(self.name, self.criticality, self._shedding.mode, self._wait_s)

    async def _enter_async(self) -> None:
        if self._shedding.should_run(self.criticality):
            return
        if not self._wait_s or not await self._waited():
            raise WorkShed(self.name, self.criticality, self._shedding.mode, self._wait_s)

    async def _waited(self) -> bool:
        # Put off like any other work that waits: no thread is kept waiting for it.
        try:
            turn = asyncio.wrap_future(self._shedding.defer(self.name, lambda: True, self.criticality))
            return bool(await asyncio.wait_for(turn, self._wait_s))
        except (TimeoutError, DeferralFull):
            return False

    def _leave(self, error: BaseException | None) -> None:
        """Nothing is kept of work that was let through."""


def leave_out(gate: WorkGate, function: F, instead: Any) -> F:
    """The same function, which gives something else while the gate is closed."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return await function(*args, **kwargs) if gate.is_open() else instead

        return cast("F", awaited)

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs) if gate.is_open() else instead

    return cast("F", called)


async def _awaited(result: Any) -> Any:
    return await result


def _counts(counters: dict[str, itertools.count[int]]) -> dict[str, int]:
    """How often each was counted: what it would give next, read without counting."""
    return {name: int(repr(counter)[6:-1]) for name, counter in counters.items()}
