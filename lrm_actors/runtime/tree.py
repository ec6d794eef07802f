"""The tree of supervisors: who is responsible for whom, in which order they start, and how their effects are done.

Talks to the mailboxes of supervisors and of their children, through the system. Decides nothing: who is stopped and
started, and when, is in the events of the supervisors.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from lrm_actors.domain import supervisor as s
from lrm_actors.domain.behavior import Command, Effect, Spec
from lrm_actors.domain.children import ACTOR
from lrm_actors.domain.supervision import effects
from lrm_actors.domain.supervision.declaring import AS_BEFORE, check_child
from lrm_actors.errors import AskError, ChildSpecError
from lrm_actors.runtime.actor import describe
from lrm_actors.runtime.clock import Cancel, Clock
from lrm_actors.runtime.control import STOPPED, GoOn, Handler
from lrm_actors.runtime.machine import Machine

logger = logging.getLogger(__name__)

START_TREE_S = 30.0
"""Seconds that a supervisor's children may take to start before its restart counts as failed."""
WARNING_S = 30.0
"""Seconds that the host gets, before everything is stopped, to save what it has."""
ESCALATED = "Escalated"
"""What stands for the error's class when a supervisor fails to its parent."""


class Branch(Protocol):
    """What the tree may do to its system."""

    clock: Clock

    def tell_anyway(self, name: str, command: Command) -> None:
        """Put a command into a mailbox that must take it."""

    def command(self, name: str, control: Any) -> None:
        """Put something on an actor's control lane."""

    def halt(self, name: str, timeout_s: float) -> bool:
        """Have an actor handle nothing more; whether it said so in time."""

    def phase(self, name: str) -> str:
        """What an actor is doing."""

    def restart_actor(self, name: str) -> float:
        """Restart an actor; the seconds it took."""

    def end_actor(self, name: str, reason: str, deadline_s: float) -> None:
        """Stop an actor for good."""


class SupervisionTree:
    """Knows the supervisors of one system.

    Args:
        system: whose they are.
        machine: gives the thread on which the host is warned.
        specs: all actors.
        root: name of the supervisor at the root; None: there is none, and the guardian restarts everybody.
        on_escalation: called with the reason before the root stops everything, on a thread of its own, and waited for
            at most ``WARNING_S`` seconds.

    Raises:
        ChildSpecError: a child is declared that is not among the actors, or twice, or the supervisors form no tree.
    """

    def __init__(
        self,
        system: Branch,
        machine: Machine,
        specs: Sequence[Spec[Any]],
        root: str | None,
        on_escalation: Callable[[str], object] | None,
    ) -> None:
        self._system = system
        self._machine = machine
        self._root = root
        self._on_escalation = on_escalation
        self._parents = parents_of(specs, root)
        self._supervisors = {spec.name: spec for spec in specs if isinstance(spec, s.SupervisorSpec)}
        self._came: dict[str, s.ChildSpec] = {}
        """Children that came while the system ran."""
        self._deadlines: dict[str, tuple[Cancel, bool]] = {}
        """Supervisors that are to say that they are up, or down: how to wait no longer, and whether it is up."""
        self.escalated = ""
        """Why the root failed; empty while it did not."""
        self.down = machine.flag()
        """Set once the root has stopped everything: it failed, or its significant children are done."""

    # --- who is where -------------------------------------------------------------------------------------------

    def responsible(self, name: str) -> str | None:
        """The supervisor of an actor; None: the guardian."""
        return None if name == self._root else self._parents.get(name, self._root)

    def adopt(self, supervisor: str, spec: Spec[Any], child: s.ChildSpec | None) -> None:
        """One more actor comes, as the child of a supervisor.

        Raises:
            ChildSpecError: it cannot be looked after so.
        """
        parent = self._supervisors.get(supervisor)
        wanted = child if child is not None else s.ChildSpec(_id(spec.name))
        if wanted.id != _id(spec.name):
            raise ChildSpecError(wanted.id, "id", wanted.id, repr(_id(spec.name)), supervisor=supervisor)
        if parent is not None:
            check_child(supervisor, wanted, parent.supervision or AS_BEFORE)
        self._parents[spec.name] = supervisor
        self._came[spec.name] = wanted
        if isinstance(spec, s.SupervisorSpec):
            self._supervisors[spec.name] = spec

    def deadline_s(self, name: str) -> float | None:
        """Seconds that an actor was given to end; None: nobody said."""
        if name in self._came:
            return self._came[name].deadline_s
        supervisor = self._supervisors.get(self.responsible(name) or "")
        declared = () if supervisor is None or supervisor.supervision is None else supervisor.supervision.children
        return next((one.deadline_s for one in declared if one.id == f"{ACTOR}:{name}"), None)

    def announce(self, spec: Spec[Any]) -> None:
        """Tell a supervisor, which has just started, that a new process runs its children."""
        if isinstance(spec, s.SupervisorSpec) and spec.supervision is not None:
            children = tuple(child.id for child in spec.supervision.children)
            self._system.tell_anyway(spec.name, s.StartSupervising(children, os.getpid()))

    def goes_down(self) -> None:
        """Tell the root, if nobody else does, that the process ends in order."""
        root = self._supervisors.get(self._root or "")
        if root is not None and root.supervision is not None:
            self._system.tell_anyway(root.name, s.StopSupervising(clean=True))

    def under(self, name: str) -> tuple[str, ...]:
        """An actor and everybody below it, last to first: the order in which they stop."""
        below = [one for one, parent in list(self._parents.items()) if parent == name]
        return (*(each for one in reversed(below) for each in self.under(one)), name)

    # --- effects ------------------------------------------------------------------------------------------------

    def handlers(self) -> Mapping[type[Effect], Handler]:
        """How the effects of supervisors on actors are carried out. None of the handlers raises."""
        return {
            s.RestartChild: self._restart,
            s.ResumeChild: self._resume,
            s.HoldChild: self._hold,
            s.StopChild: self._stop,
            s.NotifyParent: self._notify,
            s.WarnHost: self._warn,
        }

    def _restart(self, effect: s.RestartChild) -> Command | None:
        name = _actor(effect.child)
        if name is None:
            return s.RestartFailed(effect.child, "LookupError", "no handler for components was given")
        try:
            took_s = self._system.restart_actor(name)
        except AskError as error:
            return s.RestartFailed(effect.child, *describe(error))
        if name not in self._supervisors:
            return s.RestartDone(effect.child, took_s)
        # Its restart is done when its children run; it says so itself.
        late = s.RestartFailed(effect.child, "TimeoutError", f"its children did not start within {START_TREE_S:g} s")
        self._expect(name, START_TREE_S, late, starting=True)
        self._system.tell_anyway(name, s.StartAll())
        return None

    def _hold(self, effect: s.HoldChild) -> Command | None:
        name = _actor(effect.child)
        if name is None:  # what a component does is the host's; it is restarted with the others all the same
            return s.HoldDone(effect.child)
        if name in self._supervisors:
            self._expect(name, effect.deadline_s, s.HoldDone(effect.child, in_time=False))
            self._system.tell_anyway(name, s.HoldAll())
            return None
        return s.HoldDone(effect.child, in_time=self._system.halt(name, effect.deadline_s))

    def _resume(self, effect: s.ResumeChild) -> None:
        name = _actor(effect.child)
        if name is not None:
            self._system.command(name, GoOn())

    def _stop(self, effect: s.StopChild) -> None:
        name = _actor(effect.child)
        if name is None:
            return
        end_s = self._system.clock.monotonic() + effect.deadline_s
        for one in self.under(name):
            self._system.end_actor(one, effect.reason, max(0.0, end_s - self._system.clock.monotonic()))

    def _notify(self, effect: s.NotifyParent) -> None:
        parent, child = self.responsible(effect.supervisor), f"{ACTOR}:{effect.supervisor}"
        if parent is None:
            self._root_is_down(effect)
            return
        _, starting = self._deadlines.get(effect.supervisor, (None, False))
        match effect.what:
            case effects.FAILED if starting:  # before all its children ran: its restart failed
                report: Command = s.RestartFailed(child, ESCALATED, effect.reason)
            case effects.FAILED:
                report = s.ReportFailure(child, ESCALATED, effect.reason, "supervision")
            case effects.ENDED:
                report = s.ReportEnd(child)
            case effects.HELD:
                report = s.HoldDone(child)
            case _:
                report = s.RestartDone(child, 0.0)
        said = effect.what in {effects.HELD, effects.UP} or starting
        if said and (awaited := self._deadlines.pop(effect.supervisor, None)) is not None:
            awaited[0]()
        self._system.tell_anyway(parent, report)

    def _root_is_down(self, effect: s.NotifyParent) -> None:
        if effect.what == effects.FAILED:
            self.escalated = effect.reason
            logger.critical("%s failed, and nobody is above it: %s", effect.supervisor, effect.reason)
        if effect.what in {effects.FAILED, effects.ENDED}:
            self.down.set()

    def _warn(self, effect: s.WarnHost) -> Command:
        callback = self._on_escalation
        if callback is None:
            return s.HostWarned()
        done = self._machine.flag()

        def warn() -> None:
            try:
                callback(effect.reason)
            except BaseException:
                logger.exception("what the host does about an escalation failed")
            finally:
                done.set()

        try:
            self._machine.start(warn, "lrm-escalation")
        except RuntimeError:  # the machine has no thread to give, and everything stops all the same
            logger.exception("the host cannot be warned")
            return s.HostWarned()
        if not done.wait(WARNING_S):
            logger.error("the host did not end what it does about an escalation within %g s", WARNING_S)
        return s.HostWarned()

    def _expect(self, supervisor: str, within_s: float, otherwise: Command, *, starting: bool = False) -> None:
        """Tell the parent something else when a supervisor does not say in time that it is up, or down."""
        parent = self.responsible(supervisor)
        if parent is None:
            return

        def late() -> None:
            if self._deadlines.pop(supervisor, None) is not None and self._system.phase(parent) != STOPPED:
                self._system.tell_anyway(parent, otherwise)

        before = self._deadlines.pop(supervisor, None)
        if before is not None:
            before[0]()
        self._deadlines[supervisor] = (self._system.clock.call_later(within_s, late), starting)


# --- what is declared -------------------------------------------------------------------------------------------------


def parents_of(specs: Sequence[Spec[Any]], root: str | None) -> dict[str, str]:
    """The supervisor of each actor that was declared as a child.

    Raises:
        ChildSpecError: a child is declared that is not among the actors, or twice, or the supervisors form no tree.
    """
    names = {spec.name for spec in specs}
    found: dict[str, str] = {}
    for spec in specs:
        for child in _actors(spec):
            if child not in names:
                raise ChildSpecError(_id(child), "id", _id(child), "one of the system's actors", supervisor=spec.name)
            if child in found:
                also = f"a child of one supervisor, and {found[child]} has it"
                raise ChildSpecError(_id(child), "id", _id(child), also, supervisor=spec.name)
            if child == root:
                raise ChildSpecError(_id(child), "id", _id(child), "another actor than the root", supervisor=spec.name)
            found[child] = spec.name
    for child, parent in found.items():
        seen, above = {child}, parent
        while above in found:
            if above in seen:
                raise ChildSpecError(_id(child), "id", _id(child), "below the root", supervisor=parent)
            seen.add(above)
            above = found[above]
    return found


def start_order(specs: Sequence[Spec[Any]]) -> list[Spec[Any]]:
    """The actors in the order in which they start: each supervisor before its children, those as it declares them.

    Actors that nobody declared keep their places, after what was declared for those before them.
    """
    by_name = {spec.name: spec for spec in specs}
    declared = {child for spec in specs for child in _actors(spec)}
    ordered: list[Spec[Any]] = []

    def add(spec: Spec[Any]) -> None:
        ordered.append(spec)
        for child in _actors(spec):
            add(by_name[child])

    for spec in specs:
        if spec.name not in declared:
            add(spec)
    return ordered


def _actors(spec: Spec[Any]) -> tuple[str, ...]:
    """Names of the actors that a supervisor declares."""
    if not isinstance(spec, s.SupervisorSpec) or spec.supervision is None:
        return ()
    names = (_actor(child.id) for child in spec.supervision.children)
    return tuple(name for name in names if name is not None)


def _actor(child: str) -> str | None:
    kind, _, name = child.partition(":")
    return name if kind == ACTOR else None


def _id(name: str) -> str:
    return f"{ACTOR}:{name}"
