"""Who goes on: one at a time, chosen by the schedule among all who could, until nobody can; then time goes on.

Talks to greenlets alone. One thread runs all of it: whoever runs goes on until it waits, or until it sends something.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

try:
    from greenlet import getcurrent, greenlet
except ImportError as error:  # pragma: no cover - the extra is installed where the tests run
    msg = "the simulator needs greenlet: pip install 'lrm-actors[testing]'"
    raise ImportError(msg) from error

from lrm_actors.runtime.turn import set_deciding
from lrm_actors.testing.simulation.clock import VirtualClock

if TYPE_CHECKING:
    from lrm_actors.testing.simulation.choices import Choices

STEPS_AT_ONE_MOMENT = 1_000_000
"""More without time passing, and it is taken for endless."""


class Killed(BaseException):
    """Thrown into everybody when the simulated process ends. Nothing waits, and nothing is stored, after it."""


class Task:
    """One simulated thread."""

    __slots__ = ("body", "expiry", "fresh", "name", "role", "waiting_in", "waits_for", "woken")

    def __init__(self, name: str, role: str) -> None:
        self.name = name
        self.role = role
        """``main``, ``actor``, or ``thread`` for everything else: effects, clients, what a host started."""
        self.body: greenlet | None = None
        self.fresh = True
        """It did nothing yet since it was chosen."""
        self.waits_for: Any = None
        """What it waits for, None while it runs or could."""
        self.waiting_in: deque[Task] | None = None
        self.expiry: int | None = None
        self.woken = False


class Scheduler:
    """Runs tasks one at a time.

    Args:
        choices: says which of several goes on.
        clock: moves when nobody can go on.
        stuck: makes the error for when nobody can ever go on.
    """

    def __init__(self, choices: Choices, clock: VirtualClock, stuck: Callable[[], Exception]) -> None:
        self.choices = choices
        self.clock = clock
        self.stuck = stuck
        self.main = Task("main", "main")
        self.current: Task | None = self.main
        """Who runs; None while a timer's function does."""
        self.tasks: dict[Task, None] = {}
        """Everybody who lives, but main."""
        self.steps = 0
        """How often somebody went on."""
        self.dead = False
        self._here = 0
        """Steps since time went on."""
        self._ready: list[Task] = []
        """Who could go on, in the order that they stand in for a choice."""
        self._roused: list[Task] = []
        """Who can go on since the last step, and is to stand before those."""
        self._mains_turn = False
        self._hub = getcurrent()
        self._died: list[tuple[Task, BaseException]] = []

    # --- threads --------------------------------------------------------------------------------------------------

    def start(self, target: Callable[[], object], name: str, role: str = "thread") -> Task:
        """A new task, which may go on from now on."""
        task = Task(name, role)

        def run() -> None:
            try:
                target()
            except Killed:
                pass
            except BaseException as error:  # noqa: BLE001 - a thread would die of it with a traceback
                self._died.append((task, error))
            finally:
                self.tasks.pop(task, None)

        task.body = greenlet(run, self._hub)
        self.tasks[task] = None
        (self._ready if self.current is self.main else self._roused).append(task)
        return task

    def kill(self) -> None:
        """End every task where it stands. What they do on their way out has no effect on anybody."""
        self.dead = True
        for task in reversed(list(self.tasks)):  # the guardian, who hears of every end, last
            body = task.body
            if body:  # one that never ran has nothing to unwind
                before, self.current = self.current, task
                body.throw(Killed)
                self.current = before
        self.tasks.clear()
        self._ready.clear()
        self._roused.clear()
        self._died.clear()

    def revive(self) -> None:
        """After ``kill``: new tasks may be started."""
        self.dead = False

    # --- waiting --------------------------------------------------------------------------------------------------

    def block(self, waiting: deque[Task], what: Any, timeout_s: float | None = None) -> bool:
        """Wait in ``waiting`` until woken from there; False when the time was over before.

        Raises:
            Killed: the simulated process ended.
        """
        task = self.current
        if self.dead:
            raise Killed
        if task is None:
            msg = f"a timer's function must not wait: it waits for {what}"
            raise RuntimeError(msg)
        task.woken = False
        task.waits_for = what
        task.waiting_in = waiting
        waiting.append(task)
        if timeout_s is not None:
            task.expiry = self.clock.wait_over(timeout_s, lambda: self._expire(task))
        was_deciding = set_deciding(False)  # it is a mark of the thread, and the next to run is another one
        try:
            self._give_way(task)
        finally:
            set_deciding(was_deciding)
            task.waits_for = task.waiting_in = None
        return task.woken

    def wake(self, waiting: deque[Task]) -> None:
        """Let the first go on of those who wait there."""
        if waiting:
            self._rouse(waiting.popleft())

    def wake_all(self, waiting: deque[Task]) -> None:
        """Let everybody go on who waits there."""
        while waiting:
            self._rouse(waiting.popleft())

    def point(self) -> None:
        """Somebody else may go on before what the running task does next, unless it did nothing yet."""
        task = self.current
        if task is None or task.role != "thread" or self.dead:
            return
        if not task.fresh:
            self._roused.insert(0, task)
            self._give_way(task)
        task.fresh = False

    def pause(self) -> None:
        """Let somebody else go on, if the schedule says so."""
        task = self.current
        if task is not None and not self.dead:
            self._roused.insert(0, task)
            self._give_way(task)

    def _rouse(self, task: Task) -> None:
        task.woken = True
        if task.expiry is not None:
            self.clock.cancel(task.expiry)
            task.expiry = None
        self._roused.append(task)

    def _expire(self, task: Task) -> None:
        if task.expiry is not None:
            self.clock.cancel(task.expiry)
        task.expiry = None
        if task.waiting_in is not None:
            task.waiting_in.remove(task)
            self._roused.append(task)

    def _give_way(self, task: Task) -> None:
        if task is not self.main:
            self._hub.switch()
            return
        self._mains_turn = False
        while not self._mains_turn:
            if not self._step() and not self._pass_time(None):
                raise self.stuck()

    # --- running --------------------------------------------------------------------------------------------------

    def run_until_idle(self) -> None:
        """Run, at this moment, until nobody can go on."""
        while self._step():
            pass

    def run_to(self, end_s: float, until: Callable[[], object] | None = None) -> bool:
        """Run until that monotonic time; with ``until``, until it is true. Returns whether it is."""
        while until is None or not until():
            if not self._step() and not self._pass_time(end_s):
                self.clock.move_to(end_s)
                return until is not None and bool(until())
        return True

    def can_go_on(self) -> bool:
        """Whether anybody can go on without time passing."""
        return bool(self._ready or self._roused) or self.clock.is_due()

    def _step(self) -> bool:
        """Let one go on: a task, or the clock with what is due. False when nobody can."""
        ready = self._ready
        if self._roused:
            ready[:0] = self._roused
            self._roused.clear()
        options = len(ready) + self.clock.is_due()
        if not options:
            return False
        index = 0 if options == 1 else self.choices.choose(options)
        self.steps += 1
        self._here += 1
        if self._here > STEPS_AT_ONE_MOMENT:
            raise self._runs_on()
        if index == len(ready):
            self.current = None
            try:
                self.clock.fire()
            finally:
                self.current = self.main
            return True
        task = ready.pop(index)
        task.fresh = True
        if task is self.main:
            self._mains_turn = True
            return True
        self.current = task
        assert task.body is not None
        task.body.switch()
        self.current = self.main
        if self._died:
            dead, error = self._died.pop(0)
            error.add_note(f"it ended the simulated thread {dead.name}")
            raise error
        return True

    def _pass_time(self, end_s: float | None) -> bool:
        """Move on to what is due next, not past ``end_s``. False when nothing is."""
        due_s = self.clock.next_due_s()
        if due_s is None or (end_s is not None and due_s > end_s):
            return False
        self.clock.move_to(due_s)
        self._here = 0
        return True

    def _runs_on(self) -> Exception:
        from lrm_actors.testing.simulation.deadlock import SimulationRunsOn

        busy = ", ".join(task.name for task in (*self._roused, *self._ready)) or "nobody"
        return SimulationRunsOn(f"{STEPS_AT_ONE_MOMENT} steps, and no time went by; about to go on: {busy}")
