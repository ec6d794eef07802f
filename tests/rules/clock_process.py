"""A short life of a real agent on the machine's clocks, and what its timers, breakers and checkpoints did meanwhile.

``python -m tests.rules.clock_process DIRECTORY`` prints it as JSON; run it where the wall clock is not to be trusted.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from lrm_actors.hosting import engine
from lrm_actors.mode import LongRunningMode
from lrm_actors.words import Words
from tests.mode_kit import CalmSampler, settings

SAMPLES = 6
"""Of each part of the life: so many are waited for."""
PATIENCE_S = 20.0
NEVER_S = 3600.0
"""An interval that does not pass while a test runs."""


def live(directory: Path, jump: Callable[[], object] = lambda: None, patience_s: float = PATIENCE_S) -> list[str]:
    """Live through two parts, with whatever happens to the wall clock between them. Tells what went wrong."""
    found = []
    quick = settings(directory, monitoring_interval=0.02, checkpoint_interval=NEVER_S)
    with LongRunningMode(quick) as mode:
        mode.capture_with(lambda: {"page": 1})
        mode.take_checkpoint("so that there is one")
        guard = mode.get_circuit_breaker("llm")
        for _ in range(quick.circuit_breaker_failure_threshold):
            try:
                with guard:
                    raise OSError("down")
            except OSError:
                pass
        ids = list(mode.checkpointer.list_checkpoints())
        for part in ("before", "after"):
            if part == "after":
                jump()
            missing = _wait_for_samples(mode, patience_s)
            if missing:
                found.append(f"{part}: {missing} samples did not come")
            if guard.state != "open" or not 0.0 < guard.retry_after_s <= quick.circuit_breaker_recovery_timeout:
                found.append(f"{part}: the breaker is {guard.state}, and to be tried in {guard.retry_after_s} s")
        ids.insert(0, mode.take_checkpoint("later"))
        if ids != mode.checkpointer.list_checkpoints():
            found.append("the checkpoints are not in their order")
        report = mode.get_health_report()
        if not 0.0 <= report["uptime_s"] < NEVER_S:
            found.append(f"it runs for {report['uptime_s']} s")
        if report["health_status"] == "failing":
            found.append(f"it is failing: {report['health_cause']}")
        counted = _counted(mode)
    unexpected = {name: count for name, count in counted.items() if name in UNEXPECTED}
    if unexpected:
        found.append(f"there were {unexpected}")
    return found


UNEXPECTED = ("checkpointer.periodic", "checkpointer.failed", "monitor.sample_overdue", "supervisor.child_failed",
              "monitor.heartbeat_missed")  # fmt: skip
"""What only time can bring about, and more of it than there was."""


def _wait_for_samples(mode: Words, patience_s: float) -> int:
    """How many of the samples that are to come did not."""
    reader = mode.reader()
    until_s = time.monotonic() + patience_s
    try:
        waiting = SAMPLES
        for record in reader.tail(after=reader.head, poll_s=0.01, stop=lambda: time.monotonic() > until_s):
            waiting -= record.type == "monitor.sampled"
            if not waiting:
                break
        return waiting
    finally:
        reader.close()


def _counted(mode: Words) -> Counter[str]:
    reader = mode.reader()
    try:
        counted: Counter[str] = Counter()
        for record in reader.read():
            counted[record.type] += 1
            if record.type == "checkpointer.requested" and record.event.kind == "periodic" and record.event.at:
                counted["checkpointer.periodic"] += 1
        counted["checkpointer.periodic"] -= min(1, counted["checkpointer.periodic"])  # the first one, soon after start
        return +counted
    finally:
        reader.close()


def main(directory: Path) -> None:
    """Live, and tell. The sampler is a calm one: what sleeps in the real one, a faked clock may not let sleep."""
    CalmSampler.sampled = {}
    vars(engine)["Sampler"] = CalmSampler
    before = time.time()
    found = live(directory)
    print(json.dumps({"found": found, "wall_s": time.time() - before}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
