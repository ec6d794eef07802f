"""A browser agent: how long until it works again after its browser was killed, and what its steps cost it.

Needs the extra ``browser-use`` and a Chromium. The agent is browser-use's, the browser is real, the model is a script.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.browser_agents import Timings, agent, ended, kill_browser, site
from benchmarks.harness import Figure
from eventstore import open_reader
from lrm_actors.adapters.browser_use import slim
from lrm_actors.mode import LongRunningMode
from lrm_actors.settings import LongRunningSettings

PEERS = ("browser-use",)
HEALS, QUICK_HEALS = 7, 3
EARLY, STEPS, QUICK_STEPS = 10, 40, 12
"""The step from which on steps are measured, and how many are."""
LATE, QUICK_LATE = 1_000, 100


def run(quick: bool) -> Sequence[Figure]:
    """Measure."""
    os.environ.setdefault("BROWSER_USE_SETUP_LOGGING", "false")
    with tempfile.TemporaryDirectory(prefix="lrm-browser-", ignore_cleanup_errors=True) as scratch, site() as url:
        heal_s = asyncio.run(_heal(Path(scratch, "heal"), url, QUICK_HEALS if quick else HEALS))
        return [
            Figure(
                "heal_s",
                heal_s,
                "lower",
                "From SIGKILL of the browser in the middle of a step to the begin of the next.",
            ),
            *_steps(Path(scratch, "steps"), url, quick=quick),
        ]


async def _heal(directory: Path, url: str, heals: int) -> float:
    timings = Timings()
    running = agent(directory, url, 2 * heals + 2)
    killed: set[int] = set()

    async def kill(_summary: Any, _output: Any, number: int) -> None:
        if number % 2 == 0 and number not in killed and len(killed) < heals:
            killed.add(number)
            timings.killed_at_s = kill_browser(directory)

    running.settings.register_new_step_callback = kill
    with timings.watch():
        await ended(running)
    return statistics.median(timings.healed_s)


def _steps(directory: Path, url: str, *, quick: bool) -> Sequence[Figure]:
    measured, late = (QUICK_STEPS, QUICK_LATE) if quick else (STEPS, LATE)
    early_ms, early_kb, held_ms = _measured(directory / "early", url, EARLY, measured)
    asyncio.run(_age(directory / "late", url, late))
    late_ms, late_kb, late_held_ms = _measured(directory / "late", url, late, measured)
    return [
        Figure(
            "hook_p99_ms", max(held_ms, late_held_ms), "lower",
            "The longest that a hook of ours holds the event loop at a time: the 99th percentile of its calls.",
        ),
        Figure(
            "step_p50_ms", early_ms, "lower",
            f"What our hooks add to a step, storage read and all on disk: the median from step {EARLY} on.",
        ),
        Figure("step_p50_late_ms", late_ms, "lower", f"The same from step {late} on."),
        Figure("step_kb", early_kb, "lower", f"Kilobytes in the log for each step, the median from step {EARLY} on."),
        Figure("step_late_kb", late_kb, "lower", f"The same from step {late} on."),
    ]  # fmt: skip


def _measured(directory: Path, url: str, first: int, count: int) -> tuple[float, float, float]:
    """Run to a step and measure what comes after it: milliseconds, kilobytes, and the longest holds of the loop."""
    timings = Timings()
    running = agent(directory, url, first + count)

    async def begin(inner: Any) -> None:
        if inner.state.n_steps == first:
            timings.clear()

    async def main() -> None:
        with timings.watch():
            await running.run(on_step_start=begin)

    asyncio.run(main())
    return statistics.median(timings.steps_s[:-1]) * 1e3, _kilobytes(directory, first), timings.held_ms(99)


def _kilobytes(directory: Path, first: int) -> float:
    """What the journal's events of a step take in the log, the median of those from a step on."""
    sizes: dict[int, int] = defaultdict(int)
    with open_reader(directory / "default" / "lrm.db") as reader:
        for record in reader.read(streams=("journal",)):
            step = getattr(record.event, "step", None)
            if step is not None and step >= first:
                sizes[step] += len(record.data)
    return statistics.median(sizes.values()) / 1e3


async def _age(directory: Path, url: str, steps: int) -> None:
    """Leave the log of an agent that has taken so many steps: the first few really, the others copied from them."""
    running = agent(directory, url, 6)
    await running.run(max_steps=5, on_step_end=_stop_at(5, running))
    state = running.slim_state
    mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=directory))
    async with mode:
        await mode.recover_from_checkpoint()
        for number in range(state["agent_state"]["n_steps"], steps):
            after = _one_more(state, number)
            async with mode.step(f"step {number}") as step:
                step.result = slim.delta(state, after)
            state = after


def _stop_at(number: int, running: Any) -> Any:
    async def stop(inner: Any) -> None:
        if inner.state.n_steps >= number:
            running.stop()

    return stop


def _one_more(state: dict[str, Any], number: int) -> dict[str, Any]:
    """The state after a step like the last one."""
    known = state["agent_state"]
    item, memory = known["history"][-1], known["memory"][-1]
    changed = {
        "n_steps": number + 1,
        "history": [*known["history"], {**item, "metadata": {**item["metadata"], "step_number": number}}],
        "memory": [*known["memory"], {**memory, "step_number": number - 1, "memory": f"taken {number - 1}: as before"}],
    }
    return {**state, "agent_state": {**known, **changed}}
