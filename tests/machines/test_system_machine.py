"""A state machine over the whole system: commands, time, failures, snapshots, crashes and reopening, in any order.

After each step the system comes to rest, and then the rules that must always hold are looked at in the log: the state
is the fold at every position, with and without snapshots; nothing is missing; what was wired was delivered once.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from lrm_actors.domain import journal, monitor, supervisor
from lrm_actors.errors import HandlerFailed
from lrm_actors.runtime import shell as shells
from lrm_actors.runtime.clock import ManualClock
from lrm_actors.runtime.committing import CURSOR_LAG
from lrm_actors.runtime.turn import Turn
from tests.machines.commands import addressed, metrics
from tests.machines.world import (
    NAMES,
    SERVICE,
    Fall,
    World,
    check_deliveries,
    check_folds,
    check_log,
    folded,
)

ACTORS = ("supervisor", "monitor", "analyzer", "checkpointer", "modes", "journal", SERVICE)


class SystemMachine(RuleBasedStateMachine):
    """One log through many lives."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="lrm-machine-"))
        self.lives = itertools.count(1)
        self.clock = ManualClock()
        self.seen: dict[str, dict[int, Any]] = {name: {} for name in NAMES}
        """Every state that an actor was seen in at rest, by version: it may never be another one later."""
        self.world = World(self.root / "life-0", self.clock)

    @initialize()
    def come_to_rest(self) -> None:
        self._settle()

    # --- what happens ---------------------------------------------------------------------------------------------

    @rule(to=addressed(*ACTORS))
    def ask(self, to: tuple[str, Any]) -> None:
        name, command = to
        if self._runs(name):
            self.world.try_to(name, command)
        self._settle()

    @rule(commands=st.lists(addressed(*ACTORS), min_size=2, max_size=8))
    def tell_many(self, commands: list[tuple[str, Any]]) -> None:
        self._tell(commands)
        self._settle()

    @rule(results=st.lists(st.booleans(), min_size=1, max_size=4))
    def the_agent_takes_steps(self, results: list[bool]) -> None:
        if not self._runs("journal"):
            return
        for done in results:
            if self.world.try_to("journal", journal.BeginStep("step")) and done:
                self.world.ask(
                    "journal", journal.CommitStep(self.world.system.state("journal").open.step, {"ok": done})
                )
        self._settle()

    @rule(delay_s=st.sampled_from((0.1, 1.0, 30.0, 400.0)), jump_s=st.sampled_from((0.0, -3600.0, 3600.0)))
    def time_goes_by(self, delay_s: float, jump_s: float) -> None:
        self.clock.jump_wall(jump_s)
        self.clock.advance(delay_s)
        self._settle()

    @rule(sample=metrics, restarts=st.booleans(), captures=st.booleans())
    def the_world_changes(self, sample: monitor.Metrics, restarts: bool, captures: bool) -> None:
        hands = self.world.hands
        hands.metrics, hands.restarts_work, hands.captures_work = sample, restarts, captures

    @rule(name=st.sampled_from(NAMES))
    def an_actor_fails(self, name: str) -> None:
        """The witness on a command; the others are restarted as they would be after one."""
        if name == "tally" and self._runs(name):
            with pytest.raises(HandlerFailed):
                self.world.ask(name, Fall())
        elif self._runs(name):
            self.world.system.restart_actor(name)
        self._settle()

    # --- the end of a life, and the next one ----------------------------------------------------------------------

    @rule(how=st.sampled_from(("crash", "stop", "reboot")), commands=st.lists(addressed(*ACTORS), max_size=8))
    def a_life_ends(self, how: str, commands: list[tuple[str, Any]]) -> None:
        self._tell(commands)
        directory = self.world.directory
        if how == "crash":
            directory = self._leave_files()
        elif how == "stop" and self._runs("supervisor"):
            self.world.ask("supervisor", supervisor.StopSupervising(clean=True))
        self.world.close()
        if how == "reboot":
            self._reboot()
        self._live_again(directory)

    def _leave_files(self) -> Path:
        """What a process killed between two transactions leaves, whatever else was under way."""
        left = self.root / f"life-{next(self.lives)}"
        with self.world.store._writer.transactions._lock:
            # Not by this process itself: a plain handle on the file would cost SQLite its locks when it is closed.
            subprocess.run(["cp", "-r", self.world.directory, left], check=True)
        return left

    def _reboot(self) -> None:
        """The monotonic clock begins anew, so that only the wall clock goes on."""
        wall_s = self.clock.now().wall_s + 60.0
        self.clock = ManualClock(wall_s=wall_s, monotonic_s=5.0, boot_id=f"boot-{next(self.lives)}")

    # --- what must hold -------------------------------------------------------------------------------------------

    @invariant()
    def the_state_is_the_fold(self) -> None:
        store, system = self.world.store, self.world.system
        check_folds(store, self.world.specs)
        for spec in self.world.specs:
            states = folded(store, spec)
            assert states[-1] == system.state(spec.name), f"{spec.name}: what it shows is not the fold of its events"
            for version, state in self.seen[spec.name].items():
                assert states[version] == state, f"{spec.name}: version {version} was another state once"

    @invariant()
    def the_log_is_whole(self) -> None:
        check_log(self.world.store)

    @invariant()
    def what_was_wired_was_delivered_once(self) -> None:
        check_deliveries(self.world.store, all_of_them=self._runs("tally"))

    def teardown(self) -> None:
        self.world.close()
        shutil.rmtree(self.root, ignore_errors=True)

    # --- helpers --------------------------------------------------------------------------------------------------

    def _runs(self, name: str) -> bool:
        return self.world.system.phase(name) == "running"

    def _tell(self, commands: list[tuple[str, Any]]) -> None:
        for name, command in commands:
            if self._runs(name):
                self.world.system.tell(name, command)

    def _live_again(self, directory: Path) -> None:
        hands = self.world.hands
        self.world = World(directory, self.clock, start=False)
        self.world.hands = hands
        self.world.begin()
        self._settle()

    def _settle(self) -> None:
        self.world.settle()
        for name in NAMES:
            published = self.world.system._shells[name].published
            self.seen[name][published.version] = published.state


def run(examples: int, steps: int) -> None:
    """Run the machine. Failing examples are not made smaller: which step fails first is enough for a planted bug."""
    run_state_machine_as_test(
        SystemMachine,
        settings=hypothesis.settings(
            max_examples=examples, stateful_step_count=steps, phases=[hypothesis.Phase.generate], print_blob=False
        ),
    )


def test_every_rule_holds_in_every_life(release: bool) -> None:
    """Whatever is asked, whatever fails, and however often the process crashes, the log tells the whole story."""
    run(examples=400 if release else 16, steps=60 if release else 30)


def test_planted_bug_a_snapshot_off_by_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot that says it is one event older than it is: recovery would fold that event twice."""
    taken = Turn._snapshot

    def off_by_one(turn: Turn) -> tuple[Any, ...]:
        return tuple(shot.__class__(shot.stream, shot.version - 1, shot.schema, shot.data) for shot in taken(turn))

    monkeypatch.setattr(Turn, "_snapshot", off_by_one)
    with pytest.raises((AssertionError, FlakyFailure), match="snapshot at version|recovered otherwise"):
        run(examples=15, steps=25)


def test_planted_bug_a_cursor_apart_from_the_events_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer that keeps its cursor in memory alone has everything delivered again in its next life."""
    append = shells.Shell._append

    def forgetful(shell: shells.Shell, turn: Turn, flush_cursor_after: int = CURSOR_LAG) -> None:
        cursor, turn.cursor = turn.cursor, None
        append(shell, turn, flush_cursor_after)
        if cursor is not None:
            shell._consumer.position = cursor

    monkeypatch.setattr(shells.Shell, "_append", forgetful)
    with pytest.raises((AssertionError, FlakyFailure), match="delivered|acted twice"):
        run(examples=15, steps=25)
