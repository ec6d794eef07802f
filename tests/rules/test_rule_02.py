"""Rule 2: the state is the fold of the events, at every position, with or without snapshots, for every actor."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.codec import decode_state
from eventstore.opening import open_reader
from eventstore.records import Appended, Batch, Snapshot
from eventstore.store import SqliteStore
from lrm_actors.inspect.replay import state_at
from lrm_actors.runtime.committing import Published
from lrm_actors.runtime.recovery import recover_state
from lrm_actors.runtime.shell import Shell
from lrm_actors.runtime.turn import Turn
from tests.machines.commands import COMMANDS, addressed
from tests.machines.story import tell_story
from tests.machines.world import NAMES, World, folded, specs

Story = Callable[[World], None]
SNAPSHOTS = (0, 1, 3)
"""After how many events one is taken; 0: never."""


@attrs.define
class Seen:
    """Every state that was published, and every snapshot that was stored."""

    states: list[tuple[str, int, Any]] = attrs.Factory(list)
    snapshots: list[Snapshot] = attrs.Factory(list)


@contextmanager
def watching(plant: type[Shell]) -> Iterator[Seen]:
    """See everything that becomes a state."""
    seen = Seen()

    class Watched(plant):  # type: ignore[misc,valid-type]  # the planted bug is chosen at run time
        def __setattr__(self, name: str, value: Any) -> None:
            if name == "published":
                seen.states.append((self.spec.name, value.version, value.state))
            super().__setattr__(name, value)

    append = SqliteStore.append

    def watched(store: SqliteStore, batch: Batch) -> Appended:
        appended = append(store, batch)
        seen.snapshots.extend(batch.snapshots)
        return appended

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lrm_actors.runtime.roster.Shell", Watched)
        patch.setattr(SqliteStore, "append", watched)
        yield seen


def differences(story: Story, snapshot_every: int, plant: type[Shell] = Shell) -> list[str]:
    """Live through a story, and name every state that is not the fold of the events before it."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        with watching(plant) as seen:
            world = World(Path(name), snapshot_every=snapshot_every)
            try:
                story(world)
                world.settle()
            finally:
                world.close()
        with open_reader(Path(name) / "lrm.db") as reader:
            states = {spec.name: folded(reader, spec) for spec in specs()}
            for spec in specs(snapshot_every):
                if recover_state(reader, spec) != (states[spec.name][-1], len(states[spec.name]) - 1):
                    found.append(f"{spec.name}: recovered")
                for snapshots in (True, False):
                    found += [f"{spec.name}: {what}" for what in _replayed(reader, spec.name, states, snapshots)]
    for actor, version, state in seen.states:
        if states[actor][version] != state:
            found.append(f"{actor}: published at version {version}")
    for shot in seen.snapshots:
        initial = next(spec.initial for spec in specs() if spec.name == shot.stream)
        if states[shot.stream][shot.version] != decode_state(shot.data, type(initial)):
            found.append(f"{shot.stream}: snapshot at version {shot.version}")
    assert seen.states
    assert snapshot_every or not seen.snapshots
    return found


def _replayed(reader: Any, name: str, states: dict[str, list[Any]], snapshots: bool) -> Iterator[str]:
    """What replay says of each position of the log, against the fold up to there."""
    if name == "tally":  # replay knows only our own
        return
    for record in reader.read_stream(name):
        replayed = state_at(reader, name, record.position, snapshots=snapshots)
        if (replayed.state, replayed.version) != (states[name][record.version], record.version):
            yield f"replayed to position {record.position}"


@pytest.mark.parametrize("snapshot_every", SNAPSHOTS)
def test_rule_02_holds_through_a_whole_story(snapshot_every: int) -> None:
    """Published, recovered, kept as a snapshot or replayed to a position: always the same state, for each actor."""
    assert [] == differences(tell_story, snapshot_every)


@given(commands=st.lists(addressed(*COMMANDS), min_size=5, max_size=20), snapshot_every=st.sampled_from((1, 3)))
def test_rule_02_holds_whatever_is_asked(commands: list[tuple[str, Any]], snapshot_every: int) -> None:
    """Commands in any order, sensible or not."""

    def story(world: World) -> None:
        for name, command in commands:
            if world.system.phase(name) == "running":
                world.try_to(name, command)

    assert [] == differences(story, snapshot_every)


def test_the_story_moves_every_actor() -> None:
    """A story that left an actor alone would prove nothing of it."""
    with tempfile.TemporaryDirectory() as name:
        world = World(Path(name))
        tell_story(world)
        versions = {name: world.store.version(name) for name in NAMES}
        snapshots = {name: world.store.snapshot(name) for name in NAMES}
        world.close()
    assert min(versions.values()) > 5, versions
    assert None not in snapshots.values()


class ForgetsTheLast(Shell):
    """Planted: what is published lacks the last event of its turn."""

    def _adopt(self, turn: Turn) -> None:
        super()._adopt(turn)
        if turn.events:
            state = recover_state(self._services.store, self.spec)[0]
            for new in turn.events[-1:]:
                state = self.spec.evolve(state, new.event)  # folded twice
            self.published = Published(state, turn.version)


def test_rule_02_planted_a_state_that_is_no_fold_is_caught() -> None:
    """An event that counts twice in memory shows in what is published."""
    assert any("published" in one for one in differences(tell_story, 3, ForgetsTheLast))


def test_rule_02_planted_a_snapshot_off_by_one_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot of one event more than it says shows in itself, in recovery and in replay."""
    taken = Turn._snapshot

    def off_by_one(turn: Turn) -> tuple[Snapshot, ...]:
        return tuple(attrs.evolve(shot, version=shot.version - 1) for shot in taken(turn))

    monkeypatch.setattr(Turn, "_snapshot", off_by_one)
    found = differences(tell_story, 3)
    assert {"snapshot", "recovered", "replayed"} <= {one.split(": ")[1].split()[0] for one in found}
