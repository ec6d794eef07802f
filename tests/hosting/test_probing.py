"""What a running mode sees between two samples, and of its host: memory, the loop, the mailboxes, a dead browser."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lrm_actors import LongRunningMode
from lrm_actors.actors.sampling.sampler import Sampler
from lrm_actors.actors.supervisor import ComponentRegistry
from lrm_actors.domain.metrics import Metrics
from lrm_actors.runtime.clock import SystemClock
from tests.mode_kit import CalmSampler, settings, soon, wait_for

WAITS = "import sys; sys.stdin.read()"


def test_the_loop_and_the_mailboxes_are_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that the host blocks shows in a sample soon; what is asked of it holds nothing up."""
    monkeypatch.setattr("lrm_actors.hosting.engine.Sampler", Sampler)

    async def host() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:
            asked = await soon(mode, "monitor.sampled", lambda event: event.metrics.loop_lag_s is not None)
            assert asked.event.metrics.mailbox_depth >= 0
            assert {} == asked.event.metrics.unknown
            late = soon(mode, "monitor.sampled", lambda event: (event.metrics.loop_lag_s or 0.0) >= 0.2)
            seen = asyncio.ensure_future(late)
            while not seen.done():
                time.sleep(0.3)  # noqa: ASYNC251 - what a host must not do
                await asyncio.sleep(0.05)
            await seen

    asyncio.run(host())


def test_without_a_loop_there_is_no_lag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not unknown: a host without a loop has none."""
    monkeypatch.setattr("lrm_actors.hosting.engine.Sampler", Sampler)
    with LongRunningMode(settings(tmp_path)) as mode:
        seen = wait_for(mode, "monitor.sampled", lambda event: event.metrics.mailbox_depth is not None)
        assert seen.event.metrics.loop_lag_s is None
        assert "loop_lag_s" not in seen.event.metrics.unknown


@pytest.mark.usefixtures("sampled")
def test_scarce_memory_is_critical_and_saved_without_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an hour between two samples, what the probe sees is on record, and the state saved, at once."""
    scarce = Metrics(memory_percent=97.0, memory_headroom_bytes=10**6, memory_limit_bytes=10**8, limited_by="cgroup")
    monkeypatch.setattr(CalmSampler, "look", lambda _: scarce)
    mode = LongRunningMode(settings(tmp_path, monitoring_interval=3600.0))
    mode.capture_with(lambda: {"page": 3})
    with mode:
        assert 97.0 == wait_for(mode, "monitor.pressure_seen").event.metrics.memory_percent
        changed = wait_for(mode, "monitor.health_changed", lambda event: event.status == "critical")
        assert "cgroup limit" in changed.event.cause
        taken = wait_for(mode, "checkpointer.taken", after=changed.position)
        assert "emergency" == taken.event.checkpoint.kind
        assert "minimal" == wait_for(mode, "modes.changed").event.mode


@pytest.mark.parametrize("waited_for", [False, True], ids=["zombie", "gone"])
def test_a_killed_browser_is_seen_at_the_next_look(*, waited_for: bool) -> None:
    """By its pid alone: a zombie as long as nobody waits for it, and gone afterwards."""
    registry = ComponentRegistry(SystemClock(), settle_s=0.0)
    with subprocess.Popen([sys.executable, "-c", WAITS], stdin=subprocess.PIPE) as browser:
        registry.register("browser", lambda: None, pid=lambda: browser.pid)
        (alive,) = registry.observe()
        assert (False, "") == (alive.exited, alive.seen)
        browser.kill()
        os.waitid(os.P_PID, browser.pid, os.WEXITED | os.WNOWAIT)
        if waited_for:
            browser.wait()
        (dead,) = registry.observe()
    assert dead.exited
    assert f"its process {browser.pid} is {'gone' if waited_for else 'a zombie'}" == dead.seen


@pytest.mark.usefixtures("sampled")
def test_a_killed_browser_is_restarted(tmp_path: Path) -> None:
    """From its pid to the restart, with what was seen on record; the one that comes after it is well."""
    browsers = [subprocess.Popen([sys.executable, "-c", WAITS], stdin=subprocess.PIPE)]
    try:
        mode = LongRunningMode(settings(tmp_path))
        mode.register_component(
            "browser",
            restart=lambda: browsers.append(subprocess.Popen([sys.executable, "-c", WAITS], stdin=subprocess.PIPE)),
            pid=lambda: browsers[-1].pid,
        )
        with mode:
            wait_for(mode, "monitor.sampled")
            browsers[0].kill()
            exited = wait_for(mode, "monitor.component_exited")
            assert f"its process {browsers[0].pid} is a zombie" == exited.event.description
            wait_for(mode, "supervisor.child_restarted", after=exited.position)
        assert 2 == len(browsers)
    finally:
        for browser in browsers:
            browser.kill()
            assert browser.stdin is not None
            browser.stdin.close()
            browser.wait()
