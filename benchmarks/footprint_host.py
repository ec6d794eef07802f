"""A small agent's process, run as a program beside another: bare, or kept alive by a mode at its default settings.

Both import what any such agent does and do the same work: an event loop, a browser as a child, a step now and then with
a guarded call, a heartbeat a second, a growing state. The model is only pretended to be asked. In place of what would
ask it, both import the standard library's HTTP client, and what clients of models and browsers bring along with
pydantic and pyee: typing_extensions, decimal and uuid. It says what it has used at the beginning of what is measured
and at its end, one JSON object a line.
"""

from __future__ import annotations

import asyncio
import contextlib
import decimal
import json
import logging
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import typing_extensions
except ImportError:  # then nothing of ours has it either
    typing_extensions = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from lrm_actors.mode import LongRunningMode

BEAT_S = 1.0
HEARTBEAT_TIMEOUT_S = 15.0
KEPT, BARE = "kept", "bare"
BROUGHT_ALONG = decimal, typing_extensions, uuid


class Agent:
    """What the agent is and does, with nothing of ours.

    Args:
        browser: its child.
    """

    def __init__(self, browser: subprocess.Popen[bytes]) -> None:
        self.browser = browser
        self.state: dict[str, Any] = {"visited": [], "answers": {}}

    async def ask(self, question: str) -> dict[str, Any]:
        """What a language model would be asked."""
        body = json.dumps({"question": question}).encode()
        urllib.request.Request("https://model.example/v1/answers", body)
        await asyncio.sleep(0.05)
        return {**json.loads(body), "answer": "go on", "tokens": 812}

    async def visit(self, number: int, ask: Callable[[str], Any]) -> dict[str, Any]:
        """One step."""
        url = f"https://example.org/pages/{number}"
        answer = await ask(f"what is to be done at {url}?")
        self.state["visited"] = [*self.state["visited"], url][-50:]
        self.state["answers"] = {"last": answer}
        return {"url": url, "answer": answer["answer"]}


def used() -> dict[str, float]:
    """What this process has used so far, without its children."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS", "Threads"))}
    return {
        "cpu_s": time.process_time(),
        "at_s": time.monotonic(),
        "wall_s": time.time(),
        "rss_kib": float(sizes["VmRSS"]),
        "threads": float(sizes["Threads"]),
        "modules": float(len(sys.modules)),
    }


async def live(
    agent: Agent,
    mode: LongRunningMode | None,
    settle_s: float,
    measure_s: float,
    step_s: float,
) -> None:
    """Work, and say what was used when it has settled and when it has been measured."""
    work = asyncio.ensure_future(_work(agent, mode, step_s))
    beat = asyncio.ensure_future(_beat(mode))
    await asyncio.wait((work, beat), timeout=settle_s, return_when=asyncio.FIRST_COMPLETED)
    print(json.dumps(used()), flush=True)
    await asyncio.wait((work, beat), timeout=measure_s, return_when=asyncio.FIRST_COMPLETED)
    print(json.dumps(used()), flush=True)
    for task in (work, beat):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _work(agent: Agent, mode: LongRunningMode | None, step_s: float) -> None:
    ask: Callable[[str], Any] = agent.ask if mode is None else mode.get_circuit_breaker("llm")(agent.ask)
    number = 0
    while True:
        number += 1
        await asyncio.sleep(step_s)
        scope: AbstractAsyncContextManager[Any] = nullcontext() if mode is None else mode.step("visit")
        async with scope as step:
            result = await agent.visit(number, ask)
            if step is not None:
                step.result = result


async def _beat(mode: LongRunningMode | None) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        if mode is not None:
            mode.heartbeat("browser")


@contextlib.asynccontextmanager
async def _kept(agent: Agent, directory: str) -> AsyncIterator[LongRunningMode]:
    from lrm_actors import LongRunningMode, LongRunningSettings

    mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=directory))
    mode.capture_with(lambda: agent.state)
    mode.restore_with(agent.state.update)
    mode.register_component(
        "browser",
        restart=lambda: None,
        heartbeat_timeout_s=HEARTBEAT_TIMEOUT_S,
        pid=lambda: agent.browser.pid,
    )
    async with mode:
        yield mode


async def _life(agent: Agent, kind: str, directory: str, numbers: list[float]) -> None:
    async with nullcontext() if kind == BARE else _kept(agent, directory) as mode:
        await live(agent, mode, *numbers)


def main(kind: str, directory: str, processes: str, *numbers: str) -> None:
    """The whole life of one such process.

    Args:
        kind: with a mode or without.
        directory: for its log.
        processes: of its browser.
        numbers: seconds to settle, to be measured, and between two steps.
    """
    logging.basicConfig(level=logging.WARNING)
    command = [sys.executable, "-m", "benchmarks.process_tree", processes]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as browser:
        assert browser.stdin is not None
        assert browser.stdout is not None
        browser.stdout.readline()
        asyncio.run(_life(Agent(browser), kind, directory, [float(one) for one in numbers]))
        browser.stdin.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
