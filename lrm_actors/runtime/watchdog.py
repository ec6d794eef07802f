"""Watches how long actors stay inside their handlers: says so when one is slow, and has it taken over when it hangs.

Looks at the hands of the shells on the clock's timer thread; what follows from it happens on a thread of its own. It
counts only time that it saw go by: when its own looks come late, because the process was stopped or starved, nobody has
hung meanwhile. It talks to the store, for the record, and to the system.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

import attrs

from eventstore.frozen import frozen
from eventstore.protocol import EventStore
from eventstore.records import Batch, NewEvent, StreamWrite
from lrm_actors.domain.watching import STREAM, ActorTakenOver, HandlerSlow, WatchdogExhausted
from lrm_actors.runtime.clock import Clock
from lrm_actors.runtime.hand import Hand
from lrm_actors.runtime.machine import here
from lrm_actors.runtime.shell import Shell
from lrm_actors.runtime.takeover import Stay, Successors, look_at, take_over, told

logger = logging.getLogger(__name__)

SCAN_LEAST_S, SCAN_MOST_S = 0.01, 1.0
LOOKS_PER_LIMIT = 5
"""Looks within the shortest limit, which is so noticed a fifth late at most. Each wakes a thread of a process that may
have nothing else to do."""
NOTES_KEPT = 100
"""Events that wait for a log that cannot be written; older ones go."""


@frozen
class Watch:
    """The limits of a system's watchdog. Those of one actor stand in its ``Spec``."""

    slow_s: float = attrs.field(default=5.0, validator=attrs.validators.gt(0))
    """Seconds one message may be in hand before that is put on record. Handlers are pure: they take microseconds."""
    hung_s: float = attrs.field(default=60.0, validator=attrs.validators.gt(0))
    """Seconds after which a successor takes the actor over; inf for never."""
    max_zombies: int = attrs.field(default=8, validator=attrs.validators.ge(0))
    """Hung threads that one process bears. One more, and ``on_exhausted`` is called."""


OFF = Watch(math.inf, math.inf)
"""No limits: nothing is watched."""


@frozen
class Exhausted:
    """Why the process is to be replaced."""

    actor: str
    handling: str
    zombies: int
    stack: str


class Watched(Successors, Protocol):
    """The system whose shells are watched."""

    store: EventStore
    clock: Clock

    def every_shell(self) -> Iterable[Shell]:
        """Those that run now."""


@attrs.define
class _Seen:
    """One stay that was seen before."""

    hand: Hand
    entry: int
    since_s: float
    """On the watchdog's own time."""
    told: bool = False
    """It was seen to be slow, and then again to hang; each is acted on once."""
    hung: bool = False


class Watchdog:
    """Watches the shells of one system.

    Args:
        system: whose.
        watch: its limits.
        on_exhausted: called once, on a thread of the watchdog, when more handlers hang than ``watch.max_zombies``.
    """

    def __init__(self, system: Watched, watch: Watch, on_exhausted: Callable[[Exhausted], None] | None = None) -> None:
        self.watch = watch
        self.zombies: list[Shell] = []
        """Abandoned shells whose handlers have not returned yet."""
        self.takeovers = 0
        self._system = system
        self._on_exhausted = on_exhausted
        self._exhausted = False
        self._seen: dict[str, _Seen] = {}
        self._time_s = 0.0
        """The watchdog's own time: it goes on with each look, at most by what two looks are apart."""
        self._looked_at_s = 0.0
        self._scan_s = SCAN_MOST_S
        self._cancel: Callable[[], None] = lambda: None
        self._stopped = False
        self._machine = here()
        self._acting = threading.Lock()
        self._found: deque[Stay] = deque()
        self._notes: deque[NewEvent] = deque(maxlen=NOTES_KEPT)

    def limits(self, shell: Shell) -> tuple[float, float]:
        """The soft and the hard limit of one actor, in seconds."""
        spec, watch = shell.spec, self.watch
        slow_s = watch.slow_s if spec.slow_after_s is None else spec.slow_after_s
        hung_s = watch.hung_s if spec.hung_after_s is None else spec.hung_after_s
        return slow_s, hung_s

    def start(self) -> None:
        """Look from now on, as often as the shortest limit asks for; never, when there is none."""
        limits = [limit for shell in self._system.every_shell() for limit in self.limits(shell)]
        shortest_s = min([*limits, self.watch.slow_s, self.watch.hung_s])
        if shortest_s == math.inf:
            return
        self._scan_s = min(SCAN_MOST_S, max(SCAN_LEAST_S, shortest_s / LOOKS_PER_LIMIT))
        self._looked_at_s = self._system.clock.monotonic()
        self._later()

    def watch_too(self, shell: Shell) -> None:
        """An actor was added: look as often as its limits ask for."""
        shortest_s = min(self.limits(shell))
        if shortest_s < math.inf:
            self._scan_s = min(self._scan_s, max(SCAN_LEAST_S, shortest_s / LOOKS_PER_LIMIT))

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        self._cancel()

    def running_zombies(self) -> int:
        """How many hung threads there are."""
        self.zombies = [zombie for zombie in self.zombies if not zombie.actor_stopped.is_set()]
        return len(self.zombies)

    # --- looking, on the timer thread ---------------------------------------------------------------------------

    def _later(self) -> None:
        if not self._stopped:
            self._cancel = self._system.clock.call_later(self._scan_s, self._tick)

    def _tick(self) -> None:
        try:
            self.look()
        finally:
            self._later()

    def look(self) -> None:
        """Look at every hand once."""
        now_s = self._system.clock.monotonic()
        most_s = 2 * self._scan_s  # later than that, this process stood still, and so did every handler
        self._time_s += min(now_s - self._looked_at_s, most_s)
        self._looked_at_s = now_s
        seen = self._seen
        found = []
        for shell in self._system.every_shell():
            hand = shell.hand
            since_s, entry = hand.since_s, hand.entries
            if since_s is None:
                continue
            name = shell.spec.name
            before = seen.get(name)
            if before is None or before.hand is not hand or before.entry != entry:
                seen[name] = _Seen(hand, entry, self._time_s - min(now_s - since_s, most_s))
                continue
            stay = self._judge(shell, before)
            if stay is not None:
                found.append(stay)
        self._found.extend(found)
        # One thread at a time: where the storage hangs, each look would leave one more behind.
        if (self._found or self._notes) and not self._acting.locked():
            try:
                self._machine.start(self._act, "lrm-watchdog")
            except RuntimeError:
                logger.warning("no thread for the watchdog; it looks again")
                self._found.clear()
                self._seen.clear()

    def _judge(self, shell: Shell, seen: _Seen) -> Stay | None:
        slow_s, hung_s = self.limits(shell)
        elapsed_s = self._time_s - seen.since_s
        if elapsed_s < slow_s and elapsed_s < hung_s:
            return None
        hung = elapsed_s >= hung_s
        if self._exhausted or (seen.hung if hung else seen.told):
            return None
        seen.told, seen.hung = True, hung
        return look_at(shell, seen.entry, elapsed_s)

    # --- acting, on a thread of its own -------------------------------------------------------------------------

    def _act(self) -> None:
        with self._acting:
            while self._found:
                stay = self._found.popleft()
                try:
                    self._deal_with(stay)
                except Exception:
                    logger.exception("the watchdog failed on %s", stay.shell.spec.name)
            self._store_notes()

    def _deal_with(self, stay: Stay) -> None:
        name = stay.shell.spec.name
        _, hung_s = self.limits(stay.shell)
        if stay.elapsed_s < hung_s:
            logger.warning("%s has had %s in hand for %.1f s", name, stay.handling, stay.elapsed_s)
            self._note(HandlerSlow(name, stay.handling, stay.command_id, stay.elapsed_s, told(stay.stack)), stay)
        elif self.running_zombies() >= self.watch.max_zombies:
            self._give_up(stay)
        else:
            attempts = take_over(stay, self._system)
            if attempts is None:
                return  # it came out of its handler just now
            zombies = 1 + self.running_zombies()
            self.takeovers += 1
            self.zombies.append(stay.shell)
            logger.error("%s hung on %s for %.1f s and was taken over", name, stay.handling, stay.elapsed_s)
            self._note(
                ActorTakenOver(
                    name,
                    stay.handling,
                    stay.command_id,
                    stay.elapsed_s,
                    told(stay.stack),
                    attempts,
                    zombies,
                ),
                stay,
            )

    def _give_up(self, stay: Stay) -> None:
        if self._exhausted or stay.shell.hand.since_s is None:
            return
        self._exhausted = True
        name, zombies = stay.shell.spec.name, len(self.zombies)
        logger.critical("%s hangs too, beside %d others: this process is to be replaced", name, zombies)
        self._note(WatchdogExhausted(name, stay.handling, stay.elapsed_s, told(stay.stack), zombies), stay)
        self._store_notes()
        if self._on_exhausted is not None:
            self._on_exhausted(Exhausted(name, stay.handling, zombies, told(stay.stack)))

    def _note(self, event: object, stay: Stay) -> None:
        self._notes.append(NewEvent(event, cause=stay.caused_by, correlation_id=stay.correlation_id))

    def _store_notes(self) -> None:
        while self._notes:
            note = self._notes[0]
            try:
                self._system.store.append(Batch(writes=(StreamWrite(STREAM, (note,)),)))
            except Exception as error:  # noqa: BLE001 - the log is the guardian's business; this tries again later
                logger.warning("what the watchdog saw cannot be stored yet: %s", error)
                return
            self._notes.popleft()
