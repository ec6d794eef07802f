"""Which of the planted bugs plain ``kill -9`` would have caught: a real process with the bug in it, killed at random.

``python3 -m tests.mutants.kill9`` kills each as often as it is told, and after each kill makes the ordinary check of
what was acknowledged. It takes minutes, and no test runs it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.test_store_kill import Campaign
from tests.faults.test_system_kill import kill_again_and_again
from tests.mutants.planted import BUGS
from tests.mutants.planted_store import STORE

KILLS = 40
PATIENCE_S = 240.0
"""For all kills of one bug. A process that hangs is a caught one: the check waits for what never comes."""
ROOT = Path(__file__).parents[2]


def kill_one(name: str, kills: int) -> str:
    """Kill processes with this bug in them. Returns what the check says, empty where it finds nothing wrong."""
    with tempfile.TemporaryDirectory(prefix="lrm-kill-") as directory:
        try:
            kill_again_and_again(Path(directory), kills, planted=name)
        except Exception as error:
            return _first_line(error)
        if any(bug.name == name for bug in STORE):
            BUGS[name].plant(pytest.MonkeyPatch())  # this process forks the writers, and ends after them
            campaign = Campaign(Path(directory) / "store" / "lrm.db", seed=1)
            try:
                campaign.run(kills)
            except Exception as error:
                return _first_line(error)
            return next(iter(campaign.problems), "")
    return ""


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:160]


def in_a_process(name: str, kills: int) -> str:
    """The same in a process of its own, which is ended with all that it started where it takes too long."""
    command = [sys.executable, "-m", "tests.mutants.kill9", "--one", name, "--kills", str(kills)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        try:
            told, _ = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            told = json.dumps("it hangs")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return str(json.loads(told)) if told else "the check itself ended"


def main(arguments: list[str]) -> int:
    """Kill each of the bugs that are named, or all of them, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--jobs", type=int, default=1, help="bugs at a time: they sleep more than they work")
    parser.add_argument("--report", type=Path, help="where to write what each came to, as JSON")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(kill_one(options.one, options.kills)))
        return 0
    found: dict[str, str] = {}
    names = options.names or list(BUGS)
    with ThreadPoolExecutor(options.jobs) as pool:
        for name, told in zip(names, pool.map(lambda name: in_a_process(name, options.kills), names), strict=True):
            found[name] = told
            print(f"{'caught' if told else 'not caught'} {name} {told}", flush=True)
            if options.report is not None:
                options.report.write_text(json.dumps(found, indent=1), encoding="utf-8")
    caught = sum(map(bool, found.values()))
    print(f"{caught} of {len(found)} planted bugs are caught by up to {options.kills} kills each")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
