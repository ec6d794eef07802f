"""``SIGTERM``: the state is saved, and the process ends as it would have."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eventstore.opening import open_reader
from lrm_actors.hosting import terminating
from lrm_actors.hosting.terminating import REASON, Termination

HOST = """
import asyncio, os, sys, time
from lrm_actors.mode import LongRunningMode
from lrm_actors.settings import LongRunningSettings

mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=sys.argv[1]))

async def captured():
    return {"page": 7}

async def alone():
    mode.capture_with(captured)
    async with mode:
        async with mode.step("read"):
            if os.fork() == 0:
                print("ready", flush=True)
                time.sleep(60)
                os._exit(0)
            await asyncio.sleep(60)

asyncio.run(alone())
"""


def test_the_state_is_saved_and_the_process_ends_by_the_signal(tmp_path: Path) -> None:
    """Also inside a step, and by a function of the host's loop. Its forked child, which saves nothing, ends at once."""
    command = [sys.executable, "-c", HOST, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0) as host:
        try:
            assert host.stdout is not None
            assert host.stdout.readline() == "ready\n"
            os.killpg(host.pid, signal.SIGTERM)
            assert -signal.SIGTERM == host.wait(60)
        finally:
            if host.poll() is None:
                os.killpg(host.pid, signal.SIGKILL)
    with open_reader(tmp_path / "default" / "lrm.db") as reader:
        (taken,) = [one.event.checkpoint for one in reader.read(types=("checkpointer.taken",))]
    assert ("emergency", REASON) == (taken.kind, taken.reason)


def test_a_handler_of_somebody_else_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken from it, and nothing given back that was never taken."""
    theirs = lambda *_: None  # noqa: E731
    before = signal.signal(signal.SIGTERM, theirs)
    try:
        one = Termination()
        engine = terminating.Termination  # any object that can be held weakly
        one.add(engine)  # type: ignore[arg-type]
        assert signal.getsignal(signal.SIGTERM) is theirs
        one.remove(engine)  # type: ignore[arg-type]
        assert signal.getsignal(signal.SIGTERM) is theirs
    finally:
        signal.signal(signal.SIGTERM, before)
