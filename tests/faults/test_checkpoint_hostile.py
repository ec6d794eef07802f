"""Checkpoints made by somebody hostile, with checksums that are right: refused, in bounded memory, and nothing else.

A process of its own restores them and is watched by an audit hook: nothing that they name is imported, opened or run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HOSTILE, HOSTILE_FOR_RELEASE = 600, 40_000
DEADLINE_S = 600.0


def hostile(many: int, *planted: str) -> dict[str, Any]:
    """Have a process of its own restore so many hostile checkpoints; what it found."""
    command = [sys.executable, "-m", "tests.faults.checkpoint_hostile", str(many), *planted]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=DEADLINE_S, check=False)
    assert 0 == done.returncode, done.stderr.decode()[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_hostile_checkpoints_are_refused_and_nothing_in_them_is_imported_or_called(release: bool) -> None:
    """Nothing but ``CheckpointDamaged`` comes out, however many bytes a few of them claim to be."""
    found = hostile(HOSTILE_FOR_RELEASE if release else HOSTILE)
    problems = found.pop("problems")
    print(f"hostile checkpoints: {found}")
    assert [] == problems
    assert found["refused"]
    assert found["restored"], "nothing was near enough to a checkpoint to prove anything"


@pytest.mark.parametrize(
    ("planted", "told"),
    [("import", "import"), ("error", "another error"), ("memory", "more memory than it may")],
)
def test_planted_loaders_are_caught(planted: str, told: str) -> None:
    """One that imports what the data name, one that lets another error out, one that believes a size."""
    problems = hostile(100, planted)["problems"]
    assert any(told in problem for problem in problems), problems
