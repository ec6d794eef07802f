"""Every operation mode and every way from one to another, under real pressure: CPU, memory, a disk, killed processes.

All of it is done from outside: processes compute, one of them takes memory, a file fills the disk of the log, two are
killed and cannot be started again for a while. Only the three changes that no health leads to are made by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import attrs

from eventstore import Record
from lrm_actors.demo.scenarios import deeds
from lrm_actors.demo.scenarios.account import Account
from lrm_actors.demo.scenarios.hog import PROCESSES
from lrm_actors.demo.scenarios.hogs import Hog
from lrm_actors.demo.scenarios.small_disk import DISK_BYTES, MIB, Space, small_disk
from lrm_actors.demo.scenarios.stage import Stage
from lrm_actors.demo.scenarios.walk import Walk
from lrm_actors.domain.checkpointer import PERIODIC
from lrm_actors.domain.modes import DEGRADED, MINIMAL, NORMAL, RECOVERY
from lrm_actors.hosting.host import Component
from lrm_actors.inspect import why

NAME = "modes"
MOST_WORKERS, FEWEST_WORKERS = 8, 2
SHARE_BEFORE, LEAST_ROOM_BYTES = 0.6, 64 * MIB
"""Of its budget, what the agent uses before it takes more, and what is left of it at least."""
SCARCE, SPENT = 0.87, 0.98
"""Shares of the budget that are a warning, and critical."""
EMPTY, CROWDED, FULL = 60.0, 92.5, 98.2
"""Percent of the disk: healthy, a warning, and critical."""
TOGETHER = 2
"""Workers that are killed at once: so many must fail within a minute, and after that one more."""
BUSY, IDLE = 1.0, 0.02
"""Shares of the time that a worker computes."""


@attrs.frozen
class Pace:
    """How fast it goes."""

    interval_s: float = 0.2
    """Between two samples in normal mode. Whatever must last is counted in these."""
    checkpoint_s: float = 1.0
    """Between two checkpoints in normal mode."""
    heartbeat_timeout_s: float | None = 4.0
    """A quarter of it passes between two looks at the workers. None: they send no heartbeats."""
    leak_bytes: int = 2 * MIB
    """For each tick of 20 ms."""
    checkpoints: int = 2
    """Periodic ones that are waited for in recovery mode."""


class Agent:
    """Has workers, which the system restarts once that can be done, and a cache in a process of its own.

    Args:
        pace: how often there must be a sign of life of a worker.
    """

    def __init__(self, pace: Pace) -> None:
        count = max(FEWEST_WORKERS, min(MOST_WORKERS, os.cpu_count() or 1))
        self.heartbeat: Callable[[str], object] = lambda _: None
        """Told of each sign of life of a worker, by its name."""
        self.workers = [Hog("cpu", functools.partial(self._alive, number)) for number in range(1, count + 1)]
        self.cache = Hog("memory")
        self.may_start = asyncio.Event()
        self._pace = pace

    async def start(self) -> None:
        """Have all processes started, and returns once they are ready."""
        self.may_start.set()
        await asyncio.gather(*(hog.restart() for hog in (*self.workers, self.cache)))

    async def close(self) -> None:
        """End them."""
        self.may_start.set()
        for hog in (*self.workers, self.cache):
            await hog.close()

    async def compute(self, share: float) -> None:
        """Compute for this share of the time."""
        for worker in self.workers:
            await worker.order(f"share {share}")

    def capture(self) -> Any:
        """Its state."""
        return {"done": sum(worker.done for worker in self.workers)}

    def restore(self, state: Any) -> None:
        """Take up a state: there is nothing to do."""

    def gate(self, mode: str) -> None:
        """Told of each operation mode: it asks about each piece of work instead."""

    def components(self) -> Iterable[Component]:
        """The workers."""
        timeout_s = self._pace.heartbeat_timeout_s
        for number, worker in enumerate(self.workers, 1):
            yield Component(_name(number), self._restart(worker), None, timeout_s, worker.exit_status)

    def _alive(self, number: int) -> None:
        self.heartbeat(_name(number))

    def _restart(self, worker: Hog) -> Callable[[], Any]:
        async def restart() -> None:
            await self.may_start.wait()
            await worker.restart()
            await worker.order(f"share {IDLE}")

        return restart


class Tour:
    """The way through the modes.

    Args:
        walk: follows the mode.
        agent: that is put under pressure.
        space: of the disk.
        pace: how fast.
    """

    def __init__(self, walk: Walk, agent: Agent, space: Space, pace: Pace) -> None:
        self.walk, self._agent, self._space, self._pace = walk, agent, space, pace
        self._stage = walk.stage
        self._mode = walk.stage.mode
        self._checkpoint_at = 0

    async def cpu(self) -> None:
        """Compute without a pause, until the mode is minimal, and then not at all."""
        walk, stage = self.walk, self._stage
        await self._begin("CPU: workers compute without a pause")
        stage.sampler.count_waiting(on=True)
        await self._agent.compute(BUSY)
        stage.broke(f"{len(self._agent.workers) * PROCESSES} processes compute without a pause")
        await walk.into(DEGRADED, MINIMAL, because="cpu")
        if walk.mode == DEGRADED:
            await walk.into(MINIMAL, because="cpu")
        await self._agent.compute(IDLE)
        stage.sampler.count_waiting(on=False)  # or whatever else keeps this machine busy would go on with the overload
        stage.note("they pause")
        await walk.back_to(NORMAL)

    async def memory(self) -> None:
        """Take memory until it is scarce, and then until it is spent; give it back."""
        walk, stage, leak = self.walk, self._stage, self._pace.leak_bytes
        await self._begin("memory: a process grows towards the budget")
        first = await stage.seen("monitor.sampled", lambda event: event.metrics.memory_rss_bytes is not None)
        used = first.event.metrics.memory_rss_bytes
        budget = max(used / SHARE_BEFORE, used + LEAST_ROOM_BYTES)
        self._mode.settings.memory_budget_mb = budget / MIB
        stage.broke(
            f"the cache (pid {self._agent.cache.pid}) takes {leak / MIB:.0f} MiB every 20 ms; the agent uses"
            f" {used / MIB:.0f} MiB of a budget of {budget / MIB:.0f}"
        )
        await self._agent.cache.order(f"leak {leak} {int(SCARCE * budget - used)}")
        await walk.into(DEGRADED, because="memory")
        await self._agent.cache.order(f"leak {leak} {int(SPENT * budget - used)}")
        await walk.into(MINIMAL, because="memory")
        taken = await stage.did("worked", "checkpointer.taken", lambda event: event.checkpoint.kind == "emergency")
        await self._agent.cache.restart()
        stage.note("the cache is started again, and is empty")
        await walk.back_to(NORMAL)
        self._tell(taken)

    async def disk(self) -> None:
        """Fill the disk at once; kill workers while it is full, and when there is a little more room; make room."""
        walk, stage = self.walk, self._stage
        self._space.take(EMPTY)
        await self._begin("disk: another program fills it")
        taken = self._space.take(FULL)
        stage.broke(f"another program fills the disk of the log ({taken / MIB:.0f} MiB): {FULL:.1f} % is in use")
        full = await walk.into(MINIMAL, because="disk")
        await self._by_hand(NORMAL)
        async with self._killed("processes: killed on a full disk", TOGETHER):
            pass
        await walk.back_to(MINIMAL)
        walk.induced_by = "disk: a little of it is freed"
        self._space.take(CROWDED)
        stage.note(f"the other program frees a little: {CROWDED:.1f} % of the disk is in use")
        await walk.into(DEGRADED)
        async with self._killed("processes: killed on a crowded disk"):
            pass
        await walk.back_to(DEGRADED)
        walk.induced_by = "disk: it is freed"
        self._space.close()
        stage.note("the other program frees the rest")
        await walk.back_to(NORMAL)
        self._tell(full)

    async def processes(self) -> None:
        """Kill workers while all is well; hold modes by hand meanwhile."""
        await self._begin("")
        async with self._killed("processes: killed while all is well", TOGETHER) as down:
            for _ in range(self._pace.checkpoints):
                await self._checkpoint()
            await self._by_hand(DEGRADED)
            await self._by_hand(NORMAL)
        await self.walk.back_to(NORMAL)
        self._tell(down)

    # --- helpers ------------------------------------------------------------------------------------------------

    async def _begin(self, what: str) -> None:
        """Wait until all is well; what comes next is something else."""
        await self._stage.calm()
        self.walk.induced_by = what
        self._stage.breaking()

    @contextlib.asynccontextmanager
    async def _killed(self, what: str, count: int = 1) -> AsyncIterator[Record]:
        """Kill so many workers, which cannot be started again before the body has ended."""
        stage, workers = self._stage, self._agent.workers[:count]
        self._agent.may_start.clear()
        self.walk.induced_by = what
        stage.breaking()
        pids = [worker.pid for worker in workers]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        stage.broke(f"workers are killed (SIGKILL): pid {' and pid '.join(map(str, pids))}")
        down = await self.walk.into(RECOVERY, because="components failed")
        await stage.chosen("restart_component", _name(1))
        yield down
        self.walk.induced_by = "processes: started again"
        self._agent.may_start.set()
        stage.note("they can be started again")
        await self.walk.into(MINIMAL)

    async def _by_hand(self, mode: str) -> None:
        """Hold a mode for a moment."""
        walk, before, induced_by = self.walk, self.walk.mode, self.walk.induced_by
        walk.induced_by = "by hand"
        self._mode.pin_mode(mode, reason=f"held at {mode} by hand")
        await walk.into(mode, because="held at")
        self._mode.unpin_mode(reason="let go by hand")
        await walk.into(before, because="let go")
        walk.induced_by = induced_by

    async def _checkpoint(self) -> None:
        """Wait for one more periodic checkpoint."""
        record = await self._stage.seen(
            "checkpointer.requested", lambda event: event.kind == PERIODIC, after=self._checkpoint_at
        )
        self._checkpoint_at = record.position

    def _tell(self, record: Record) -> None:
        """Have it told how a record came about: it must lead to a change of the health."""
        links = why(self.walk.reader, record.position).links
        health = [link.record.position for link in links if link.record.type == "monitor.health_changed"]
        self._stage.told(record, of=health[0] if health else 0)


PHASES = ("cpu", "memory", "disk", "processes")
"""In this order; each begins and ends in normal mode."""


async def run(
    directory: Path, say: Callable[[str], None], pace: Pace | None = None, phases: Iterable[str] = PHASES
) -> Account:
    """Go through all modes.

    Args:
        directory: where the log is kept.
        say: prints a live line.
        pace: how fast; None: for somebody who watches.
        phases: the parts of it.
    """
    pace = pace or Pace()
    agent = Agent(pace)
    with small_disk(directory, NAME) as disk:
        place = directory if disk is None else disk
        space = Space(place, DISK_BYTES if disk is None else None)
        stage = Stage(
            NAME,
            place,
            say,
            host=agent,
            disk=space.used,
            monitoring_interval=pace.interval_s,
            checkpoint_interval=pace.checkpoint_s,
        )
        stage.kept_at = directory / NAME / stage.kept_at.name
        work = deeds.Work(stage.mode)
        try:
            await agent.start()
            async with stage:
                walk = Walk(stage, stage.reader)
                agent.heartbeat = stage.mode.heartbeat
                stage.sheets = lambda: (walk.sheet(), deeds.sheet(deeds.stays(stage.reader), work))
                await agent.compute(IDLE)
                work.start()
                stage.sampler.count_waiting(on=False)
                tour = Tour(walk, agent, space, pace)
                for phase in phases:
                    await getattr(tour, phase)()
                await stage.until(lambda: work.caught_up == work.put_off, "what was put off is done")
                stage.works(f"{work.caught_up} pieces of work that were put off were done")
                await work.close()
                return stage.account(_trouble(walk, deeds.wrong(deeds.stays(stage.reader), work)))
        finally:
            await work.close()
            await agent.close()


def _trouble(walk: Walk, wrong: list[str]) -> str:
    missing = walk.missing()
    return "; ".join([*([f"not seen: {', '.join(missing)}"] if missing else []), *wrong])


def _name(number: int) -> str:
    return f"worker-{number}"
