"""An agent of many recorded effects that was killed in the middle of a step, and the process that goes on with it.

``python -m benchmarks.effects_resumed DIRECTORY`` prints the seconds from its start to the first new effect's call.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from eventstore.opening import open_store, system_instant
from eventstore.records import Batch, Cursor, Durability, NewEvent, StreamWrite
from lrm_actors.domain import journal
from lrm_actors.domain.behavior import Command, Context
from lrm_actors.domain.journaling.commands import BeginStep, CommitStep, FinishEffect, IntendEffect, OpenJournal
from lrm_actors.mode import LongRunningMode
from lrm_actors.runtime.ids import Ids
from lrm_actors.runtime.recovery import snapshot_of
from lrm_actors.settings import LongRunningSettings
from lrm_actors.wiring import WIRES

IN_A_STEP = 100
IN_LAST = IN_A_STEP // 2
"""Effects on record of the step that was killed."""
RESULT = "0123456789"
STEP, EFFECT = "stretch", "send"


def settings(directory: Path) -> LongRunningSettings:
    """Of an agent with a log of its own, and otherwise as by default."""
    return LongRunningSettings(enable_long_running_mode=True, agent_id="benchmark", checkpoint_dir=directory)


class Filling:
    """Appends what the journal decides on many commands, with the snapshots that it would have kept; in few commits."""

    def __init__(self, path: Path) -> None:
        self.store = open_store(path)
        self._spec = journal.spec()
        self._epoch = self.store.acquire(self._spec.name).epoch
        self._version = self._stored = self.store.version(self._spec.name)
        self._state: Any = self._spec.initial
        for record in self.store.read_stream(self._spec.name):
            for event in record.events:
                self._state = self._spec.evolve(self._state, event)
        self._ids = Ids()
        self._events: list[NewEvent] = []

    def add(self, command: Command) -> Any:
        """Decide on one; the reply."""
        command_id = self._ids.next()
        context = Context(system_instant(), command_id, command_id, new_id=self._ids.next)
        decision, due = self._spec.decide(self._state, command, context), False
        for event in decision.events:
            self._state = self._spec.evolve(self._state, event)
            self._events.append(NewEvent(event, command_id=command_id, correlation_id=command_id))
            due = due or (self._spec.snapshot_when is not None and self._spec.snapshot_when(self._state, event))
        self._version += len(decision.events)
        if due:
            self.append(snapshot_of(self._spec, self._state, self._version))
        return decision.reply

    def append(self, snapshots: Any = ()) -> None:
        """Store what was decided."""
        write = StreamWrite(self._spec.name, tuple(self._events), self._stored, self._epoch)
        self.store.append(Batch((write,), snapshots=tuple(snapshots), durability=Durability.RELAXED))
        self._stored = self._version
        self._events = []

    def close(self) -> None:
        """Store the rest; everybody has heard of all of it."""
        self.append()
        heard = {wire.to for wire in WIRES} & {info.name for info in self.store.streams()}
        self.store.append(Batch(cursors=tuple(Cursor(name, self.store.head) for name in sorted(heard))))
        self.store.close()


def fill(directory: Path, recorded: int) -> None:
    """The log of such an agent: an ordinary one with so many effects in its journal, the last of them just done."""
    with LongRunningMode(settings(directory)) as mode, mode.step(STEP):
        pass
    log = Filling(settings(directory).log_path)
    log.add(OpenJournal())
    for _ in range(recorded // IN_A_STEP):
        _step(log, IN_A_STEP, ends=True)
    _step(log, IN_LAST, ends=False)
    log.close()


def _step(log: Filling, effects: int, *, ends: bool) -> None:
    step = log.add(BeginStep(STEP))["step"]
    for occurrence in range(1, effects + 1):
        log.add(IntendEffect(step, EFFECT, occurrence))
        log.add(FinishEffect(step, EFFECT, occurrence, 1, RESULT))
    if ends:
        log.add(CommitStep(step, None))


def main() -> None:
    """Go on with the agent, and print how long it took until it did something new."""
    mode = LongRunningMode(settings(Path(sys.argv[1]))).blocking
    began = time.perf_counter()
    called: list[float] = []

    def send() -> str:
        called.append(time.perf_counter() - began)
        return RESULT

    mode.start_monitoring()
    with mode.step(STEP):
        while not called:
            mode.effect(EFFECT, send)
    mode.stop_monitoring()
    print(called[0])


if __name__ == "__main__":
    main()
