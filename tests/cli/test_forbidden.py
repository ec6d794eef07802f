"""What a user may not read, and output that finds no room: told in two lines, never with a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lrm_actors.cli import exits
from tests.cli.conftest import Lived, Lrm


@pytest.mark.parametrize("words", ["log", "verify", "health", "doctor", "retain --keep-events 1", "accept", "export -"])
@pytest.mark.parametrize("by", ["directory", "file"])
def test_the_directory_of_another_user_is_told(
    lrm: Lrm, life: Lived, monkeypatch: pytest.MonkeyPatch, words: str, by: str
) -> None:
    """A log's directory has mode 0700: whoever asks as somebody else may not even see whether the file is there."""
    stat = Path.stat

    def refused(path: Path, **options: Any) -> os.stat_result:
        if path.name == "lrm.db":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refused)
    done = lrm(*words.split(), "--log", life.path if by == "file" else life.path.parent)
    first, second = done.err.splitlines()
    assert (exits.NO_ACCESS, "") == (done.code, done.out)
    assert first.startswith("error ES-4007: ")
    assert first.endswith(": Permission denied")
    assert second.startswith("try: look as the user that the log belongs to")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("words", ["log", "health --json", "export -"])
def test_output_that_finds_no_room_is_told(life: Lived, tmp_path: Path, words: str) -> None:
    """Often it goes to a file on the very disk that is full."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lrm_actors.cli", *words.split(), "--log", str(life.path)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (exits.FAILURE, "error: what is printed cannot be written: No space left on device\n") == (
        done.returncode,
        done.stderr,
    )
