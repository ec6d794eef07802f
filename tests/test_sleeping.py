"""``mode.sleep``: a host that was killed while it slept waits for what is left only, by clocks that a test owns."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.records import Instant
from lrm_actors.domain import journal
from lrm_actors.domain.sleeps import LONGEST_S, SleepBegun
from lrm_actors.errors import AmbiguousEffect, NotRunning, SettingsError
from lrm_actors.hosting.beating import Heart, StepProof
from lrm_actors.hosting.boundary import StepBoundary
from lrm_actors.hosting.sleeping import Sleeping
from lrm_actors.hosting.step_scopes import AsyncStepScope, BlockingStepScope
from lrm_actors.hosting.stepping import Stepping
from lrm_actors.hosting.unlogged import UnloggedSystem
from lrm_actors.mode import LongRunningMode
from lrm_actors.runtime.clock import ManualClock
from tests.mode_kit import records, settings
from tests.runtime.support import PATIENCE_S, eventually


@attrs.define
class World:
    """A host without a log whose process can be replaced, and whose clock stands still."""

    clock: ManualClock = attrs.Factory(ManualClock)
    journal: UnloggedSystem = attrs.field(init=False)
    stepping: Stepping = attrs.field(init=False)
    sleeping: Sleeping = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.journal = UnloggedSystem([journal.spec()], now=self._now)
        self.restart()

    def _now(self) -> Instant:
        return self.clock.now()  # which may be another one by then

    def restart(self) -> None:
        """Another process begins where this one was killed."""
        self.stepping = Stepping(StepBoundary())
        self.sleeping = Sleeping(self.journal, self.stepping, make_clock=lambda: self.clock)
        self.journal.ask_blocking("journal", journal.OpenJournal())

    def step(self) -> AsyncStepScope:
        return AsyncStepScope(self.journal, self.stepping, "wait")

    async def slept(self, seconds: float, key: str = "pause", *, inside: bool = False) -> float:
        """Sleep with the clock put forward a second at a time; how many it took."""

        async def sleep() -> None:
            if not inside:
                await self.sleeping.sleep(seconds, key)
                return
            async with self.step():
                await self.sleeping.sleep(seconds, key)

        sleeper = asyncio.ensure_future(sleep())
        for passed in range(1_000):
            await settled()
            if sleeper.done():
                await sleeper
                return float(passed)
            self.clock.advance(1.0)
        raise AssertionError("it slept on")

    async def killed_after(self, passed_s: float, seconds: float, *, inside: bool = False) -> None:
        """Fall asleep, and be killed a while later."""

        async def sleep() -> None:
            if inside:
                async with self.step():
                    await self.sleeping.sleep(seconds, "pause")
            await self.sleeping.sleep(seconds, "pause")

        sleeper = asyncio.ensure_future(sleep())
        await settled()
        self.clock.advance(passed_s)
        await settled()
        assert not sleeper.done()
        killed = self.journal.state("journal")
        sleeper.cancel()
        await asyncio.gather(sleeper, return_exceptions=True)
        self.journal._states["journal"] = killed  # what it did when it was cancelled never happened
        self.restart()


async def settled() -> None:
    """Let everything happen that can."""
    for _ in range(100):
        await asyncio.sleep(0)


@pytest.mark.parametrize("inside", [False, True])
def test_a_killed_sleeper_waits_for_the_rest_only(inside: bool) -> None:
    """Inside a step and between two; not at all when it is over by then."""

    async def story() -> None:
        world = World()
        await world.killed_after(60.0, 100.0, inside=inside)
        await world.killed_after(30.0, 100.0, inside=inside)
        assert 10.0 == await world.slept(100.0, inside=inside)
        other = World()
        await other.killed_after(60.0, 100.0, inside=inside)
        other.clock.advance(1_000.0)
        assert 0.0 == await other.slept(100.0, inside=inside)

    asyncio.run(story())


def test_the_wall_clock_may_jump() -> None:
    """On the same boot it changes nothing."""

    async def story() -> None:
        world = World()
        for jump_s in (86_400.0, -7 * 86_400.0):
            await world.killed_after(10.0, 100.0)
            world.clock.jump_wall(jump_s)
        assert 80.0 == await world.slept(100.0)

    asyncio.run(story())


def test_the_machine_may_be_started_again() -> None:
    """Then the wall clock decides, and the sleep is never longer than it was."""

    async def story() -> None:
        for wall_s, left_s in ((70.0, 30.0), (1_000.0, 0.0), (-1_000.0, 100.0)):
            world = World()
            begun = world.clock.now().wall_s
            await world.killed_after(60.0, 100.0)
            world.clock = ManualClock(wall_s=begun + wall_s, monotonic_s=5.0, boot_id="another")
            world.restart()
            assert left_s == await world.slept(100.0)

    asyncio.run(story())


def test_each_sleep_of_a_key_is_another_one() -> None:
    """One after the other; each takes all of its time."""

    async def story() -> None:
        world = World()
        assert [5.0, 5.0] == [await world.slept(5.0), await world.slept(5.0)]
        async with world.step():
            pass
        assert 5.0 == await world.slept(5.0)

    asyncio.run(story())


def test_two_at_the_same_time_need_keys_of_their_own() -> None:
    """Else nobody could tell which is which."""

    async def story() -> None:
        world = World()
        first = asyncio.ensure_future(world.sleeping.sleep(5.0, "pause"))
        await settled()
        with pytest.raises(AmbiguousEffect, match="sleep pause"):
            await world.sleeping.sleep(5.0, "pause")
        assert 7.0 == await world.slept(7.0, "other")
        await first

    asyncio.run(story())


@pytest.mark.parametrize("seconds", [-1, True, "5", None, float("nan"), float("inf"), LONGEST_S + 1])
def test_what_is_no_time_is_refused(seconds: Any) -> None:
    """And nothing is put on record."""
    world = World()
    before = world.journal.state("journal")
    with pytest.raises(SettingsError, match="seconds"):
        world.sleeping.sleep_blocking(seconds, "pause")
    with pytest.raises(SettingsError, match="key"):
        world.sleeping.sleep_blocking(1.0, "")
    assert before == world.journal.state("journal")


def test_no_time_is_no_wait() -> None:
    """On this thread either."""
    world = World()
    world.sleeping.sleep_blocking(0, "pause")
    with BlockingStepScope(world.journal, world.stepping, "wait"):
        world.sleeping.sleep_blocking(0.0, "pause")


def test_a_cancelled_sleep_leaves_nothing_behind() -> None:
    """No timer, and the key is free."""

    async def story() -> None:
        world = World()
        sleeper = asyncio.ensure_future(world.sleeping.sleep(5.0, "pause"))
        await settled()
        sleeper.cancel()
        await asyncio.gather(sleeper, return_exceptions=True)
        assert not world.sleeping._waiting
        assert world.clock._schedule.next_due_s() is None
        assert 5.0 == await world.slept(5.0)

    asyncio.run(story())


def test_a_thread_sleeps_as_well(tmp_path: Path) -> None:
    """It is woken when the mode is stopped, and sleeps on when it is started again."""
    clock = ManualClock()
    mode = LongRunningMode(settings(tmp_path)).blocking
    mode._engine.sleeping.make_clock = lambda: clock
    with mode:
        told: list[BaseException] = []

        def sleep() -> None:
            try:
                mode.sleep(3600.0, "pause")
            except BaseException as error:
                told.append(error)

        sleeper = threading.Thread(target=sleep)
        sleeper.start()
        eventually(lambda: clock._schedule.next_due_s() is not None)
    sleeper.join()
    assert isinstance(told[0], NotRunning)
    with mode:
        mode.sleep(0.0, "another")
        [begun] = [record.event for record in records(mode, "journal.sleep_begun")][:1]
        assert SleepBegun(1, "pause", inside=False, occurrence=1, until=begun.until) == begun
        assert 3600.0 == begun.until.delay_s


def test_a_host_that_sleeps_in_a_step_does_not_hang(tmp_path: Path) -> None:
    """Whoever watches it from outside is told so, for as long as it sleeps and no longer."""
    clock = ManualClock()
    mode = LongRunningMode(settings(tmp_path)).blocking
    mode._engine.sleeping.make_clock = lambda: clock
    awake, enough = threading.Event(), threading.Event()

    def sleep() -> None:
        with mode.step("sleep"):
            mode.sleep(3600.0, "pause")
            awake.set()
            assert enough.wait(PATIENCE_S)

    with mode:
        sleeper = threading.Thread(target=sleep)
        sleeper.start()
        eventually(lambda: mode._engine.sleeping.under_way)
        proof = StepProof(Heart(), mode._engine, every_s=5.0, step_timeout_s=600.0)
        assert all(proof.holds(now_s) for now_s in (0.0, 600.0, 3_000.0))
        clock.advance(3600.0)
        assert awake.wait(PATIENCE_S)
        assert proof.holds(3_600.0)
        assert not proof.holds(3_601.0)
        enough.set()
        sleeper.join()


def test_a_mode_that_is_switched_off_sleeps() -> None:
    """With nothing to go on with."""

    async def story() -> None:
        async with LongRunningMode() as mode:
            await mode.sleep(0.001, "pause")

    asyncio.run(story())
