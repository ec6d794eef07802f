"""The example with a real browser does what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.docs.markdown import ROOT
from tests.docs.snippets import matches

EXAMPLE = ROOT / "docs/examples/browser_agent.py"
SAYS = """model: step 1
model: step 2
the agent was ended by signal 9
model: step 3
model: step 4
4 steps: the guest book is signed
in the guest book: Ada"""


def test_the_guest_book_is_signed_once_and_the_model_asked_once_for_each_step(tmp_path: Path) -> None:
    """As a reader runs it, in a directory of its own."""
    places = {"BROWSER_USE_CONFIG_DIR": str(tmp_path / "config"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), **places},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert (0, True) == (done.returncode, matches(SAYS, done.stdout)), done.stdout + done.stderr
