"""The simulation as a test uses it: systems, clients, faults and time, all on one thread and all by one schedule."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from eventstore.errors import OutcomeUnknown
from eventstore.memory import MemoryStore
from eventstore.protocol import EventStore
from eventstore.records import Folded, Record
from lrm_actors.domain.behavior import Command, Effect, Spec, Wire
from lrm_actors.runtime.control import Handler
from lrm_actors.runtime.machine import in_place
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.testing.simulation import choices, deadlock, faults
from lrm_actors.testing.simulation.clock import VirtualClock
from lrm_actors.testing.simulation.parts import SimulatedMachine
from lrm_actors.testing.simulation.scheduler import Killed, Scheduler

T = TypeVar("T")

ASK_TIMEOUT_S = 5.0
LAST_EVENTS = 10
"""Events that the report of a failure shows."""
LINE = 300
"""Characters of each."""


class Client(Generic[T]):
    """A simulated thread of the host's: what ``Simulation.spawn`` gives."""

    def __init__(self, machine: SimulatedMachine, function: Callable[[], T], name: str) -> None:
        self._ended = machine.flag()
        self._function = function
        self._value: T
        machine.start(self._run, name)

    @property
    def ended(self) -> bool:
        """Whether it came to its end."""
        return self._ended.is_set()

    def result(self) -> T:
        """Wait for its end, and give what it returned."""
        self._ended.wait()
        return self._value

    def _run(self) -> None:
        self._value = self._function()
        self._ended.set()


class SimulatedSystem(ActorSystem):
    """An ``ActorSystem`` in which somebody else may go on before whatever a client or a handler asks of it."""

    scheduler: Scheduler

    def tell(self, to: str, command: Command, **options: Any) -> None:
        """See ``ActorSystem``."""
        self.scheduler.point()
        super().tell(to, command, **options)

    def ask_blocking(self, to: str, command: Command, **options: Any) -> Any:
        """See ``ActorSystem``."""
        self.scheduler.point()
        return super().ask_blocking(to, command, **options)

    def restart_actor(self, name: str, *args: Any, **options: Any) -> float:
        """See ``ActorSystem``."""
        self.scheduler.point()
        return super().restart_actor(name, *args, **options)

    def stop_actor(self, name: str, *args: Any, **options: Any) -> None:
        """See ``ActorSystem``."""
        self.scheduler.point()
        super().stop_actor(name, *args, **options)


class Simulation:
    """Runs actors without threads. Use it as a context manager; all of it happens on the thread that entered it.

    Args:
        seed: what is left to chance comes from it: the schedule, unless it is given, ids, random numbers.
        choose: the schedule: a function that is told how many could go on and says which does, the ``data`` of
            hypothesis, or choices one after the other, as numbers or as the text of ``trace``.
        replay: the text of ``trace`` of a run with the same seed.
        path: a file for the log; in memory where none is given.

    What the runtime waits for becomes a scheduling point: the next message, a reply, the end of a delay. So does each
    message that is sent from outside an actor's turn. A turn itself is one step.
    """

    def __init__(
        self, seed: int = 0, *, choose: Any = None, replay: str | None = None, path: Path | str | None = None
    ) -> None:
        if choose is not None and replay is not None:
            msg = "give a schedule either by choose or by replay"
            raise TypeError(msg)
        self.seed = seed
        given = choose if replay is None else replay
        self._by_seed = given is None
        pick = choices.by_seed(f"schedule {seed}") if given is None else choices.choose_by(given)
        self.choices = choices.Choices(pick)
        self.clock = VirtualClock()
        self.systems: list[ActorSystem] = []
        self.scheduler = Scheduler(self.choices, self.clock, self._stuck)
        self.machine = SimulatedMachine(self.scheduler, random.Random(seed))  # noqa: S311 - to be the same again is what it is for
        self._saboteur = faults.Saboteur(self.scheduler)
        self._path = None if path is None else Path(path)
        self._store: faults.ShakyStore | None = None
        self._boots = 1
        self._folds: dict[str, Folded] = {}
        self._stack = ExitStack()

    @cached_property
    def chance(self) -> random.Random:
        """Random numbers for the test itself, the same for the same seed."""
        return random.Random(f"chance {self.seed}")  # noqa: S311 - as above

    # --- systems and clients --------------------------------------------------------------------------------------

    def system(
        self,
        specs: Sequence[Spec[Any]],
        *,
        wires: Sequence[Wire] = (),
        handlers: Mapping[type[Effect], Handler] | None = None,
        store: EventStore | None = None,
        start_by_schedule: bool = False,
        **options: Any,
    ) -> ActorSystem:
        """An ``ActorSystem`` of these actors, started.

        Args:
            specs: the actors, as for ``ActorSystem``.
            wires: the wiring table.
            handlers: how effects are carried out. They run as simulated threads: they may wait.
            store: the log; ``self.store`` where none is given.
            start_by_schedule: who goes on while it starts is chosen too. Else it starts in one way, and is idle when
                this returns: there are fewer schedules, and all of them are about what the test does.
            options: the others of ``ActorSystem``.
        """
        wrapped = [self._saboteur.wrap(spec) for spec in specs]
        log = self.store if store is None else store
        carry_out = {effect: self._interruptible(handler) for effect, handler in (handlers or {}).items()}
        system = SimulatedSystem(log, wrapped, wires=wires, handlers=carry_out, clock=self.clock, **options)
        system.scheduler = self.scheduler
        self.systems.append(system)
        before, self.choices.suspended = self.choices.suspended, not start_by_schedule
        try:
            system.start()
            if not start_by_schedule:
                self.scheduler.run_until_idle()
        finally:
            self.choices.suspended = before
        return system

    def _interruptible(self, handler: Handler) -> Handler:
        """The same handler; others may go on between the last thing it does and the return of its result."""

        def carry_out(effect: Any) -> Command | None:
            result = handler(effect)
            self.scheduler.point()
            return result

        return carry_out

    @property
    def store(self) -> EventStore:
        """The log of this simulation, opened when it is first needed, and again after ``kill``."""
        if self._store is None:
            self._store = faults.ShakyStore(self._open())
        return self._store.as_store()

    def tell(self, to: str, command: Command, **options: Any) -> None:
        """Send a command to an actor of the newest system. See ``ActorSystem.tell``."""
        self.systems[-1].tell(to, command, **options)

    def ask(self, to: str, command: Command, timeout_s: float = ASK_TIMEOUT_S, **options: Any) -> Any:
        """Send a command to an actor of the newest system, and wait for the reply. See ``ActorSystem.ask_blocking``."""
        return self.systems[-1].ask_blocking(to, command, timeout_s=timeout_s, **options)

    def spawn(self, function: Callable[[], T], name: str = "client") -> Client[T]:
        """Run a function as a thread of the host's, beside everything else. What it raises ends the simulation."""
        return Client(self.machine, function, name)

    # --- time -----------------------------------------------------------------------------------------------------

    def run(self, for_s: float) -> None:
        """Let everybody go on for so many seconds of simulated time, and come back."""
        self.scheduler.run_to(self.clock.monotonic() + for_s)

    def run_until(self, condition: Callable[[], object], within_s: float = 3600.0) -> bool:
        """Let everybody go on until something is so, or the time is over; whether it is so."""
        return self.scheduler.run_to(self.clock.monotonic() + within_s, condition)

    def run_until_idle(self) -> None:
        """Let everybody go on until nobody can without time passing.

        Raises:
            SimulationStuck: somebody waits, and nothing is left that could end it.
        """
        self.scheduler.run_until_idle()
        if deadlock.is_stuck(self.scheduler):
            raise self._stuck()

    def sleep(self, seconds: float) -> None:
        """Wait, as a thread would: for clients and handlers of effects. Others go on meanwhile."""
        self.machine.flag().wait(seconds)

    def pause(self) -> None:
        """Let somebody else go on here, if the schedule says so."""
        self.scheduler.pause()

    # --- faults ---------------------------------------------------------------------------------------------------

    def crash(self, actor: str, error: BaseException | None = None) -> None:
        """Have an actor raise on its next message."""
        self._saboteur.plan(actor, faults.SimulatedCrash("told to crash") if error is None else error)

    def hang(self, actor: str, for_s: float) -> None:
        """Have an actor hang in its handler for so long on its next message."""
        self._saboteur.plan(actor, for_s)

    def fail_next_append(self, error: Exception | None = None, *, stored: bool = False) -> None:
        """Have the next append end with an error.

        Args:
            error: a full disk where none is given. ``OutcomeUnknown``: nobody knows, until the log is settled.
            stored: it is stored all the same. Only with ``OutcomeUnknown``.
        """
        error = faults.definite() if error is None else error
        if stored and not isinstance(error, OutcomeUnknown):
            msg = "only an append of unknown outcome may be stored"
            raise TypeError(msg)
        self._shaky.failures.append((error, stored))

    @property
    def disk_full(self) -> bool:
        """Whether nothing can be appended. May be assigned."""
        return self._shaky.full

    @disk_full.setter
    def disk_full(self, full: bool) -> None:
        self._shaky.full = full

    def kill(self, *, reboot: bool = False) -> None:
        """End the process as ``kill -9`` does: systems, clients and timers are gone. The next ``system`` finds the log.

        Args:
            reboot: the machine goes down with it, and its monotonic clock begins anew.
        """
        if self._store is not None:
            self._store.gone = True
        self._end_everybody()
        self.scheduler.revive()
        self.systems.clear()
        self._saboteur.planned.clear()
        if self._store is not None:
            old, self._store = self._store.inner, None
            if isinstance(old, MemoryStore):
                self._store = faults.ShakyStore(MemoryStore(self.clock.now, log=old.log))
            else:
                old.close()
        self._boots += reboot
        self.clock.begin_again(f"simulated-{self._boots}" if reboot else None)

    def jump_wall(self, seconds: float) -> None:
        """Step the wall clock alone, as an administrator or NTP may."""
        self.clock.wall_ahead_s += seconds

    def suspend(self, for_s: float) -> None:
        """Stop the whole process for so long: both clocks run on, and nobody does anything meanwhile."""
        self.clock.move_to(self.clock.monotonic() + for_s)

    # --- looking --------------------------------------------------------------------------------------------------

    @property
    def trace(self) -> str:
        """The schedule so far, to replay it. The longer it ran, the longer it is."""
        return self.choices.text

    @property
    def how_to_replay(self) -> str:
        """The line that runs the same schedule again."""
        return f"Simulation({self.seed})" if self._by_seed else f"Simulation({self.seed}, replay={self.trace!r})"

    def events(self) -> list[Record]:
        """Everything in the log."""
        return list(self.store.read())

    def check(self) -> None:
        """See that every actor is what its events say. What was folded by an earlier call is not folded again.

        Raises:
            AssertionError: one is not.
        """
        for system in self.systems:
            folds = self._folds if system.store is self.store else {}
            for name in system.shells():
                shell = system._shells[name]  # noqa: SLF001 - the simulator knows the runtime from inside
                published = shell.published
                before = folds.get(name, Folded(shell.spec.initial, 0))
                folded = system.store.fold(
                    name, shell.spec.evolve, before.state, after=before.version, up_to=published.version
                )
                assert folded.version == published.version, f"{name} is at {published.version}, not {folded.version}"
                assert folded.state == published.state, f"{name}: {published.state!r} is not the fold of its events"
                folds[name] = folded

    def report(self) -> str:
        """How to replay it, who waits for what, and how the log ends."""
        lines = [f"replay this schedule with: {self.how_to_replay}"]
        lines += [f"  {one.who} waits for {one.what}" for one in deadlock.waiting(self.scheduler)]
        lines += deadlock.left_over(self.systems)
        if self._store is not None:
            newest = self._store.head
            records = self._store.inner.read(after=max(0, newest - LAST_EVENTS), removed="skip")
            lines += [f"  {one.position} {one.stream}: {', '.join(map(repr, one.events))}"[:LINE] for one in records]
        return "\n".join(lines)

    # --- life -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._stack.enter_context(in_place(self.machine))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None and not isinstance(error, Killed):
                error.add_note(self._safe_report())
        finally:
            if self._store is not None:
                self._store.gone = True
            self._end_everybody()
            self._stack.close()
            if self._store is not None and self._path is not None:
                self._store.inner.close()

    def _end_everybody(self) -> None:
        for system in self.systems:
            for shell in system._shells.values():  # noqa: SLF001 - the simulator knows the runtime from inside
                vars(shell)["on_thread_end"] = _untold
        self.scheduler.kill()

    def _safe_report(self) -> str:
        try:
            return self.report()
        except Exception as error:  # noqa: BLE001 - what is reported is another error, which must not be lost
            return f"replay this schedule with: {self.how_to_replay}\n  (there is no more to say: {error!r})"

    def _stuck(self) -> Exception:
        return deadlock.deadlock(self.scheduler, self.systems)

    @property
    def _shaky(self) -> faults.ShakyStore:
        assert self.store is not None
        assert self._store is not None
        return self._store

    def _open(self) -> EventStore:
        if self._path is None:
            return MemoryStore(self.clock.now)
        from eventstore.opening import open_store

        log_id = uuid.UUID(int=random.Random(f"log {self.seed}").getrandbits(128), version=4).hex  # noqa: S311
        return open_store(self._path, clock=self.clock.now, log_id=log_id)


def _untold(_: BaseException | None) -> None:
    """Nobody is left to be told that a killed thread has ended."""
