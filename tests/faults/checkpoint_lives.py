"""Lives of a process that takes checkpoints: the real actor, encoder and log, in a simulation that may kill it.

What the host's state was at each capture is remembered, and whatever is left of the log is judged by it: every
checkpoint that is kept restores to just that, and nothing else is left behind.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from eventstore.connections import Connect
from eventstore.errors import OutcomeUnknown
from eventstore.opening import open_store
from eventstore.protocol import EventReader, EventStore
from eventstore.records import Retention
from lrm_actors.actors.checkpointer import checkpoint_handlers, cut
from lrm_actors.domain import checkpointer
from lrm_actors.domain.behavior import Command, Spec
from lrm_actors.domain.checkpointer import CheckpointerConfig, CheckpointerState
from lrm_actors.domain.checkpointing.commands import PinCheckpoint, Prune
from lrm_actors.domain.checkpointing.events import CheckpointsRebased
from lrm_actors.errors import AskError, LrmError
from lrm_actors.hosting.reading import CheckpointReader
from lrm_actors.inspect.verify import verify_log
from lrm_actors.runtime.recovery import recover_state
from lrm_actors.testing import Simulation
from tests.faults.checkpoint_hosts import Host, shown

NAME = checkpointer.NAME
SPEC: Spec[Any] = attrs.evolve(checkpointer.spec(), snapshot_every=5)
CONFIGS = (
    CheckpointerConfig(interval_s=3600.0, max_checkpoints=1, max_emergency=1),
    CheckpointerConfig(interval_s=3600.0, max_checkpoints=2),
    CheckpointerConfig(interval_s=3600.0, max_checkpoints=5, max_emergency=2),
    CheckpointerConfig(interval_s=3600.0, max_checkpoints=50),
    CheckpointerConfig(interval_s=3600.0, max_checkpoints=3, max_age_s=7200.0),
    CheckpointerConfig(interval_s=600.0, max_checkpoints=3, keep_hourly_h=24, keep_daily_days=7),
)
"""Retention policies: newest few, many, by age, thinned."""


class Simulated(Simulation):
    """A simulation whose log is opened as the test wants it.

    Args:
        seed: of the simulation.
        path: of the log.
        connect: opens it.
        around: put around the log: a store with a bug in it.
    """

    def __init__(
        self, seed: int, path: Path, connect: Connect, around: Callable[[EventStore], Any] = lambda store: store
    ) -> None:
        super().__init__(seed, path=path)
        self._connect = connect
        self._around = around

    def _open(self) -> EventStore:
        assert self._path is not None
        log_id = uuid.UUID(int=random.Random(self.seed).getrandbits(128), version=4).hex
        store = open_store(self._path, clock=self.clock.now, log_id=log_id, connect=self._connect, reserve_bytes=0)
        around: EventStore = self._around(store)
        return around


def handlers(
    sim: Simulation, state: Callable[[], Any], captured: Callable[[str], object] = lambda _: None
) -> Mapping[Any, Callable[[Any], Command | None]]:
    """What a process carries the checkpointer's effects out with.

    Args:
        sim: has the log.
        state: the host's.
        captured: told of each checkpoint as soon as its state was captured.
    """

    def capture(effect: Any, previous: Any) -> Any:
        found = cut(state(), sim.store.head, previous)
        captured(effect.checkpoint_id)
        return found

    return checkpoint_handlers(sim.store, capture)


@attrs.define
class Lives:
    """One log, and the lives of the processes that own it one after the other.

    Args:
        sim: the simulation.
        chance: of the host's edits.
        note: is told the head of the log after each checkpoint that is acknowledged.
        spec: the checkpointer, as it is or with a bug in it.
    """

    sim: Simulated
    chance: random.Random
    note: Callable[[int], object] = lambda _: None
    spec: Spec[Any] = SPEC
    truth: dict[str, str] = attrs.Factory(dict)
    """What the state was at each capture, by the checkpoint's id."""
    changes: int = 0
    """Checkpoints that were stored as what changed, of those whose events are still in the log."""
    rebased: int = 0
    """Chains that were stored anew, the same."""
    host: Host = attrs.field(init=False)
    _last: str = ""

    def __attrs_post_init__(self) -> None:
        self.host = Host(self.chance)

    def begin(self) -> None:
        """A process starts: it knows nothing but the log."""
        self.sim.system([self.spec], handlers=handlers(self.sim, self._capture, self._captured), name="lives")

    def _capture(self) -> Any:
        self._last = shown(self.host.state)
        return self.host.state

    def _captured(self, checkpoint_id: str) -> None:
        """The host goes on at once."""
        self.truth[checkpoint_id] = self._last
        self.host.spoil()

    @property
    def state(self) -> CheckpointerState:
        """The actor's."""
        state: CheckpointerState = self.sim.systems[-1].state(NAME)
        return state

    # What happens in a life

    def take(self, kind: str) -> None:
        """A checkpoint is asked for; it may fail."""
        self._ask(checkpointer.TakeCheckpoint(kind, "told to"))
        self.sim.run(1.0)
        self.note(self.sim.store.head)

    def configure(self, number: int) -> None:
        """Another retention."""
        self._ask(checkpointer.Configure(CONFIGS[number % len(CONFIGS)]))

    def pin(self, number: int) -> None:
        """One of those that are kept is pinned, or is no more."""
        if kept := self.state.kept:
            info = kept[number % len(kept)]
            self._ask(PinCheckpoint(info.checkpoint_id, not info.pinned))

    def prune(self, number: int) -> None:
        """Somebody prunes by other rules."""
        self._ask(Prune(max_checkpoints=number, keep_hourly_h=0, keep_daily_days=0))
        self.sim.run(1.0)

    def clean_up(self, keep: int) -> None:
        """The disk is full, somebody says."""
        self._ask(checkpointer.CleanUp(keep))
        self.sim.run(1.0)

    def wait(self, seconds: float) -> None:
        """Time passes, with periodic checkpoints where there are any."""
        self.sim.run(seconds)

    def fail(self, kind: int) -> None:
        """The next append fails, in one of three ways; or the actor does."""
        if kind == 3:
            self.sim.crash(NAME)
        elif kind == 0:
            self.sim.fail_next_append()
        else:
            self.sim.fail_next_append(OutcomeUnknown("fsync failed"), stored=kind == 1)

    def forget_events(self) -> None:
        """The log's own retention."""
        self.sim.store.retain(Retention(max_events=8))

    def kill(self) -> None:
        """The process is killed, and another begins."""
        self.sim.kill(reboot=self.chance.random() < 0.3)
        self.begin()

    def look_back(self) -> None:
        """Count what the log has of it."""
        for record in self.sim.store.read(types=("checkpointer.taken", "checkpointer.rebased")):
            for event in record.events:
                self.changes += isinstance(event, checkpointer.CheckpointTaken) and bool(event.checkpoint.parent)
                self.rebased += isinstance(event, CheckpointsRebased)

    def _ask(self, command: Command) -> None:
        try:
            self.sim.ask(NAME, command)
        except (AskError, LrmError):
            self.sim.run(30.0)  # refused, or failed on purpose: the actor is back by then


def judge(reader: EventReader, truth: Mapping[str, str]) -> int:
    """See that a log is sound and that each checkpoint it keeps is what was captured; how many were restored.

    Raises:
        AssertionError: it is not.
    """
    state, _ = recover_state(reader, SPEC)
    verified = verify_log(reader)
    assert verified.ok, f"not consistent: {[str(one) for one in verified.problems][:3]}"
    checkpoints = CheckpointReader(reader, state)
    for info in state.kept:
        assert not info.damaged, f"{info.checkpoint_id} was marked damaged"
        found = shown(checkpoints.restore(info.checkpoint_id).state)
        assert found == truth[info.checkpoint_id], f"{info.checkpoint_id} is not what was captured"
    there, wanted = set(reader.attachment_keys()), set(wanted_keys(state))
    assert not there - wanted, f"nobody needs {sorted(there - wanted)}"
    assert not wanted - there, f"{sorted(wanted - there)} are missing"
    return len(state.kept)


def wanted_keys(state: CheckpointerState) -> Iterable[str]:
    """Everything that a log has to keep for its checkpoints: their chains, and the large parts of what can be restored.

    The newest one counts as well where it is not kept: what comes next builds on it.
    """
    rows = {info.checkpoint_id: info for info in (*state.support, *state.kept)}
    held: dict[str, frozenset[str]] = {"": frozenset()}
    for checkpoint_id in sorted(rows):  # parents are older
        info = rows[checkpoint_id]
        held[checkpoint_id] = held[info.parent] - {*info.gone} | {*info.added}
        yield checkpointer.attachment_key(checkpoint_id)
    for checkpoint_id in {*(info.checkpoint_id for info in state.kept), *({state.tip} & rows.keys())}:
        yield from map(checkpointer.blob_key, held[checkpoint_id])
