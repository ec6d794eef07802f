"""How much is tried, and from which seed: what the options of pytest said, or nothing. Imports nothing heavy."""

from __future__ import annotations

import os
from typing import NamedTuple


class Profile(NamedTuple):
    """How much of a proof is run."""

    lives: int
    """Examples of each state machine."""
    steps: int
    """Steps of each at most."""


PROFILES = {"quick": Profile(10, 15), "default": Profile(60, 30), "nightly": Profile(2000, 50)}
"""What ``--lrm-profile`` takes."""


class Options(NamedTuple):
    """What was asked for."""

    profile: str = "default"
    seed: int | None = None


_current = Options()


def current() -> Options:
    """What was asked for in this process."""
    return _current


def use(options: Options) -> None:
    """From now on, this is asked for."""
    global _current  # noqa: PLW0603 - one test run, one set of options
    _current = options


def replay_line(seed: int | None, node_id: str | None = None) -> str:
    """The one line that runs the test again that runs now, with the same seed and options.

    Args:
        seed: None for a test that is the same each time.
        node_id: of the test; pytest says which runs where none is given.
    """
    node_id = node_id or os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    words = ["pytest", f"'{node_id}'" if node_id else "…", f"--lrm-profile={_current.profile}"]
    if seed is not None:
        words.append(f"--lrm-seed={seed}")
    return " ".join(words)
