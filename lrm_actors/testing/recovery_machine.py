"""A hypothesis state machine that lives through everything with actors of yours, and compares after each step."""

from __future__ import annotations

from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from eventstore.records import Retention
from lrm_actors.domain.behavior import Command
from lrm_actors.testing.lives import Lives
from lrm_actors.testing.recovery_case import TestCaseOf

_ADDRESSED: Any = st.runner().flatmap(lambda machine: machine.addressed)
_ACTOR: Any = st.runner().flatmap(lambda machine: st.sampled_from(machine.names))
_POINT = st.integers(0, 40)
_SCHEDULE = st.lists(st.integers(0, 3), max_size=6)


class RecoveryStateMachine(Lives):
    """Inherit from it, say how your actors are made and what must survive, and run its ``TestCase``.

    Its rules ask and tell your actors, repeat commands, keep snapshots, restart actors, let the process crash at any
    file operation, cut the power, let the disk fail or fill up, set and stop the clocks, reboot, and remove old events.
    After each it compares: every acknowledged command is there; the state is the fold of the events at every version;
    what ``observe`` sees is what the events say; no command and no wired event was decided on twice; what was
    decided and is not known to be done is taken up; every ask ended.

    Rules, invariants and preconditions of your own may be added as to any state machine of hypothesis.

    Raises:
        CheckFailed: in the report of the failing example.
    """

    TestCase = TestCaseOf()  # type: ignore[assignment]
    """What pytest and unittest run: assign it to a name of the test module."""

    @rule(to=_ADDRESSED, twice=st.booleans())
    def ask(self, to: tuple[str, Command], twice: bool) -> None:
        """Ask an actor for something, and wait for the reply; ask twice with one id, as where an answer got lost."""
        asked = self._ask(*to)
        self._look()
        if twice and not asked.refused:
            self._retry(asked)

    @rule(to=st.lists(_ADDRESSED, min_size=2, max_size=5), schedule=_SCHEDULE)
    def tell_several(self, to: list[tuple[str, Command]], schedule: list[int]) -> None:
        """Tell actors several things at once; who goes on when is by the schedule."""
        self.life.schedule = list(schedule)
        self._tell(to)
        self._look()

    @precondition(lambda self: self._repeatable())
    @rule(which=st.integers(0, 9))
    def ask_again(self, which: int) -> None:
        """Ask with the id of an earlier command, as who got no answer does: it is not carried out again."""
        asked = self._repeatable()
        self._retry(asked[-1 - which % len(asked)])

    @rule(name=_ACTOR)
    def keep_snapshot(self, name: str) -> None:
        """Keep a snapshot of an actor now."""
        self.life.system.take_snapshots([name])
        self._look()

    @rule(name=_ACTOR)
    def restart_actor(self, name: str) -> None:
        """Restart an actor in place, as its supervisor does after a failure."""
        timers = {name: self.life.timers(name)}
        begun = len(self.life.notes.begun)
        self.life.notes.recovered.clear()  # of those before: what they took up may have been done since
        owed = {one: made for one, made in self._owed().items() if one == name}
        self.life.system.restart_actor(name)
        self._check_recovered(timers)
        self._check_begun(begun)
        self.life.rest()
        self._check_taken_up(owed, begun)
        self._look()

    @rule(to=st.lists(_ADDRESSED, max_size=3), asking=st.booleans(), point=_POINT)
    def crash(self, to: list[tuple[str, Command]], asking: bool, point: int) -> None:
        """The process is killed while it does this, so many file operations before the last; the next one goes on."""
        self._end("crash", to, asking=asking, point=point, choice=0)

    @precondition(lambda self: self._vfs is not None)
    @rule(
        to=st.lists(_ADDRESSED, max_size=3),
        asking=st.booleans(),
        point=_POINT,
        choice=st.integers(0, 5),
    )
    def cut_power(self, to: list[tuple[str, Command]], asking: bool, point: int, choice: int) -> None:
        """The power is cut while it does this; of what was not synchronised the disk keeps this choice."""
        self._end("power cut", to, asking=asking, point=point, choice=choice)

    @precondition(lambda self: self._vfs is not None)
    @rule(
        to=_ADDRESSED,
        kind=st.sampled_from((None, "write", "sync")),
        nth=st.sampled_from((1, 1, 2, 3)),
        sticky=st.booleans(),
        error=st.sampled_from(("io", "full")),
        carried_out=st.sampled_from(("none", "half", "whole")),
    )
    def disk_fails(
        self,
        *,
        to: tuple[str, Command],
        kind: Literal["write", "sync"] | None,
        nth: int,
        sticky: bool,
        error: Literal["io", "full"],
        carried_out: Literal["none", "half", "whole"],
    ) -> None:
        """A file operation fails while an actor is asked; the disk is mended, and the actor asked again."""
        assert self._vfs is not None
        fault = self._vfs.fail(kind, nth, sticky=sticky, error=error, carried_out=carried_out)
        try:
            asked = self._ask(*to, fault=lambda: fault.fired > 0)
        finally:
            self._vfs.clear()
        self.life.rest()
        self._absorb()
        self._ask(*to, again=asked)
        self._look()

    @rule(seconds=st.sampled_from((0.1, 1.0, 30.0, 600.0)))
    def time_passes(self, seconds: float) -> None:
        """Everything that is due happens at its moment."""
        self.life.pass_time(seconds)
        self._look()

    @rule(seconds=st.sampled_from((-3600.0, -1.0, 1.0, 3600.0)))
    def clock_is_set(self, seconds: float) -> None:
        """The wall clock alone jumps, as a time server has it."""
        self.clock.wall_ahead_s += seconds
        self._asked.clear()
        self.life.rest()
        self._look()

    @rule(seconds=st.sampled_from((5.0, 600.0)))
    def process_is_stopped(self, seconds: float) -> None:
        """The process is stopped for so long, and goes on: everything that was due meanwhile is due at once."""
        self.clock.move_to(self.clock.monotonic() + seconds)
        self.life.rest()
        self._look()

    @rule(reboot=st.booleans())
    def stop_and_start(self, reboot: bool) -> None:
        """The process ends in order and the next one begins, perhaps after the machine has."""
        timers = self._timers()
        self.life.stop()
        self.clock.begin_again(f"boot-{next(self._boots)}" if reboot else None)
        directory, finished = self.life.directory, self._finished
        self._live(directory, finished=finished, timers=timers)
        self._look()

    @rule(keep=st.integers(0, 6))
    def remove_old_events(self, keep: int) -> None:
        """Retention by number: what recovery needs stays whatever is asked for."""
        self.life.store.retain(Retention(max_events=keep))
        self._look()
