"""Our checkpoints as a host uses them: a running mode on a real log, with a function that gives the state."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

from benchmarks.checkpoint_states import Path as Places
from benchmarks.checkpoint_states import State
from benchmarks.monitor_sampling import Waited
from lrm_actors.mode import LongRunningMode
from lrm_actors.settings import DAY_S, LongRunningSettings

RESERVE = "-reserve"
"""End of the name of the file that holds space back for a full disk: as large whatever is kept."""


class Ours:
    """A host with a mode whose checkpoints are taken when the benchmark says so, and never by a timer.

    Args:
        directory: for the log.
        state: the host's, changed in place by whoever measures.
        changes: how what changed is found, as for ``capture_with``.
        settings: others than the defaults.
    """

    def __init__(self, directory: Path, state: State, *, changes: str = "compare", **settings: Any) -> None:
        self.directory = directory
        self.state = state
        self.restored: Any = None
        wanted = {"checkpoint_dir": directory, "checkpoint_interval": DAY_S, **settings}
        self.mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, **wanted))
        self.mode.capture_with(lambda: self.state, changes=changes)
        self.mode.restore_with(self._restore)

    def _restore(self, state: Any) -> None:
        self.restored = state

    async def open(self) -> None:
        """Own the log and start the actors."""
        await self.mode.start_monitoring()

    async def put(self, state: State) -> None:
        """Take a checkpoint; it is in the log when this returns."""
        self.state = state
        await self.take()

    async def put_marked(self, state: State, paths: Iterable[Places]) -> None:
        """The same by a host that says what it has changed."""
        for path in paths:
            self.mode.changed(*path)
        await self.put(state)

    async def take(self) -> str:
        """Take a checkpoint of the state as it is; its id."""
        return await self.mode.take_checkpoint()

    async def get(self, checkpoint_id: str | None = None) -> Any:
        """The state kept last, or under an id, as the host is given it."""
        if not await self.mode.recover_from_checkpoint(checkpoint_id):
            msg = f"{checkpoint_id or 'the newest checkpoint'} could not be restored"
            raise AssertionError(msg)
        return self.restored

    async def close(self) -> None:
        """Stop the mode, which takes a last checkpoint."""
        await self.mode.stop_monitoring()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


def disk_bytes(directory: Path) -> int:
    """What the files below a directory occupy, without the space held back for a full disk."""
    return sum(one.stat().st_size for one in directory.rglob("*") if one.is_file() and not one.name.endswith(RESERVE))


def written_bytes() -> int:
    """What this process has written so far, to files for the most part (``wchar``); 0 where nothing counts it."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


class Ticker:
    """Wakes each millisecond on the loop beside what is measured, and notes by how much it came late.

    Without the time for which the loop's thread was ready to run and other processes had the CPUs.
    """

    EVERY_S = 0.001

    def __init__(self) -> None:
        self.late_ms: list[float] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.ensure_future(self._tick())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def _tick(self) -> None:
        waited_s = Waited()
        while True:
            others_s = waited_s()
            due_s = time.perf_counter() + self.EVERY_S
            await asyncio.sleep(self.EVERY_S)
            late_s = time.perf_counter() - due_s - (waited_s() - others_s)
            self.late_ms.append(max(0.0, late_s * 1000))


async def timed_ms(call: Callable[[], Any]) -> float:
    """Milliseconds until what a call gives has been awaited."""
    begun = time.perf_counter()
    await call()
    return (time.perf_counter() - begun) * 1000
