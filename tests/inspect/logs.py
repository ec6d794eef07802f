"""Real logs for tests of looking at logs: appended event by event, with causes, as the runtime would have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eventstore.codec import encode_state
from eventstore.opening import open_store
from eventstore.records import Attachment, Batch, Instant, NewEvent, Snapshot, StreamWrite
from eventstore.store import SqliteStore
from lrm_actors.domain import analyzer, breaker, checkpointer, journal, modes, monitor, supervisor
from lrm_actors.domain.analyzer import FailureFacts
from lrm_actors.domain.checkpointer import CheckpointInfo, attachment_key
from lrm_actors.domain.deadlines import Deadline
from lrm_actors.domain.metrics import Metrics
from lrm_actors.inspect.folds import Folds
from lrm_actors.inspect.replay import state_at
from tests.actors.checkpoints.alone import encode_checkpoint

BOOT = "test-boot"
WALL_S = 1_700_000_000.0
CHECKPOINT = "checkpoint_1700000010000_0123abcd"
STATE = {"pages": 3, "seen": ["a", "b"]}


class LogWriter:
    """Appends events one by one; the clock goes a second further with each."""

    def __init__(self, path: Path) -> None:
        self._ticks = 0.0
        self.store: SqliteStore = open_store(path, clock=self._now)

    def _now(self) -> Instant:
        self._ticks += 1.0
        return Instant(WALL_S + self._ticks, 1_000.0 + self._ticks, BOOT)

    def add(self, stream: str, event: object, *, cause: int | None = None, **parts: Any) -> int:
        """Append one event; its position."""
        write = StreamWrite(stream, (NewEvent(event, cause=cause, correlation_id="c1"),))
        return self.store.append(Batch(writes=(write,), **parts)).last_position

    def snapshot(self, stream: str, state: Any = None) -> None:
        """Keep a snapshot of a stream as it is now, or of another state in its place."""
        spec = Folds().spec(stream)
        assert spec is not None
        replayed = state_at(self.store, stream, snapshots=False)
        data = encode_state(replayed.state if state is None else state)
        self.store.append(Batch(snapshots=(Snapshot(stream, replayed.version, spec.state_schema, data),)))

    def checkpoint(self, checkpoint_id: str = CHECKPOINT, state: Any = None, *, kind: str = "periodic") -> int:
        """Append a checkpoint with its bytes."""
        encoded = encode_checkpoint(STATE if state is None else state, checkpoint_id=checkpoint_id, hints=("calm",))
        info = CheckpointInfo(
            checkpoint_id, kind, WALL_S + 10, self.store.head, encoded.size_bytes, encoded.digest, "interval"
        )
        taken = checkpointer.CheckpointTaken(info, ("calm",))
        bytes_kept = (Attachment(attachment_key(checkpoint_id), encoded.data),)
        return self.add("checkpointer", taken, attachments=bytes_kept)


def lived(path: Path) -> dict[str, int]:
    """A log of an agent whose process and browser were killed and whose site timed out; positions by name."""
    log = LogWriter(path)
    at: dict[str, int] = {}
    at["first_start"] = log.add(
        "supervisor", supervisor.ProcessStarted(1, 41, restarted=False, children=("actor:monitor", "component:browser"))
    )
    log.add("journal", journal.JournalOpened(1))
    log.add("journal", journal.StepBegun(1, "look", 1))
    at["commit"] = log.add("journal", journal.StepCommitted(1, "look", {"pages": 3}))
    at["exit"] = log.add("supervisor", supervisor.ProcessExitObserved(-9, "exit by signal 9 (SIGKILL)"))
    at["second_start"] = log.add(
        "supervisor",
        supervisor.ProcessStarted(2, 42, restarted=True, children=("actor:monitor", "component:browser")),
        cause=at["exit"],
    )
    at["sample"] = log.add(
        "monitor",
        monitor.Sampled(Metrics(cpu_percent=41.0, memory_percent=83.2, thread_count=7), 1_007.0, {"memory": "warning"}),
    )
    at["health"] = log.add(
        "monitor", monitor.HealthChanged("healthy", "warning", "memory 83.2 % >= 80.0 %"), cause=at["sample"]
    )
    considered = log.add("modes", modes.HealthConsidered("warning", "memory 83.2 % >= 80.0 %"), cause=at["health"])
    at["mode"] = log.add("modes", modes.ModeChanged("normal", "degraded", "health warning"), cause=considered)
    at["browser_exit"] = log.add("monitor", monitor.ComponentExited("browser", -9, "exit by signal 9"))
    facts = FailureFacts("browser", message="exit by signal 9", exit_status=-9, observation="component_exited")
    recorded = analyzer.FailureRecorded("browser", "component_exit", "f1", "exit by signal 9", facts, 1_011.0, BOOT)
    at["failure"] = log.add("analyzer", recorded, cause=at["browser_exit"])
    chosen = analyzer.RecoveryChosen("browser", "component_exit", "restart_component", "its process is gone")
    chosen_at = log.add("analyzer", chosen, cause=at["failure"])
    failed = supervisor.ChildFailed("component:browser", "component_exit", "", "", 1_012.0, BOOT)
    failed_at = log.add("supervisor", failed, cause=chosen_at)
    due = Deadline(0.1, 1_012.1, WALL_S, BOOT)
    scheduled = log.add("supervisor", supervisor.RestartScheduled("component:browser", 1, 0.1, due), cause=failed_at)
    at["restart_started"] = log.add("supervisor", supervisor.RestartStarted("component:browser", 1), cause=scheduled)
    at["restart"] = log.add(
        "supervisor", supervisor.ChildRestarted("component:browser", 1, 0.08, 1_013.0), cause=at["restart_started"]
    )
    observed = breaker.FailuresObserved("site", ("timeout: 1", "timeout: 2", "timeout: 3"))
    at["timeouts"] = log.add("breaker/site", observed)
    until = Deadline(60.0, 1_075.0, WALL_S + 75, BOOT)
    at["breaker"] = log.add(
        "breaker/site", breaker.Opened("site", 1, "3 timeouts in a row", until), cause=at["timeouts"]
    )
    at["checkpoint"] = log.checkpoint()
    log.snapshot("supervisor")
    at["last"] = log.add("journal", journal.StepBegun(2, "think", 1))
    log.store.close()
    return at
