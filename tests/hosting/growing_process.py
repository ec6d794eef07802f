"""An agent at default settings that takes more and more memory, until the kernel kills it; run as a program."""

from __future__ import annotations

import asyncio
import sys

from lrm_actors import LongRunningMode, LongRunningSettings
from lrm_actors.actors.sampling.probe import PressureProbe

MB = 1_000_000
PIECE_MB = 5


async def grow(directory: str, mb_per_s: float, begin_mb: int) -> None:
    """Live like an agent would, and keep all of it."""
    held: list[bytes] = [b"x" * (begin_mb * MB)]
    mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=directory))
    mode.capture_with(lambda: {"pieces": len(held)})
    async with mode:
        print("ready", flush=True)
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            held.append(b"x" * (PIECE_MB * MB))
            due_s += PIECE_MB / mb_per_s
            await asyncio.sleep(max(0.0, due_s - loop.time()))


if __name__ == "__main__":
    if "blind" in sys.argv:  # the planted bug: nothing is looked at between two samples
        PressureProbe.run = lambda self: None  # type: ignore[method-assign]  # meant so
    asyncio.run(grow(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
