"""The same agent without an event loop: the words are plain calls, and ``async with`` becomes ``with``."""

from __future__ import annotations

import email
import sys
from pathlib import Path

from lrm_actors import LongRunningMode, LongRunningSettings

PACKAGE = Path(email.__file__).parent


def run() -> int:
    """Go on where the last process was; returns the exit code of this one."""
    counts: dict[str, int] = {}
    mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, agent_id="blocking-counter"))
    mode.capture_with(lambda: counts)
    mode.restore_with(counts.update)
    mode.replay_with(lambda done: counts.update(done.result))
    with mode as blocking:
        blocking.recover_from_checkpoint()
        known = len(counts)
        for path in sorted(PACKAGE.glob("*.py")):
            if path.name in counts:
                continue
            with blocking.step(f"count {path.name}") as step:
                step.result = {path.name: len(path.read_text().splitlines())}
                counts.update(step.result)
        print(f"knew {known} modules, counted {len(counts) - known}, {sum(counts.values())} lines in all")
    return mode.exit_code or 0


if __name__ == "__main__":
    sys.exit(run())
