"""Programs for the tests of the watchdog: an agent with an event loop, and one without."""

from __future__ import annotations

AGENT = """
import asyncio, os, pathlib, signal, sys, time
from lrm_actors import LongRunningMode, LongRunningSettings

state = {"n": 0}
settings = LongRunningSettings(enable_long_running_mode=True, agent_id="agent", checkpoint_dir=".")
mode = LongRunningMode(settings)
mode.capture_with(lambda: state)
mode.restore_with(state.update)

def once(name):
    path = pathlib.Path(name)
    if path.exists():
        return False
    path.touch()
    return True

async def main():
    async with mode:
        await mode.recover_from_checkpoint()
        for done in mode.last_recovery.steps if mode.last_recovery else ():
            state["n"] = done.result["n"]
        while state["n"] < LAST:
            harm(state["n"])
            async with mode.step(f"step {state['n']}") as step:
                state["n"] += 1
                with open("effects", "a") as effects:
                    effects.write(f"{state['n']}\\n")
                step.result = {"n": state["n"]}
            await asyncio.sleep(0.01)
    pathlib.Path("finished").write_text(f"{state['n']}\\n")
"""
"""Counts to ``LAST`` in steps, each of which notes its number, and does itself what harm ``harm(n)`` does before."""

BLOCKING = """
import pathlib, threading, time
from lrm_actors import LongRunningMode, LongRunningSettings

mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, agent_id="agent", checkpoint_dir="."))
lock = threading.Lock()
with mode as blocking:
    if not pathlib.Path("stuck").exists():
        pathlib.Path("stuck").touch()
        with blocking.step("never ends"):
            DEED
    with blocking.step("ends") as step:
        step.result = 1
pathlib.Path("finished").write_text("1\\n")
"""
"""Hangs in its first step, the first time, as ``DEED`` does it."""


def agent(harm: str, last: int = 6) -> str:
    """The agent with an event loop.

    Args:
        harm: the body of ``harm(n)``.
        last: the step it counts to.
    """
    body = "\n".join(f"    {line}" for line in harm.splitlines())
    return f"{AGENT}\nLAST = {last}\ndef harm(n):\n{body}\n\nasyncio.run(main())\n"


def blocking(deed: str) -> str:
    """The agent without."""
    return BLOCKING.replace("DEED", deed)
