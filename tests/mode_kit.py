"""What the tests of a whole mode share: settings that are quick and calm, and waiting for what the log will say."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eventstore.records import Record
from lrm_actors.domain.metrics import METRICS, Metrics
from lrm_actors.hosting.offload import off_loop
from lrm_actors.hosting.published import until_published
from lrm_actors.settings import LongRunningSettings
from lrm_actors.words import Words

DEADLINE_S = 30.0
"""When a wait is given up; nothing takes nearly as long."""


def settings(directory: Path, **changes: Any) -> LongRunningSettings:
    """Settings for a mode that samples often and takes no periodic checkpoints unless told to."""
    quick = {"monitoring_interval": 0.05, "checkpoint_interval": 3600.0}
    return LongRunningSettings(**{"enable_long_running_mode": True, "checkpoint_dir": directory, **quick, **changes})


class CalmSampler:
    """Stands in for the sampler: every machine that runs the tests is as calm as the test says."""

    sampled: dict[str, float]

    def __init__(self, checkpoint_dir: Path, *, memory_budget_mb: float | None = None) -> None:
        self.checkpoint_dir = checkpoint_dir
        self.loop_lag = self.mailbox_depth = lambda: None
        self.memory_budget_mb = memory_budget_mb

    def sample(self) -> Metrics:
        """What the test says."""
        known: dict[str, Any] = {**dict.fromkeys(METRICS, 1), "memory_limit_bytes": None, **self.sampled}
        return Metrics(**known)

    def memory_reader(self) -> CalmSampler:
        """Reads memory between two samples."""
        return self

    def memory_stall(self) -> None:
        """Nothing is told of stalls."""

    def look(self) -> Metrics:
        """Nothing that is worth telling: what a test says is told by samples alone."""
        return Metrics(memory_percent=0.0)

    def close(self) -> None:
        """Nothing is kept."""


def wait_for(mode: Words, kind: str, where: Callable[[Any], bool] = lambda event: True, *, after: int = 0) -> Record:
    """The first record of a kind after a position, waited for; fails the test when it does not come."""
    given_up = threading.Event()
    timer = threading.Timer(DEADLINE_S, given_up.set)
    timer.daemon = True
    timer.start()
    reader = mode.reader()
    try:
        seen: list[str] = []
        for record in reader.tail(after=after, poll_s=0.01, stop=given_up.is_set):
            seen.append(record.type)
            if record.type == kind and where(record.event):
                _published(mode, record.stream)
                return record
        msg = f"no {kind} came; after position {after} there were {dict(Counter(seen))}"
        raise AssertionError(msg)
    finally:
        timer.cancel()
        reader.close()


def _published(mode: Words, stream: str) -> None:
    """Wait until an actor's state has what the log has of it: that is there a moment before."""
    engine = getattr(mode, "_engine", None)  # a reader alone may be looked at in its place
    running = None if engine is None else engine.running
    if running is not None and stream in running.system.shells():
        until_published(running, running.store, stream)


async def soon(mode: Words, kind: str, where: Callable[[Any], bool] = lambda event: True, *, after: int = 0) -> Record:
    """``wait_for`` beside the loop."""
    return await off_loop(lambda: wait_for(mode, kind, where, after=after))


def head(mode: Words) -> int:
    """Newest position of the log."""
    reader = mode.reader()
    try:
        return reader.head
    finally:
        reader.close()


def records(mode: Words, *kinds: str) -> list[Record]:
    """Every record of these kinds."""
    reader = mode.reader()
    try:
        return list(reader.read(types=kinds))
    finally:
        reader.close()
