from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT
from tests.docs.snippets import matches

EXAMPLES = ROOT / "docs/examples"
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
SAYS = {
    "count_lines.py": ("knew 0 modules, counted …, … lines in all", "knew …, counted 0, … lines in all"),
    "count_lines_blocking.py": ("knew 0 modules, counted …, … lines in all", "knew …, counted 0, … lines in all"),
    "killed_worker.py": (CHAIN, CHAIN_AGAIN),
    "lost_update.py": (LOST_UPDATE, LOST_UPDATE),
    "reading_list.py": (
        "Middlemarch is book 1 on the shelf, because of position 3\nto read: Walden",
        "Middlemarch is book 2 on the shelf, because of position 6\nto read: Walden",
    ),
}
"""What each example prints, run for the first and for the second time in one directory."""
TESTS = {"test_reading_list.py": "2 passed"}
"""Examples that are tests, and how pytest sums them up."""


def run(example: Path, directory: Path) -> str:
    """Run an example as a reader would; what it printed."""
    done = subprocess.run(
        [sys.executable, str(example)], cwd=directory, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SAYS)
def test_an_example_does_what_it_says_and_goes_on_when_run_again(name: str, tmp_path: Path) -> None:
    """The second run finds what the first one left in the log."""
    first, second = SAYS[name]
    assert matches(first, run(EXAMPLES / name, tmp_path))
    assert matches(second, run(EXAMPLES / name, tmp_path))


@pytest.mark.parametrize("name", TESTS)
def test_an_example_of_tests_passes(name: str, tmp_path: Path) -> None:
    """Beside what it tests, in a directory of its own, as a reader has it."""
    for copied in (name, name.removeprefix("test_")):
        shutil.copy(EXAMPLES / copied, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "lrm_actors.testing.plugin", "--lrm-profile=quick", name],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=100,
        check=False,
    )  # fmt: skip
    assert TESTS[name] in done.stdout, done.stdout + done.stderr


def test_every_example_is_run() -> None:
    """An example that nobody runs rots."""
    assert sorted({**SAYS, **TESTS}) == sorted(path.name for path in EXAMPLES.glob("*.py"))
