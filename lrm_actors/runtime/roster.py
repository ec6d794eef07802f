"""The actors of one system: their mailboxes, and the shells that read them now.

Talks to mailboxes and shells. The supervision tree, the guardian and the watchdog do to actors what stands here; who
decides on it is one of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from os import getpid
from typing import Any

from eventstore.protocol import EventStore
from lrm_actors.domain.behavior import Command, Spec, Wire
from lrm_actors.domain.dead_letters import DeadLetterAdded
from lrm_actors.domain.given import is_text
from lrm_actors.domain.supervisor import ReportEnd, ReportFailure
from lrm_actors.errors import ActorStopped, AskError, AskInsideDecide, NoSuchActor, NotRunning
from lrm_actors.runtime.clock import Clock
from lrm_actors.runtime.control import RUNNING, STARTING, STOPPED, SUSPENDED, Halt, Restart, Resume, Services, Stop
from lrm_actors.runtime.dead_letters import DeadLetterOffice
from lrm_actors.runtime.envelope import Envelope, Own
from lrm_actors.runtime.machine import here
from lrm_actors.runtime.mailbox import Mailbox
from lrm_actors.runtime.overflow import mailbox_for
from lrm_actors.runtime.shell import Shell
from lrm_actors.runtime.tree import SupervisionTree
from lrm_actors.runtime.turn import is_deciding

RESTART_TIMEOUT_S = 30.0
"""Seconds that a restart in place may take before it counts as failed."""


class Roster:
    """Who is in a system. Made by ``ActorSystem``, which is one.

    Args:
        store: the log.
        name: names the threads.
        clock: where time comes from; the machine's by default.
        wires: the wiring table.
    """

    tree: SupervisionTree
    _services: Services
    _office: DeadLetterOffice

    def __init__(self, store: EventStore, name: str, clock: Clock | None, wires: Sequence[Wire]) -> None:
        self.store = store
        self.name = name
        self._machine = here()
        self.clock: Clock = clock if clock is not None else self._machine.clock()
        self._wires = tuple(wires)
        self._wired = frozenset(wire.event_name for wire in self._wires)
        self._mailboxes: dict[str, Mailbox] = {}
        self._shells: dict[str, Shell] = {}
        self._ended: set[str] = set()
        """Actors that ended or were stopped, and that their supervisor may start again."""
        self._lock = threading.RLock()
        self._state = "new"
        self._pid = getpid()
        self.on_full: Callable[[str], object] | None = None
        """Called on the guardian's thread when the disk was full and the log has given up what it held back for that:
        what can go should go now. Must return at once."""

    # --- looking ------------------------------------------------------------------------------------------------

    def shells(self) -> tuple[str, ...]:
        """Names of the actors, in start order."""
        return tuple(self._shells)

    def phase(self, name: str) -> str:
        """What an actor is doing.

        ``starting``, ``running``, ``suspended``, ``failed``, ``no_storage``, ``halted``, ``stopped``.
        """
        return self.shell(name).phase

    def shell(self, name: str) -> Shell:
        """The shell that reads an actor's mailbox now (for the inspection).

        Raises:
            NoSuchActor: there is none of this name.
        """
        shell = self._shells.get(name) if is_text(name) else None
        if shell is None:
            raise self._nobody(name)
        return shell

    def _nobody(self, name: str) -> NoSuchActor:
        if not self._mailboxes:
            return NoSuchActor(f"there is no actor {name!r} yet", actor=name, hint="start() the system first")
        there = ", ".join(sorted(self._mailboxes))
        return NoSuchActor(f"there is no actor {name!r}; there are {there}", actor=name)

    def spec(self, name: str) -> Spec[Any] | None:
        """The actor of this name, if there is one."""
        shell = self._shells.get(name)
        return None if shell is None else shell.spec

    def every_shell(self) -> tuple[Shell, ...]:
        """The shells that run now (for the watchdog)."""
        return tuple(self._shells.values())

    # --- reaching -----------------------------------------------------------------------------------------------

    def _mailbox(self, name: str) -> Mailbox:
        if is_deciding():
            raise AskInsideDecide(name)
        if self._state != "running" or getpid() != self._pid:
            self._check_running()
        mailbox = self._mailboxes.get(name)
        if mailbox is None:
            raise self._nobody(name)
        return mailbox

    def _check_running(self) -> None:
        if self._state != "running":
            msg = f"system {self.name!r} is not running"
            raise NotRunning(msg)
        if getpid() != self._pid:
            msg = f"system {self.name!r} runs in the process that this one was forked from"
            raise NotRunning(msg, hint="start a system of its own after the fork, or spawn instead of forking")

    def deliver(self, to: str, envelope: Envelope) -> None:
        """Put a message into an actor's mailbox (for dead letters that are sent again)."""
        self._mailbox(to).put(envelope)

    def tell_anyway(self, name: str, command: Command) -> None:
        """Put a command into a mailbox, however full."""
        mailbox = self._mailboxes.get(name)
        if mailbox is not None:
            mailbox.put_anyway(Envelope(command))

    def command(self, name: str, control: Any) -> None:
        """Put something on an actor's control lane (for the guardian)."""
        self._mailboxes[name].command(control)

    # --- starting and restarting --------------------------------------------------------------------------------

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
                self._new_mailbox(shell.spec)  # in place of the closed one: whoever sends finds one at any moment
                shell = self._spawn_or_later(shell.spec, after_death=True)
        reply = self._machine.reply(name)
        shell.mailbox.command(Restart(reply))
        return float(reply.get(timeout=timeout_s))

    def respawn(self, name: str) -> None:
        """Give a mailbox whose thread died a new shell (for the guardian)."""
        with self._lock:
            if self._state == "running":
                before = self._shells[name]
                self._spawn(before.spec, after_death=True, instead_of=before)

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

    def _spawn_or_later(self, spec: Spec[Any], *, after_death: bool = False) -> Shell:
        """Start an actor; where the machine has no thread to give just now, the guardian asks until it has."""
        try:
            return self._spawn(spec, after_death=after_death)
        except (RuntimeError, MemoryError) as error:
            if spec.name not in self._shells:
                raise
            self._services.funnel.thread_ended(spec.name, error)
            return self._shells[spec.name]

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
        return self._new_mailbox(spec) if mailbox is None else mailbox

    def _new_mailbox(self, spec: Spec[Any]) -> Mailbox:
        mailbox = mailbox_for(spec, self.clock.monotonic)
        mailbox.on_dead_letter = partial(self._bury, spec, mailbox)
        self._mailboxes[spec.name] = mailbox
        return mailbox

    def _bury(self, spec: Spec[Any], mailbox: Mailbox, envelope: Envelope, because: str) -> None:
        if not (isinstance(envelope, Own) and mailbox.closed):
            self._office.take(spec, envelope, because)

    def _wake(self, _head: int, types: frozenset[str]) -> None:
        if types.isdisjoint(self._wired):  # as most are: no need to ask each actor
            return
        for shell in list(self._shells.values()):
            if shell.consumes(types):
                shell.mailbox.wake()

    # --- stopping -----------------------------------------------------------------------------------------------

    def stop_actor(self, name: str, reason: str) -> None:
        """Give an actor up: close its mailbox, so that its asks end, and let its thread end."""
        shell = self.shell(name)
        shell.mailbox.close(reason)
        shell.mailbox.command(Stop())

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

    def store_letters(self) -> None:
        """Store the dead letters that waited for the log, on some other thread (for the guardian)."""
        if self._office.pending:
            self._services.workers.submit(self._office.store)

    def room_made(self, reason: str) -> None:
        """Tell whoever can make more room that it has to be made (for the guardian)."""
        if self.on_full is not None:
            self.on_full(reason)

    def give_up(self, reason: str) -> None:
        """Close every mailbox (for the guardian): this process does not own the log any more."""
        for name in self.shells():
            self.stop_actor(name, reason)

    # --- for the guardian ---------------------------------------------------------------------------------------

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
