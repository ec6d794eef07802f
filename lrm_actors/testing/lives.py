"""The lives of a simulated process, one after the other, and what must hold in each and from one to the next.

Their log is a real file below which disks fail and power is cut; the actors run without threads, so that the same steps
are the same again. What happens in a life is for the rules of ``RecoveryStateMachine``.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException
from hypothesis.stateful import RuleBasedStateMachine

from eventstore.errors import OpenError, TailMissing
from eventstore.mark import mark_path
from eventstore.protocol import EventStore
from lrm_actors.domain.behavior import Command, Effect
from lrm_actors.errors import AskError, CommandRefused, HandlerFailed
from lrm_actors.runtime.system import ActorSystem
from lrm_actors.testing.checks import CheckFailed
from lrm_actors.testing.folds import check_actor
from lrm_actors.testing.leaving import End, leave
from lrm_actors.testing.life import LOG, Life, place_empty_log, shared_vfs, started_timers
from lrm_actors.testing.owed import Account, Owed, forgotten
from lrm_actors.testing.recorded import Recorded
from lrm_actors.testing.report import log_table
from lrm_actors.testing.simulation.clock import VirtualClock
from lrm_actors.testing.strategies import commands, commands_of

MEMORY = Path("/dev/shm")  # noqa: S108 - a directory in memory, where there is one; names in it are made by tempfile
REMEMBERED_S = 3600.0
"""Seconds after which a command is no longer asked again: its reply need not be kept for ever."""

_RUNTIME = logging.getLogger("lrm_actors.runtime")


@attrs.define
class _Asked:
    """A command that was asked, for asking it again."""

    command_id: str
    to: str
    command: Command
    at_s: float
    effects: int = 0
    """Effects that were carried out while it was answered."""
    refused: bool = False


class Lives(RuleBasedStateMachine):
    """Begins and ends lives, asks and tells the actors in them, and compares. See ``RecoveryStateMachine``."""

    may_fail: ClassVar[bool] = False
    """Whether ``decide`` and the handlers of effects may raise; else only ``CommandRefused`` of ``decide`` may be."""
    timers_survive: ClassVar[bool] = True
    """Whether each pending timer must be started again by a recovery."""
    repeatable: ClassVar[tuple[type[Effect], ...]] = ()
    """Effects that a recovery may carry out again though they are known to be done."""
    expendable: ClassVar[tuple[type[Effect], ...]] = ()
    """Effects that a recovery need not take up where they are not known to be done; ``(Effect,)`` is all of them."""
    store_options: ClassVar[Mapping[str, Any]] = {}
    """For ``open_store``, as ``key``."""

    # --- yours ----------------------------------------------------------------------------------------------------

    def make(self, store: EventStore, clock: VirtualClock) -> ActorSystem:
        """Give a system over this log and this clock; it is started here. Called once for each life of the process.

        Give handlers for the effects too: ones that stand for the world and keep what happened in ``self``.
        """
        raise NotImplementedError

    def observe(self, system: Any) -> Any:
        """What must survive: anything that can be compared. The state of every actor, unless you say otherwise.

        Args:
            system: the running one, or the model; of both only ``system.state(name)`` may be used.
        """
        return {name: system.state(name) for name in self.names}

    def commands(self) -> st.SearchStrategy[tuple[str, Command]]:
        """Strategy for an actor's name and a command for it. By default, what each ``decide`` can be seen to take."""
        each = [(spec.name, commands_of(spec)) for spec in self.life.specs]
        known = [st.tuples(st.just(name), commands(*classes)) for name, classes in each if classes]
        if not known:
            raise TypeError(f"{type(self).__name__}: no command can be found; override commands()")
        return st.one_of(known)

    # --- one machine ------------------------------------------------------------------------------------------------

    def __init__(self) -> None:
        super().__init__()
        self._vfs = shared_vfs()
        place = MEMORY if os.access(MEMORY, os.W_OK) else None
        self._root = Path(tempfile.mkdtemp(prefix="lrm-recovery-", dir=place))
        self._lives = itertools.count(1)
        self._ids = itertools.count(1)
        self._boots = itertools.count(2)
        self._asked: list[_Asked] = []
        self._marks_kept: list[bytes] = []
        self._finished: list[Effect] = []
        self._account = Account()
        self._loudness = _RUNTIME.level
        _RUNTIME.setLevel(logging.CRITICAL)  # it has much to say of failures, which are all on purpose
        self.clock = VirtualClock()
        try:
            if "key" not in self.store_options:
                place_empty_log(self._root / "life-0")
            self._live(self._root / "life-0", starting=True)
        except BaseException:
            self._clean_up()
            raise

    @property
    def names(self) -> tuple[str, ...]:
        """The actors."""
        return tuple(spec.name for spec in self.life.specs)

    @property
    def addressed(self) -> st.SearchStrategy[tuple[str, Command]]:
        """What ``commands`` gave."""
        made = _strategies.get(type(self))
        if made is None:
            made = _strategies[type(self)] = self.commands()
        return made

    # --- what must hold -------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Look at all of it once more; with a failure, tell what is in the log."""
        error = sys.exc_info()[1]
        try:
            if error is None:
                self._look_through()
            elif isinstance(error, Exception) and not isinstance(error, HypothesisException):
                error.add_note(log_table(self.model.records))
        finally:
            try:
                self.life.kill()
            finally:
                self._clean_up()

    def _clean_up(self) -> None:
        _RUNTIME.setLevel(self._loudness)
        shutil.rmtree(self._root, ignore_errors=True)

    def _look(self) -> None:
        """Compare everything that can be compared quickly."""
        self._absorb()
        for name in self.life.names:
            published = self.life.published(name)
            self.model.check_actor(name, published.state, published.version, self.life.store)
        observed, expected = self.observe(self.life.system), self.observe(self.model)
        if observed != expected:
            raise CheckFailed("observed-differs", "", f"it is {observed!r}, and the events say {expected!r}")
        self._finished = list(self.life.notes.finished)

    def _look_through(self) -> None:
        """Compare everything with what the next process would find."""
        self.model.compare(self.life.store, len(self.model.records))
        for spec in self.life.specs:
            check_actor(self.life.store, spec)
        found = self.life.store.verify()
        if not found.ok:
            raise CheckFailed("log-damaged", "", "; ".join(map(str, found.problems)))

    def _absorb(self) -> None:
        self.model.absorb(self.life.store)
        if self._vfs is not None:
            self._marks_kept.append(_bytes_of(mark_path(self.life.directory / LOG)))
            self.life.mark("seen", len(self.model.records))
            self.life.mark("rest", len(self._marks_kept))
        failures = self.life.notes.failures
        if failures and not self.may_fail:
            name, handling, error = failures[0]
            raise CheckFailed("actor-failed", name, f"on {handling}: {error!r}") from error

    # --- asking ---------------------------------------------------------------------------------------------------

    def _ask(
        self, to: str, command: Command, *, again: _Asked | None = None, fault: Callable[[], bool] | None = None
    ) -> _Asked:
        """Ask, with an id. Every outcome but a reply and a refusal has to have its reason."""
        asked = again or _Asked(f"command-{next(self._ids)}", to, command, self.clock.now().wall_s)
        begun = len(self.life.notes.begun)
        try:
            self.life.ask(to, command, asked.command_id)
        except CommandRefused:
            asked.refused = True
        except HandlerFailed as error:
            if not self.may_fail:
                raise CheckFailed("actor-failed", to, f"on {command!r}: {error}") from error
        except AskError as error:
            if fault is None or not fault():
                raise CheckFailed("never-answered", to, f"{command!r}: {error}") from error
        if fault is None:
            self.life.rest()
        if again is None:
            asked.effects = len(self.life.notes.begun) - begun
            self._asked.append(asked)
        return asked

    def _retry(self, one: _Asked) -> None:
        """Ask again with the same id: what was carried out is not carried out again."""
        head, begun, known = self.life.store.head, len(self.life.notes.begun), self.model.has(one.command_id)
        self._ask(one.to, one.command, again=one)
        if known and self.life.store.head > head:
            raise CheckFailed("applied-twice", one.to, f"{one.command!r}, asked again, led to more events")
        if not known and one.effects and len(self.life.notes.begun) > begun:
            done = self.life.notes.begun[begun:]
            raise CheckFailed("retry-repeats", one.to, f"{one.command!r}, asked again, has {done!r} carried out again")
        self._look()

    def _tell(self, to: list[tuple[str, Command]]) -> None:
        for name, command in to:
            self.life.tell(name, command, f"command-{next(self._ids)}")
        self.life.rest()

    def _repeatable(self) -> list[_Asked]:
        now_s = self.clock.now().wall_s
        return [one for one in self._asked if 0 <= now_s - one.at_s < REMEMBERED_S and not one.refused]

    # --- one life after the other ---------------------------------------------------------------------------------

    def _end(self, end: End, to: list[tuple[str, Command]], *, asking: bool, point: int, choice: int) -> None:
        timers, finished = self._timers(), self._finished
        capture = self.life.capture
        since = len(capture.entries) if capture is not None else 0
        if asking:
            for name, command in to:
                self._ask(name, command)
        else:
            self._tell(to)
        self._absorb()
        if to:
            timers = self._timers() if point == 0 else {}
        directory = self._root / f"life-{next(self._lives)}"
        if capture is None:  # no file system of ours below: all that can be done is to end between two operations
            self.life.kill()
            self._live(self.life.directory, finished=finished, timers=timers)
            self._look()
            return
        left = leave(capture, directory, end, since=since, point=point, choice=choice)
        answered = self.life.answered[: left.marks.get("answered", 0)]
        at_least = max([left.marks.get("seen", 0), *map(self.model.last_of, answered)])
        resting = left.marks.get("rest", 0)
        if resting and self._marks_kept[resting - 1]:
            mark_path(directory / LOG).write_bytes(self._marks_kept[resting - 1])
        old = self.life.directory
        self.life.kill()
        shutil.rmtree(old, ignore_errors=True)
        self.clock.begin_again(f"boot-{next(self._boots)}" if end == "power cut" else None)
        self._live(directory, at_least=at_least, finished=finished, timers=timers)
        self._look()

    def _live(
        self,
        directory: Path,
        *,
        starting: bool = False,
        at_least: int | None = None,
        finished: list[Effect] | None = None,
        timers: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        """Open the log that the last life left, compare, and start the actors."""
        number = next(self._lives)
        try:
            self.life = Life(
                directory,
                self.make,
                self.clock,
                vfs=self._vfs,
                number=number,
                account=self._account,
                options=self.store_options,
            )
        except TailMissing as error:
            raise CheckFailed("acknowledged-lost", "", str(error)) from error
        except OpenError as error:
            raise CheckFailed("log-damaged", "", str(error)) from error
        if starting:
            self.model = Recorded(self.life.specs)
        else:
            count = len(self.model.records)
            there = self.model.compare(self.life.store, count if at_least is None else at_least)
            self.model.go_back(there)
            self.model.use(self.life.specs)
            if there < count:
                timers = {}
            for one in self._asked:
                if not self.model.has(one.command_id):
                    one.effects = 0  # it may be lost, and then it has to be carried out when it is asked again
        self._marks_kept = []
        self.life.notes.finished.extend(finished or ())
        owed = self._owed()
        self.life.begin()
        self._check_recovered(timers or {})
        self._check_begun(0)
        self._check_taken_up(owed, 0)
        if starting:
            self._look()

    def _timers(self) -> dict[str, frozenset[str]]:
        return {name: self.life.timers(name) for name in self.life.names}

    def _owed(self) -> Owed:
        """What the log says was decided, and nothing of what became of it."""
        found = {name: self._account.owed(name, self.model.records) for name in self.names}
        return {name: made for name, made in found.items() if made is not None}

    def _check_recovered(self, timers: Mapping[str, frozenset[str]]) -> None:
        """A recovery starts the timers that were pending, and carries out nothing again that is known to be done."""
        for name, pending in timers.items():
            forgotten = pending - started_timers(self.life.notes.recovered.get(name))
            if forgotten and self.timers_survive:
                found = f"{', '.join(sorted(forgotten))} was pending and is not after a restart"
                raise CheckFailed("timer-forgotten", name, found)
        for name, decision in self.life.notes.recovered.items():
            for effect in decision.effects:
                if effect in self._finished and not isinstance(effect, self.repeatable):
                    raise CheckFailed("effect-repeated", name, f"{effect!r} is carried out again by a recovery")

    def _check_begun(self, since: int) -> None:
        """The runtime begins nothing again that is known to be done, whatever ``recover`` decided."""
        for effect in self.life.notes.begun[since:]:
            if effect in self._finished and not isinstance(effect, self.repeatable):
                raise CheckFailed("effect-repeated", "", f"{effect!r} is carried out again by reading the log")

    def _check_taken_up(self, owed: Owed, since: int) -> None:
        """What is owed was carried out after the recovery, unless that said what it makes of it."""
        begun = self.life.notes.begun[since:]
        for name, made in owed.items():
            missing = forgotten(made, self.life.notes.recovered.get(name), begun, self._account.kept)
            for effect in missing:
                if effect not in self._finished and not isinstance(effect, self.expendable):
                    found = f"{effect!r} was decided, is not known to be done, and is not carried out after a restart"
                    raise CheckFailed("effect-forgotten", name, found)


_strategies: dict[type, st.SearchStrategy[tuple[str, Command]]] = {}
"""What each machine's ``commands`` gave: to make a strategy anew for each step takes longer than the step."""


def _bytes_of(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
