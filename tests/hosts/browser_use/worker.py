"""Runs the scripted agent in a process of its own, which its parent kills.

It says what came of it in ``result.json`` below its directory, and through a pipe where it stops to be killed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from tests.hosts.browser_use import hosting, outage, phases, planted
from tests.hosts.browser_use.scripted import STEPS, ScriptedModel

RESULT = "result.json"


async def run(options: argparse.Namespace, told: phases.Phases) -> dict[str, Any]:
    """One life of the agent."""
    model = ScriptedModel(options.site, told.tell, retakes=True)
    if options.away_at:
        outage.let_time_fly()
        model = outage.AwayModel(options.site, told.tell, away_at=options.away_at, away_s=options.away_s, retakes=True)
    if options.host == "stock":
        agent = hosting.stock_agent(options.directory, model)
        history = await agent.run(max_steps=4 * STEPS)
    else:
        agent = hosting.lasting_agent(options.directory, model)
        history = await agent.run()
    return {
        "history": hosting.history_of(history),
        "memory": hosting.memory_of(agent),
        "files": hosting.files_of(agent),
        "is_done": history.is_done(),
        "final": history.final_result(),
        "n_steps": agent.state.n_steps,
        "asked": model.calls,
        "refused": getattr(model, "refused", 0),
        "waited_s": sum(outage.GateClock.waits),
        "shift_s": outage.ShiftedClock.shift_s,
    }


def main() -> None:
    """Live until done or killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", choices=("stock", "lasting"), required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--site", required=True)
    parser.add_argument("--descriptor", type=int, required=True)
    parser.add_argument("--go-on", type=int, help="a descriptor that lets go of what was stopped")
    parser.add_argument("--away-at", type=int, default=0, help="the step from which on the model is away")
    parser.add_argument("--away-s", type=float, default=600.0)
    parser.add_argument("--planted", choices=tuple(planted.BUGS), help="a bug to be caught")
    parser.add_argument("--hold", nargs="*", default=[], help="where to stop, as after-model@6")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(relativeCreated)6d %(name)s %(message)s")
    began = time.monotonic()
    hosting.offline(options.directory)
    told = phases.Phases(options.descriptor, options.hold, options.go_on)
    phases.watch_upstream(told)
    if options.host == "lasting":
        phases.watch_commits(told)
    if options.planted:
        planted.BUGS[options.planted]()
    try:
        result = asyncio.run(run(options, told))
    except BaseException as error:
        traceback.print_exc()
        result = {"error": f"{type(error).__name__}: {error}"}
    result["seconds"] = round(time.monotonic() - began, 2)
    (options.directory / RESULT).write_text(json.dumps(result))
    os.write(options.descriptor, b"end\n")


if __name__ == "__main__":
    main()
