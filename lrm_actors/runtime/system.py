"""A system of actors over one log: start in order, tell, ask, stop in reverse order within a deadline.

Talks to the store it is given, and to the shells through their mailboxes. Several systems in one process share nothing.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eventstore.protocol import EventStore
from lrm_actors.domain.behavior import Effect, Spec, Wire
from lrm_actors.domain.supervision.declaring import ChildSpec
from lrm_actors.domain.supervisor import AddChild
from lrm_actors.errors import ActorStopped, AskError, NotRunning
from lrm_actors.runtime.asking import Asking
from lrm_actors.runtime.checking import check_parts
from lrm_actors.runtime.clock import Clock, SystemClock
from lrm_actors.runtime.control import (
    Handler,
    Services,
    TakeSnapshot,
)
from lrm_actors.runtime.dead_letters import DeadLetterOffice
from lrm_actors.runtime.guardian import Guardian, GuardianFunnel
from lrm_actors.runtime.inspection.looking import Inspection
from lrm_actors.runtime.inspection.tracing import Tracer
from lrm_actors.runtime.recovery import RecoveryGate
from lrm_actors.runtime.reports import ActorStatistics, StopReport, SystemStatistics
from lrm_actors.runtime.resending import Resending
from lrm_actors.runtime.root_restarts import RootRestarts
from lrm_actors.runtime.shell import Shell
from lrm_actors.runtime.tree import SupervisionTree, start_order
from lrm_actors.runtime.watchdog import OFF, Exhausted, Watch, Watchdog
from lrm_actors.runtime.workers import RunningJob, Workers

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 30.0
SNAPSHOT_TIMEOUT_S = 30.0
"""Seconds that snapshots on request may take together."""
EFFECT_THREADS = 16


class ActorSystem(Asking):
    """Actors, their wiring, and the log they live on.

    Args:
        store: the log; the caller opened it and closes it after ``stop``.
        specs: the actors, in the order they are started; children that a supervisor declares start after it, in the
            order in which it declares them.
        wires: the wiring table.
        handlers: how effects are carried out, by effect type. Those of the supervisor on actors are built in.
        clock: where time comes from; the machine's by default.
        name: names the threads.
        supervisor: name of the actor that is told of failures, the root of the supervisors; without it in ``specs`` the
            guardian restarts by itself.
        on_escalation: called with the reason, on a thread of its own, when the root has had too many restarts and is
            going to stop everything. It has 30 s to save what it wants to; ``stop`` then gives exit code 75.
        effect_threads: how many effects are carried out at once, at most.
        watch: when a handler is slow and when it hangs; by default ``Watch()``, or ``OFF`` where the clock is not the
            machine's: nobody hangs while somebody else decides what time it is.
        on_exhausted: called once, on a thread of its own, when more handlers hang than ``watch`` allows. It is to take
            an emergency checkpoint and to end the process, so that whoever started it starts another. Without it that
            is on record and in the log of ``logging``, and the actor stays hung.

    Raises:
        WiringError: two actors of one name, two rows for one (event, consumer), a row for an unknown actor, an actor
            with the name of a stream of the runtime's own, or a handler that is none.
        ChildSpecError: a supervisor declares a child that is no actor here, or another one's, or is above it.
    """

    def __init__(
        self,
        store: EventStore,
        specs: Sequence[Spec[Any]],
        *,
        wires: Sequence[Wire] = (),
        handlers: Mapping[type[Effect], Handler] | None = None,
        clock: Clock | None = None,
        name: str = "lrm",
        supervisor: str = "supervisor",
        on_escalation: Callable[[str], object] | None = None,
        effect_threads: int = EFFECT_THREADS,
        watch: Watch | None = None,
        on_exhausted: Callable[[Exhausted], None] | None = None,
    ) -> None:
        super().__init__(store, name, clock, wires)
        check_parts(specs, wires, handlers)
        self.supervisor = supervisor if any(spec.name == supervisor for spec in specs) else None
        self.tree = SupervisionTree(self, self._machine, specs, self.supervisor, on_escalation)
        self._specs = start_order(specs)
        self._workers = Workers(f"{name}-effect", effect_threads, monotonic=self.clock.monotonic)
        self.tracer = Tracer(self.clock.monotonic)
        self.inspection = Inspection(self)
        """Looks at the actors while they run."""
        restarts = RootRestarts(self)
        self._guardian = Guardian.start(self, restarts)
        self._services = Services(
            store=store,
            clock=self.clock,
            workers=self._workers,
            handlers={**self.tree.handlers(), **(handlers or {})},
            funnel=GuardianFunnel(self._guardian.tell, self.supervisor_of, restarts),
            new_id=self._ids.next,
            random=self._machine.random,
            recoveries=RecoveryGate(ahead=frozenset((supervisor,))),
            tracer=self.tracer,
        )
        self._office = DeadLetterOffice(store, self._ids.next, self.clock.monotonic, self._workers.submit)
        self._resending = Resending(self)
        if watch is None:
            watch = Watch() if isinstance(self.clock, SystemClock) else OFF
        self._watchdog = Watchdog(self, watch, on_exhausted)
        self._unsubscribe: Callable[[], None] = lambda: None

    # --- starting and stopping ----------------------------------------------------------------------------------

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start the actors in order, each one recovered before the next begins.

        An actor that fails in start-up is left to its supervisor; the others start all the same.
        """
        if self._state != "new":
            msg = f"system {self.name!r} was started before"
            raise NotRunning(msg, hint="make a new ActorSystem over the same store")
        self._state = "running"
        self._unsubscribe = self.store.subscribe(self._wake)
        deadline_s = self.clock.monotonic() + timeout_s
        for spec in self._specs:  # before the first starts: a supervisor may stop what has not started yet
            self._mailbox_of(spec)
        for spec in self._specs:
            shell = self._spawn(spec)
            shell.settled_once.wait(max(0.0, deadline_s - self.clock.monotonic()))
            self.tree.announce(spec)
        self._watchdog.start()
        self._resending.resend_requested()

    def spawn(self, spec: Spec[Any], *, supervisor: str | None = None, child: ChildSpec | None = None) -> None:
        """Add an actor to the running system. Does nothing when it is there already.

        Args:
            spec: the actor.
            supervisor: whose child it is from now on, on the record; None: nobody is told, and the root restarts it.
            child: how it is looked after; None: as a permanent child.

        Raises:
            NoSuchActor: there is no such supervisor.
            ChildSpecError: it cannot be looked after so.
        """
        with self._lock:
            self._check_running()
            if spec.name in self._shells:
                return
            if supervisor is not None:
                self.shell(supervisor)
                self.tree.adopt(supervisor, spec, child)
            self._specs.append(spec)
            if supervisor is not None:  # before it can fail
                self.tell_anyway(supervisor, AddChild(f"actor:{spec.name}", child))
            self._watchdog.watch_too(self._spawn_or_later(spec))
            if supervisor is not None:
                self.tree.announce(spec)

    def stop(self, deadline_s: float = 5.0) -> StopReport:
        """Stop the actors in reverse order, each after what waits in its mailbox, all within ``deadline_s`` seconds.

        Never raises and never takes longer. An actor still in a handler is left behind on its daemon thread; it can
        hold up neither the store's other users nor the end of the process.
        """
        with self._lock:
            if self._state != "running":
                self._state = "stopped"
                self._end_helpers()
                return StopReport(clean=True, abandoned=())
            self._state = "stopped"
            shells = list(reversed(self._shells.values()))
        self.tree.goes_down()
        end_s = self.clock.monotonic() + deadline_s
        self._watchdog.stop()
        for shell in shells:
            shell.mailbox.refuse_new("the system is stopping")
        self._services.recoveries.close()
        abandoned = []
        for index, shell in enumerate(shells):
            left_s = max(0.0, end_s - self.clock.monotonic())
            own_s = self.tree.deadline_s(shell.spec.name)
            patience_s = left_s / 2 if index < len(shells) - 1 else left_s * 0.9
            if not self._stop_shell(shell, patience_s if own_s is None else min(patience_s, own_s)):
                abandoned.append(shell.spec.name)
        self._unsubscribe()
        self._office.store_within(max(0.05, end_s - self.clock.monotonic()))
        self._end_helpers()
        if abandoned:
            logger.error("left behind at stop: %s", ", ".join(abandoned))
        return StopReport(clean=not abandoned, abandoned=tuple(abandoned), escalated=self.tree.escalated)

    def _end_helpers(self) -> None:
        self._workers.close()
        with contextlib.suppress(ActorStopped):  # a stop before this one may just be ending it
            self._guardian.stop(block=False)
        self.clock.close()

    # --- looking ------------------------------------------------------------------------------------------------

    def start_errors(self) -> dict[str, BaseException]:
        """The actors whose very first recovery failed, with why. Their supervisor tries them again meanwhile."""
        return {name: shell.start_error for name, shell in list(self._shells.items()) if shell.start_error is not None}

    def state(self, name: str) -> Any:
        """The committed state of an actor, at once and from any thread. It is immutable.

        Raises:
            NoSuchActor: there is none of this name.
        """
        return self.shell(name).published.state

    @property
    def specs(self) -> tuple[Spec[Any], ...]:
        """Every actor, those that were spawned too."""
        return tuple(self._specs)

    @property
    def life(self) -> str:
        """``new``, ``running``, ``stopped``: also while it is stopping."""
        return self._state

    def zombies(self) -> tuple[Shell, ...]:
        """Shells whose threads hang in a handler though their actors have successors."""
        return tuple(zombie for zombie in list(self._watchdog.zombies) if not zombie.actor_stopped.is_set())

    def running_effects(self) -> tuple[RunningJob, ...]:
        """What the workers are carrying out."""
        return self._workers.running()

    def statistics(self) -> SystemStatistics:
        """Every actor's phase, version, mailbox and counts at this moment."""
        now_s = self.clock.monotonic()
        actors = []
        for name, shell in list(self._shells.items()):
            busy_since_s = shell.busy_since_s
            actors.append(
                ActorStatistics(
                    name=name,
                    phase=shell.phase,
                    version=shell.published.version,
                    mailbox_depth=shell.mailbox.depth(),
                    handled=shell.handled,
                    failures=shell.failures,
                    busy_s=0.0 if busy_since_s is None else now_s - busy_since_s,
                    dead_letters=shell.mailbox.dead_letters,
                    mailbox_age_s=shell.mailbox.oldest_age_s(),
                    stashed=len(shell.mailbox.stashed),
                    dropped=shell.mailbox.dropped,
                )
            )
        return SystemStatistics(tuple(actors), self._workers.waiting)

    # --- snapshots and dead letters -----------------------------------------------------------------------------

    def take_snapshots(
        self, names: Sequence[str] | None = None, timeout_s: float = SNAPSHOT_TIMEOUT_S
    ) -> dict[str, int | None]:
        """Have actors keep their states now, so that retention may take the events before them.

        Args:
            names: whose; None for all.
            timeout_s: for all of them together; an actor that has not answered by then may still do it.

        Returns: the version at which each is kept; None for one that does not run, does not answer in time, or has a
            state that cannot be encoded.

        Raises:
            NoSuchActor: there is none of a name.
        """
        until_s = self.clock.monotonic() + timeout_s
        asked = {name: self._machine.reply(name) for name in (self.shells() if names is None else names)}
        for name, reply in asked.items():
            self.shell(name).mailbox.command(TakeSnapshot(reply))
        kept: dict[str, int | None] = {}
        for name, reply in asked.items():
            try:
                kept[name] = reply.get(timeout=max(0.0, until_s - self.clock.monotonic()))
            except AskError:
                kept[name] = None
        return kept

    def new_id(self) -> str:
        """A fresh id (for the watchdog)."""
        return self._ids.next()

    def resend(self, letter: str) -> None:
        """Send a dead letter again: the actor that it was for gets the same command once more.

        Raises:
            DeadLetterNotFound: the log has no letter of this id, or not any more.
            NotResendable: it was handled already, is on its way, or cannot be made into a command.
            ActorStopped, MailboxFull, NotRunning: its actor does not take it now.
        """
        self._check_running()
        self._resending.resend(letter)
