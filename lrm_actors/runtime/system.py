"""A system of actors over one log: start in order, tell, ask, stop in reverse order within a deadline.

Talks to the store it is given, and to the shells through their mailboxes. Several systems in one process share nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from os import getpid
from typing import Any

from eventstore.prepare import check_name
from eventstore.protocol import EventStore
from lrm_actors.domain.behavior import Command, Effect, Spec, Wire
from lrm_actors.domain.dead_letters import DeadLetterAdded
from lrm_actors.domain.supervision.declaring import ChildSpec
from lrm_actors.domain.supervisor import AddChild, ReportEnd, ReportFailure
from lrm_actors.errors import (
    ActorStopped,
    AskError,
    AskInsideDecide,
    NoSuchActor,
    NotRunning,
    StorageUnavailable,
    WiringError,
)
from lrm_actors.runtime.clock import Clock, SystemClock
from lrm_actors.runtime.control import (
    NO_STORAGE,
    RUNNING,
    STARTING,
    STOPPED,
    SUSPENDED,
    Halt,
    Handler,
    Restart,
    Resume,
    Services,
    Stop,
    TakeSnapshot,
)
from lrm_actors.runtime.dead_letters import DeadLetterOffice
from lrm_actors.runtime.guardian import Guardian, GuardianFunnel
from lrm_actors.runtime.ids import Ids
from lrm_actors.runtime.inspection.looking import Inspection
from lrm_actors.runtime.inspection.tracing import Tracer
from lrm_actors.runtime.loops import Waiting
from lrm_actors.runtime.machine import here
from lrm_actors.runtime.mailbox import Envelope, Mailbox, Own
from lrm_actors.runtime.overflow import BlockingMailbox, mailbox_for
from lrm_actors.runtime.recovery import RecoveryGate
from lrm_actors.runtime.reply import AsyncReply, Reply
from lrm_actors.runtime.reports import ActorStatistics, StopReport, SystemStatistics
from lrm_actors.runtime.resending import Resending
from lrm_actors.runtime.shell import Shell
from lrm_actors.runtime.tree import SupervisionTree, start_order
from lrm_actors.runtime.turn import is_deciding
from lrm_actors.runtime.watchdog import OFF, Exhausted, Watch, Watchdog
from lrm_actors.runtime.workers import RunningJob, Workers

logger = logging.getLogger(__name__)

RESTART_TIMEOUT_S = 30.0
"""Seconds that a restart in place may take before it counts as failed."""
START_TIMEOUT_S = 30.0
SNAPSHOT_TIMEOUT_S = 30.0
"""Seconds that snapshots on request may take together."""
EFFECT_THREADS = 16


class ActorSystem:
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
        WiringError: two actors of one name, two rows for one (event, consumer), or a row for an unknown actor.
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
        self.store = store
        self.name = name
        self._machine = here()
        self.clock: Clock = clock if clock is not None else self._machine.clock()
        self.supervisor = supervisor if any(spec.name == supervisor for spec in specs) else None
        _check(specs, wires)
        self.tree = SupervisionTree(self, self._machine, specs, self.supervisor, on_escalation)
        self._specs = start_order(specs)
        self._wires = tuple(wires)
        self._mailboxes: dict[str, Mailbox] = {}
        self._shells: dict[str, Shell] = {}
        self._ended: set[str] = set()
        """Actors that ended or were stopped, and that their supervisor may start again."""
        self._lock = threading.RLock()
        self._workers = Workers(f"{name}-effect", effect_threads, monotonic=self.clock.monotonic)
        self.tracer = Tracer(self.clock.monotonic)
        self.inspection = Inspection(self)
        """Looks at the actors while they run."""
        self.pending_asks: dict[Reply, tuple[str, float]] = {}
        """Asks without an answer yet, the oldest first: class of the command, and since when."""
        self._guardian = Guardian.start(self)
        self._ids = Ids()
        self._services = Services(
            store=store,
            clock=self.clock,
            workers=self._workers,
            handlers={**self.tree.handlers(), **(handlers or {})},
            funnel=GuardianFunnel(self._guardian.tell),
            new_id=self._ids.next,
            random=self._machine.random,
            recoveries=RecoveryGate(ahead=frozenset((supervisor,))),
            tracer=self.tracer,
        )
        self._office = DeadLetterOffice(store, self._ids.next, self._workers.submit)
        self._resending = Resending(self)
        if watch is None:
            watch = Watch() if isinstance(self.clock, SystemClock) else OFF
        self._watchdog = Watchdog(self, watch, on_exhausted)
        self._unsubscribe: Callable[[], None] = lambda: None
        self._state = "new"
        self._pid = getpid()

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
            self._watchdog.watch_too(self._spawn(spec))
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

    def _stop_shell(self, shell: Shell, patience_s: float) -> bool:
        """Ask it to stop after its messages, then before them; True when it has ended."""
        if shell.phase == STOPPED or shell.actor_stopped.is_set():
            shell.mailbox.close("stopped")  # its thread may have died just now, and nobody replaces it any more
            return True
        reply = self._machine.reply(shell.spec.name)
        shell.mailbox.put_anyway(Stop(reply))
        if shell.phase == SUSPENDED:
            shell.mailbox.command(Resume())  # what waits is handled first, as at any stop
        elif shell.phase not in {RUNNING, STARTING}:
            shell.mailbox.command(Stop(reply))
        for share in (0.7, 0.3):
            try:
                reply.get(timeout=patience_s * share)
            except AskError:
                shell.mailbox.command(Stop(reply))
            else:
                return True
        shell.mailbox.close("abandoned at stop")
        return False

    def _end_helpers(self) -> None:
        self._workers.close()
        with contextlib.suppress(ActorStopped):  # a stop before this one may just be ending it
            self._guardian.stop(block=False)
        self.clock.close()

    # --- telling and asking -------------------------------------------------------------------------------------

    def tell(
        self,
        to: str,
        command: Command,
        *,
        command_id: str | None = None,
        cause: int | None = None,
        correlation_id: str | None = None,
    ) -> None:
        """Send a command and do not wait.

        Args:
            to: name of the actor.
            command: what it shall do.
            command_id: the same id sent twice is carried out once.
            cause: position of the event that led to it.
            correlation_id: shared by everything that follows from one trigger; its own by default.

        Raises:
            NoSuchActor, ActorStopped, MailboxFull: it was not accepted.
            MailboxWouldBlock: the actor has its senders wait for room, which this thread, an event loop's, must not.
            NotRunning: the system is not running, or this is a process forked from the one it runs in.
            BadRequest: an id is no text, or empty, or holds NUL or a lone surrogate.
            AskInsideDecide: an actor reaches others through the wiring alone.
        """
        given_id = command_id is not None
        if given_id:
            check_name("command_id", command_id)
        if correlation_id is not None:
            check_name("correlation_id", correlation_id)
        self._mailbox(to).put(Envelope(command, None, command_id, cause, correlation_id, given_id=given_id))

    def ask_blocking(self, to: str, command: Command, *, timeout_s: float = 5.0, command_id: str | None = None) -> Any:
        """Send a command and wait, on this thread, for its reply. See ``ask``."""
        reply = self._machine.reply(to, command_id or self._ids.next())
        mailbox, envelope = self._to_ask(to, command, reply, timeout_s, retry=command_id is not None)
        self.pending_asks[reply] = (type(command).__name__, self.clock.monotonic())
        try:
            if isinstance(mailbox, BlockingMailbox):
                until_s = self.clock.monotonic() + timeout_s
                mailbox.put(envelope, timeout_s)
                return reply.get(timeout=max(0.0, until_s - self.clock.monotonic()))
            mailbox.put(envelope)
            return reply.get(timeout=timeout_s)
        finally:
            self.pending_asks.pop(reply, None)

    async def ask(self, to: str, command: Command, *, timeout_s: float = 5.0, command_id: str | None = None) -> Any:
        """Send a command and await its reply. The event loop is never blocked.

        When the awaiting task is cancelled, a command that the actor has not begun is not carried out, as with a
        cancelled call in a pool of threads; one that it has begun is. With the same ``command_id`` it can be asked
        again either way. A command whose ask timed out is carried out all the same when its turn comes.

        Args:
            to: name of the actor.
            command: what it shall do.
            timeout_s: more than 0 and finite.
            command_id: give the one of an earlier error to ask again safely: what was carried out is not done twice.

        Raises:
            AskTimeout: no reply in time; it may still be carried out.
            OutcomeUnknown: no reply in time because the log cannot say yet whether it was stored.
            HandlerFailed: the actor failed on it and is restarted; nothing was stored.
            CommandRefused: the actor refused it.
            StorageUnavailable: the log cannot be written; nothing was stored.
            MessageDropped: its mailbox was full, and a newer message took its place.
            StashFull: the actor has put off as much as it may.
            NoSuchActor, ActorStopped, MailboxFull, NotRunning, AskInsideDecide: as for ``tell``.
        """
        loop = asyncio.get_running_loop()
        reply = AsyncReply(loop, to, command_id or self._ids.next())
        mailbox, envelope = self._to_ask(to, command, reply, timeout_s, retry=command_id is not None)
        self.pending_asks[reply] = (type(command).__name__, self.clock.monotonic())
        until_s = loop.time() + timeout_s
        timer: Waiting | asyncio.TimerHandle | None = None
        try:
            if isinstance(mailbox, BlockingMailbox):
                await mailbox.put_when_room(envelope, timeout_s)
            else:
                mailbox.put(envelope)
            timer = reply.time_out_at(until_s, timeout_s)
            return await reply.future
        except asyncio.CancelledError:
            reply.withdraw()
            raise
        finally:
            if timer is not None:
                timer.cancel()
            self.pending_asks.pop(reply, None)

    def _to_ask(
        self, to: str, command: Command, reply: Reply, timeout_s: float, *, retry: bool
    ) -> tuple[Mailbox, Envelope]:
        if not (0 < timeout_s < math.inf):
            msg = f"timeout_s must be more than 0 and finite, got {timeout_s!r}"
            raise ValueError(msg)
        if retry:
            check_name("command_id", reply.command_id)  # here, or the store would, and the actor be blamed for it
        mailbox = self._mailbox(to)
        shell = self._shells.get(to)
        if shell is not None and shell.phase == NO_STORAGE:
            msg = f"{to}: the log cannot be written at the moment"
            raise StorageUnavailable(msg, actor=to, command_id=reply.command_id)
        return mailbox, Envelope(command, reply, reply.command_id, given_id=retry)

    def _mailbox(self, name: str) -> Mailbox:
        if is_deciding():
            raise AskInsideDecide(name)
        if self._state != "running" or getpid() != self._pid:
            self._check_running()
        mailbox = self._mailboxes.get(name)
        if mailbox is None:
            msg = f"there is no actor {name!r} in {', '.join(sorted(self._mailboxes)) or 'this system'}"
            raise NoSuchActor(msg, actor=name)
        return mailbox

    def _check_running(self) -> None:
        if self._state != "running":
            msg = f"system {self.name!r} is not running"
            raise NotRunning(msg)
        if getpid() != self._pid:
            msg = f"system {self.name!r} runs in the process that this one was forked from"
            raise NotRunning(msg, hint="start a system of its own after the fork, or spawn instead of forking")

    def start_errors(self) -> dict[str, BaseException]:
        """The actors whose very first recovery failed, with why. Their supervisor tries them again meanwhile."""
        return {name: shell.start_error for name, shell in self._shells.items() if shell.start_error is not None}

    # --- looking ------------------------------------------------------------------------------------------------

    def state(self, name: str) -> Any:
        """The committed state of an actor, at once and from any thread. It is immutable.

        Raises:
            NoSuchActor: there is none of this name.
        """
        return self.shell(name).published.state

    def shells(self) -> tuple[str, ...]:
        """Names of the actors, in start order."""
        return tuple(self._shells)

    def phase(self, name: str) -> str:
        """What an actor is doing.

        ``starting``, ``running``, ``suspended``, ``failed``, ``no_storage``, ``halted``, ``stopped``.
        """
        return self.shell(name).phase

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

    # --- restarting ---------------------------------------------------------------------------------------------

    def restart_actor(self, name: str, timeout_s: float = RESTART_TIMEOUT_S) -> float:
        """Restart an actor in place, its mailbox kept, and wait until it runs. Returns the seconds it took.

        One that its supervisor stopped gets a new mailbox.

        Raises:
            HandlerFailed, StorageUnavailable, ActorStopped, AskTimeout: it does not run.
        """
        with self._lock:
            shell = self.shell(name)
            if shell.phase == STOPPED:
                if name not in self._ended or self._state != "running":
                    raise ActorStopped(f"{name} has stopped", actor=name)
                self._ended.discard(name)
                self._mailboxes.pop(name)
                shell = self._spawn(shell.spec, after_death=True)
        reply = self._machine.reply(name)
        shell.mailbox.command(Restart(reply))
        return float(reply.get(timeout=timeout_s))

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

    def stop_actor(self, name: str, reason: str) -> None:
        """Give an actor up: close its mailbox, so that its asks end, and let its thread end."""
        shell = self.shell(name)
        shell.mailbox.close(reason)
        shell.mailbox.command(Stop())

    # --- the supervisors' side of the tree ------------------------------------------------------------------------

    def tell_anyway(self, name: str, command: Command) -> None:
        """Put a command into a mailbox, however full."""
        mailbox = self._mailboxes.get(name)
        if mailbox is not None:
            mailbox.put_anyway(Envelope(command))

    def halt(self, name: str, timeout_s: float) -> bool:
        """Have an actor handle nothing until it is restarted, its mailbox kept; whether it said so in time."""
        shell = self._shells.get(name)
        if shell is not None and shell.phase == STOPPED:
            return True
        reply = self._machine.reply(name)
        self.command(name, Halt(reply))
        try:
            reply.get(timeout=timeout_s)
        except AskError:
            return False
        return True

    def end_actor(self, name: str, reason: str, deadline_s: float) -> None:
        """Stop an actor, which its supervisor may start again; a running one may handle what waits until a deadline."""
        shell = self._shells.get(name)
        if shell is None or shell.phase == STOPPED:
            return
        self._ended.add(name)
        if deadline_s > 0 and shell.phase == RUNNING:
            shell.mailbox.refuse_new(reason)
            self._stop_shell(shell, deadline_s)
        self.stop_actor(name, reason)

    # --- the guardian's side of the tree --------------------------------------------------------------------------

    def command(self, name: str, control: Any) -> None:
        """Put something on an actor's control lane (for the guardian)."""
        self._mailboxes[name].command(control)

    def supervisor_of(self, name: str) -> str | None:
        """Who decides on an actor's failures (for the guardian); None: the guardian itself."""
        return self.tree.responsible(name)

    def handled_since_restart(self, name: str) -> int:
        """Messages that an actor handled since it was started or restarted (for the guardian)."""
        shell = self.shell(name)
        return shell.handled - shell.handled_before

    def report(self, report: ReportFailure | ReportEnd) -> None:
        """Tell the supervisor of what became of an actor (for the guardian)."""
        name = report.child.partition(":")[2]
        supervisor = self.tree.responsible(name) or ""
        if isinstance(report, ReportEnd):
            self._ended.add(name)
        mailbox = self._mailbox(supervisor)
        if mailbox.closed:
            raise ActorStopped(f"{supervisor} has stopped", actor=supervisor)
        mailbox.put_anyway(Envelope(report))

    def respawn(self, name: str) -> None:
        """Give a mailbox whose thread died a new shell (for the guardian)."""
        with self._lock:
            if self._state == "running":
                before = self._shells[name]
                self._spawn(before.spec, after_death=True, instead_of=before)

    def give_up(self, reason: str) -> None:
        """Close every mailbox (for the guardian): this process does not own the log any more."""
        for name in self.shells():
            self.stop_actor(name, reason)

    # --- the watchdog's side, and that of dead letters ------------------------------------------------------------

    def every_shell(self) -> tuple[Shell, ...]:
        """The shells that run now (for the watchdog)."""
        return tuple(self._shells.values())

    def new_id(self) -> str:
        """A fresh id (for the watchdog)."""
        return self._ids.next()

    def succeed(self, zombie: Shell, letter: DeadLetterAdded | None, *, at_once: bool) -> None:
        """Start the successor of a shell that hangs (for the watchdog)."""
        name = zombie.spec.name
        with self._lock:
            if self._state != "running" or self._shells.get(name) is not zombie:
                return
            try:
                self._spawn(zombie.spec, after_death=not at_once, instead_of=zombie, letter=letter)
            except (RuntimeError, MemoryError) as error:  # no thread to be had: the guardian asks until there is one
                self._services.funnel.thread_ended(name, error)
                return
        if not at_once:
            hung = TimeoutError("its recovery did not return")
            self._services.funnel.actor_failed(name, "start", hung, "recover")

    def resend(self, letter: str) -> None:
        """Send a dead letter again: the actor that it was for gets the same command once more.

        Raises:
            DeadLetterNotFound: the log has no letter of this id, or not any more.
            NotResendable: it was handled already, is on its way, or cannot be made into a command.
            ActorStopped, MailboxFull, NotRunning: its actor does not take it now.
        """
        self._check_running()
        self._resending.resend(letter)

    def spec(self, name: str) -> Spec[Any] | None:
        """The actor of this name, if there is one."""
        shell = self._shells.get(name)
        return None if shell is None else shell.spec

    def deliver(self, to: str, envelope: Envelope) -> None:
        """Put a message into an actor's mailbox (for dead letters that are sent again)."""
        self._mailbox(to).put(envelope)

    def _spawn(
        self,
        spec: Spec[Any],
        *,
        after_death: bool = False,
        instead_of: Shell | None = None,
        letter: DeadLetterAdded | None = None,
    ) -> Shell:
        mailbox = self._mailbox_of(spec)
        wires = [wire for wire in self._wires if wire.to == spec.name]
        shell = Shell(spec, mailbox, self._services, wires, after_death=after_death)
        if instead_of is not None:
            shell.inherit(instead_of, letter)
        self._shells[spec.name] = shell
        shell.launch(f"{self.name}-{spec.name}")
        return shell

    def _mailbox_of(self, spec: Spec[Any]) -> Mailbox:
        mailbox = self._mailboxes.get(spec.name)
        if mailbox is None:
            mailbox = self._mailboxes[spec.name] = mailbox_for(spec, self.clock.monotonic)
            mailbox.on_dead_letter = partial(self._bury, spec)
        return mailbox

    def _bury(self, spec: Spec[Any], envelope: Envelope, because: str) -> None:
        if not (isinstance(envelope, Own) and self._mailboxes[spec.name].closed):
            self._office.take(spec, envelope, because)

    def _wake(self, _head: int, types: frozenset[str]) -> None:
        for shell in list(self._shells.values()):
            if shell.consumes(types):
                shell.mailbox.wake()

    def shell(self, name: str) -> Shell:
        """The shell that reads an actor's mailbox now (for the inspection).

        Raises:
            NoSuchActor: there is none of this name.
        """
        shell = self._shells.get(name)
        if shell is None:
            msg = f"there is no actor {name!r}"
            raise NoSuchActor(msg, actor=name)
        return shell


def _check(specs: Sequence[Spec[Any]], wires: Sequence[Wire]) -> None:
    names = [spec.name for spec in specs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        msg = f"more than one actor is named {', '.join(sorted(twice))}"
        raise WiringError(msg)
    rows = [(wire.event, wire.to) for wire in wires]
    for event, to in rows:
        if rows.count((event, to)) > 1:
            msg = f"more than one row wires {event.__name__} to {to}"
            raise WiringError(msg)
        if to not in names:
            msg = f"{event.__name__} is wired to {to!r}, which is not among the actors"
            raise WiringError(msg)
