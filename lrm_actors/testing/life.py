"""One life of a simulated process: a log on a file system that fails on demand, and a system over it without threads.

Talks to the runtime from inside, and is the only part of the kit that does: what it takes from there stands in
``Life._look_inside`` and in the few lines below it.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

from eventstore.errors import EventStoreError, FaultsUnsupported
from eventstore.opening import open_store
from eventstore.store import SqliteStore
from eventstore.testing.capture import Capture
from eventstore.testing.vfs import FaultVFS
from lrm_actors.domain.behavior import Command, Decision, Effect, Spec, StartTimer
from lrm_actors.runtime.committing import Published
from lrm_actors.runtime.control import Funnel, Handler
from lrm_actors.runtime.machine import in_place
from lrm_actors.runtime.reply import Reply
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.testing.checks import CheckFailed
from lrm_actors.testing.owed import Account
from lrm_actors.testing.simulation.choices import Choices
from lrm_actors.testing.simulation.clock import VirtualClock
from lrm_actors.testing.simulation.parts import SimulatedMachine
from lrm_actors.testing.simulation.scheduler import Scheduler

LOG = "lrm.db"
ASK_TIMEOUT_S = 20.0
"""Simulated seconds until an ask counts as never answered."""
REST_S = 120.0
"""Simulated seconds within which every actor must run again after the last fault."""
REST_STEPS = 20_000
"""Steps within one moment after which a system goes on for ever by itself."""


@functools.cache
def shared_vfs() -> FaultVFS | None:
    """The one failing file system of this process, made when it is first needed; None where there can be none."""
    try:
        return FaultVFS()
    except FaultsUnsupported:
        return None


@functools.cache
def empty_log() -> bytes:
    """The file of a log with nothing in it: to copy it takes a tenth of the time that it takes to make one."""
    with TemporaryDirectory(prefix="lrm-empty-") as name:
        path = Path(name) / LOG
        open_store(path, reserve_bytes=0).close()
        return path.read_bytes()


def place_empty_log(directory: Path) -> None:
    """Begin a life's directory with an empty log."""
    directory.mkdir(mode=0o700)
    (directory / LOG).write_bytes(empty_log())
    (directory / LOG).chmod(0o600)


@attrs.define
class Notes:
    """What a life is watched for."""

    failures: list[tuple[str, str, BaseException]] = attrs.Factory(list)
    """Actor, what it was handling, and the error."""
    begun: list[Effect] = attrs.Factory(list)
    """Effects whose handler was called."""
    finished: list[Effect] = attrs.Factory(list)
    """Effects whose handler has returned, with a command that says so."""
    recovered: dict[str, Decision] = attrs.Factory(dict)
    """What each actor's last recovery decided on."""


class Life:
    """A log that is opened, and a system over it.

    Args:
        directory: where the log is, or will be.
        make: gives the system.
        clock: goes on from one life to the next.
        vfs: below the log.
        number: of this life; ids and chance come from it.
        account: of the effects, which goes on from one life to the next.
        options: for ``open_store``.
    """

    def __init__(
        self,
        directory: Path,
        make: Callable[[SqliteStore, VirtualClock], ActorSystem],
        clock: VirtualClock,
        *,
        vfs: FaultVFS | None,
        number: int,
        account: Account,
        options: Mapping[str, Any],
    ) -> None:
        self.directory = directory
        self.clock = clock
        self.notes = Notes()
        self._account = account
        account.forget_letters()
        self.answered: list[str] = []
        """Ids of the commands that were answered with a reply, in that order."""
        self.schedule: list[int] = []
        """What is chosen next where several could go on; after them, always the first."""
        self.capture: Capture | None = vfs.capture() if vfs is not None else None
        self._vfs = vfs
        self._stack = ExitStack()
        self.scheduler = Scheduler(Choices(self._choose), clock, self._stuck)
        machine = _Machine(self.scheduler, random.Random(f"life {number}"), self._note_answer)  # noqa: S311
        self._stack.enter_context(in_place(machine))
        if vfs is not None:
            options = {"connect": vfs.connect, **options}
        try:
            self.store = open_store(directory / LOG, clock=clock.now, **{"reserve_bytes": 0, **options})
        except BaseException:
            self._stack.close()
            raise
        self.system = make(self.store, clock)
        self.specs: tuple[Spec[Any], ...] = tuple(self._look_inside())

    # --- going on -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the actors, and let them come to rest."""
        self.system.start()
        self.rest()

    def rest(self) -> None:
        """Let everybody go on until nobody can at this moment, and everybody runs who should.

        Raises:
            CheckFailed: ``never-at-rest``.
        """
        self._go_on(0.0)
        end_s = self.clock.monotonic() + REST_S
        while waiting := [name for name in self.names if self.system.phase(name) not in ("running", "stopped")]:
            if self.clock.monotonic() >= end_s:
                raise CheckFailed("never-at-rest", waiting[0], f"it does not run again within {REST_S:g} s")
            self._go_on(1.0)

    def pass_time(self, seconds: float) -> None:
        """Let so much time go by, and everything that is due happen at its moment."""
        self._go_on(seconds)
        self.rest()

    def ask(self, to: str, command: Command, command_id: str) -> Any:
        """Ask, and wait. See ``ActorSystem.ask_blocking``."""
        return self.system.ask_blocking(to, command, timeout_s=ASK_TIMEOUT_S, command_id=command_id)

    def tell(self, to: str, command: Command, command_id: str) -> None:
        """Tell, and let nobody go on yet."""
        self.system.tell(to, command, command_id=command_id)

    def mark(self, name: str, value: int) -> None:
        """Note in the capture that something became true here."""
        if self.capture is not None:
            self.capture.mark(name, value)

    # --- the end --------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End in order."""
        try:
            self.system.stop(deadline_s=30.0)
        finally:
            self.kill()

    def kill(self) -> None:
        """End where everybody stands, and let go of the files. What they are like was decided before."""
        try:
            self.scheduler.kill()
            self.store.close()
        except EventStoreError:
            pass  # a log that could not be closed in order is one of those that a crash leaves
        finally:
            self._stack.close()
            if self._vfs is not None:
                self._vfs.reset()

    # --- looking --------------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The actors, in start order."""
        return self.system.shells()

    def published(self, name: str) -> Published:
        """Committed state and version of an actor."""
        return self.system._shells[name].published  # noqa: SLF001 - both in one look

    def timers(self, name: str) -> frozenset[str]:
        """Keys of an actor's pending timers."""
        return frozenset(self.system._shells[name]._effects._timers)  # noqa: SLF001 - nobody else has to know them

    # --- inside ---------------------------------------------------------------------------------------------------

    def _timers_now(self, name: str) -> frozenset[str]:
        return self.timers(name) if name in self.system._shells else frozenset()  # noqa: SLF001 - it is only starting

    def _go_on(self, seconds: float) -> None:
        limit = self.scheduler.steps + REST_STEPS
        if self.scheduler.run_to(self.clock.monotonic() + seconds, lambda: self.scheduler.steps >= limit):
            raise CheckFailed("never-at-rest", "", f"after {REST_STEPS} steps within {seconds:g} s")

    def _choose(self, options: int) -> int:
        return self.schedule.pop(0) % options if self.schedule else 0

    def _stuck(self) -> Exception:
        return CheckFailed("never-answered", "", "everybody waits, and nothing is left that could happen")

    def _note_answer(self, command_id: str) -> None:
        self.answered.append(command_id)
        self.mark("answered", len(self.answered))

    def _look_inside(self) -> list[Spec[Any]]:
        """Have recoveries, effects and failures noted on their way. Returns the actors as they were given."""
        system, notes, account = self.system, self.notes, self._account
        specs = list(system._specs)  # noqa: SLF001 - the kit knows the runtime from inside
        system._specs = [  # noqa: SLF001
            account.noted(_noted_recovery(spec, notes), functools.partial(self._timers_now, spec.name))
            for spec in specs
        ]
        services = system._services  # noqa: SLF001
        system._services = attrs.evolve(  # noqa: SLF001
            services,
            handlers={kind: _noted_handler(handler, notes, account) for kind, handler in services.handlers.items()},
            funnel=_NotedFunnel(services.funnel, notes),
        )
        return specs


class _Machine(SimulatedMachine):
    """Notes every answer at the moment it is given, which may be before the asker gets to run."""

    def __init__(self, scheduler: Scheduler, chance: random.Random, answered: Callable[[str], None]) -> None:
        super().__init__(scheduler, chance)
        base: Any = type(super().reply())

        class Noted(base):  # type: ignore[misc]  # whatever the simulator's own is
            def __init__(self, actor: str = "", command_id: str = "") -> None:  # as pykka makes another of its kind
                super().__init__(scheduler, actor, command_id)

            def _finish(self) -> None:
                if self._error is None and self.command_id:
                    answered(self.command_id)
                super()._finish()

        self._noted: Callable[..., Reply] = Noted

    def reply(self, actor: str = "", command_id: str = "") -> Reply:
        return self._noted(actor, command_id)


class _NotedFunnel:
    """Hands on what the shells report."""

    def __init__(self, funnel: Funnel, notes: Notes) -> None:
        self._funnel = funnel
        self._notes = notes

    def actor_failed(self, name: str, kind: str, error: BaseException, handling: str) -> None:
        """Note it, and hand it on."""
        self._notes.failures.append((name, handling, error))
        self._funnel.actor_failed(name, kind, error, handling)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._funnel, name)


def _noted_recovery(spec: Spec[Any], notes: Notes) -> Spec[Any]:
    recover = spec.recover
    if recover is None:
        return spec

    def noted(state: Any, ctx: Any) -> Decision:
        decision = recover(state, ctx)
        notes.recovered[spec.name] = decision
        return decision

    return attrs.evolve(spec, recover=noted)


def _noted_handler(handler: Handler, notes: Notes, account: Account) -> Handler:
    def noted(effect: Any) -> Command | None:
        notes.begun.append(effect)
        command = handler(effect)
        if command is not None:  # else nobody can know that it was carried out
            notes.finished.append(effect)
            account.note_end(effect, command)
        return command

    return noted


def started_timers(decision: Decision | None) -> frozenset[str]:
    """Keys of the timers that a decision starts."""
    effects = () if decision is None else decision.effects
    return frozenset(effect.key for effect in effects if isinstance(effect, StartTimer))
