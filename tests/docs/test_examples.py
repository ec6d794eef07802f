"""Every example does what it says, and goes on when it is run again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.markdown import ROOT, links_of
from tests.docs.snippets import matches

EXAMPLES = ROOT / "docs/examples"
DRIVER = Path(__file__).with_name("example_driver.py")
CHAIN = (
    "supervisor.child_restarted\nsupervisor.restart_started\nsupervisor.restart_scheduled\nsupervisor.child_failed\n"
    "analyzer.recovery_chosen\nanalyzer.failure_recorded\nmonitor.component_exited"
)
CHAIN_AGAIN = CHAIN.replace("monitor.", "analyzer.recovery_judged\nmonitor.")
"""The same failure soon after says what became of the recovery before."""
LOST_UPDATE = (
    "schedule …: there are …0\nSimulation(0, replay='…')\nreplayed: there are …0\n"
    "the careful way holds under all … schedules"
)
DAY = """…
03:20  the breaker of llm opened: 5 failures in a row: 5 ConnectionError
…
04:05  the breaker of llm closed: a probe succeeded
…
07:16  memory_leak confirmed: memory_anonymous_bytes …
14:01  the process of the component browser is gone: exit by signal 9 (SIGKILL)
…
14:01  the component browser was restarted in 2.00 s, attempt 1
…
19:00  process 2 of this log started (pid 2), because the one before did not end in order
the model: 275 times answered, 10 times failed, 3 times held back
steps: 275 committed, in doubt: None
checkpoints: 146 taken, of which are kept 1 emergency, 10 periodic
log: … events, … MB
health: healthy, mode normal"""
TWO_AGENTS = """the finder knew 0 pages, the reader 0
the reader's browser was killed, and is back
finder: 3 steps are done
reader: 3 steps are done"""
SAYS = {
    "count_lines.py": ("knew 0 modules, counted …, … lines in all", "knew …, counted 0, … lines in all"),
    "killed_worker.py": (CHAIN, CHAIN_AGAIN),
    "lost_update.py": (LOST_UPDATE,),
    "night_batch.py": (
        "begins with 0 receipts\n3 steps are done, of 5; in doubt: None\n3 invoices are sent",
        "begins with 3 receipts\n5 steps are done, of 5; in doubt: None\n5 invoices are sent",
    ),
    "reading_list.py": (
        "Middlemarch is book 1 on the shelf, because of position 3\nto read: Walden",
        "Middlemarch is book 2 on the shelf, because of position 6\nto read: Walden",
    ),
    "simulated_day.py": (DAY,),
    "two_agents.py": (
        TWO_AGENTS,
        "the finder knew 3 pages, the reader 3\nfinder: 3 steps are done\nreader: 3 steps are done",
    ),
}
"""What each example prints, run for the first time in a directory, and where that says something more, once again."""
KILLED = {
    "site_watcher.py": ((0, "the watcher ended with -9\n3 reports came, of 2 changes:\n  10 -> 12\n  12 -> 9"),),
    "tool_agent.py": (
        (
            -signal.SIGKILL,
            "model: …\ntool: looks for restaurants in Oslo\n…\ntool: books a table at The Red Door",
        ),
        (0, "model: answers to tool\nDone: booked: The Red Door."),
    ),
}
"""Examples in which a process is killed: how each run ends, and what it prints."""
TESTS = {"test_reading_list.py": "2 passed"}
"""Examples that are tests, and how pytest sums them up."""
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """All those in which nothing is killed, run one after the other in one process, each in a directory of its own."""
    place = tmp_path_factory.mktemp("examples")
    names = [name for name, said in SAYS.items() for _ in said]
    pairs = [argument for name in names for argument in (str(place / name), str(EXAMPLES / name))]
    done = subprocess.run(
        [sys.executable, str(DRIVER), *pairs], cwd=place, env=ENV, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, list[dict[str, Any]]] = {}
    for name, run in zip(names, json.loads(done.stdout), strict=True):
        found.setdefault(name, []).append(run)
    return found


@pytest.mark.parametrize("name", SAYS)
def test_an_example_does_what_it_says_and_goes_on_when_run_again(
    name: str, runs: dict[str, list[dict[str, Any]]]
) -> None:
    """The second run finds what the first one left in the log. No thread is left."""
    for expected, run in zip(SAYS[name], runs[name], strict=True):
        assert run["status"] == 0, run
        assert matches(expected, run["printed"]), run["printed"]
        assert run["threads"] == []


@pytest.mark.parametrize("name", KILLED)
def test_an_example_in_which_a_process_is_killed_goes_on(name: str, tmp_path: Path) -> None:
    """As a reader runs it: a process for each run."""
    for status, expected in KILLED[name]:
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / name)], cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert (status, True) == (done.returncode, matches(expected, done.stdout)), done.stdout + done.stderr


@pytest.mark.parametrize("name", TESTS)
def test_an_example_of_tests_passes(name: str, tmp_path: Path) -> None:
    """Beside what it tests, in a directory of its own, as a reader has it."""
    for copied in (name, name.removeprefix("test_")):
        shutil.copy(EXAMPLES / copied, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "lrm_actors.testing.plugin", "--lrm-profile=quick", name],
        cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert TESTS[name] in done.stdout, done.stdout + done.stderr


HOSTS = {"browser_agent.py"}
"""Examples that need a host's packages: run by ``tests/hosts``."""


def test_every_example_is_run() -> None:
    """An example that nobody runs rots."""
    there = {path.name for path in EXAMPLES.glob("*.py")}
    assert sorted({*SAYS, *KILLED, *TESTS, *HOSTS}) == sorted(there)


def test_every_example_is_listed() -> None:
    """With what it shows, and no other."""
    listed = [target for _, target in links_of((EXAMPLES / "README.md").read_text(encoding="utf-8"))]
    assert sorted(listed) == sorted(path.name for path in EXAMPLES.glob("*.py"))
