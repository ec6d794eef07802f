"""The file that says which browser was started in a directory, so that whoever comes after a kill knows it again."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from eventstore.frozen import frozen

VERSION = 1
MAX_BYTES = 64 << 10


@frozen
class Marker:
    """A launch. Written twice: before the browser is started, without what is not known yet, and when it answers."""

    launch: str
    """A word that no other launch has."""
    profile: str
    pid: int = 0
    """0: not started yet."""
    started: str = ""
    """When that process began; see ``processes.started_at``."""
    port: int = 0
    path: str = ""
    """Of the browser's websocket at that port."""

    @property
    def cdp_url(self) -> str:
        """Where the browser is to be spoken to; empty: it was not ready when this was written."""
        return f"ws://127.0.0.1:{self.port}{self.path}" if self.port else ""


def write(file: Path, marker: Marker) -> None:
    """Put it there in one piece, on the disk when this returns.

    Raises:
        OSError: it cannot be written.
    """
    data = {"version": VERSION, **{name: getattr(marker, name) for name in Marker.__annotations__}}
    draft = file.with_suffix(".new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, json.dumps(data).encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    draft.replace(file)
    directory = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read(file: Path) -> Marker | None:
    """What was written last; None: nothing, or nothing that can be understood, which is then as good as nothing."""
    try:
        with file.open("rb") as stream:
            data: Any = json.loads(stream.read(MAX_BYTES))
        assert data["version"] == VERSION
        marker = Marker(**{name: data[name] for name in Marker.__annotations__})
        assert all(isinstance(value, str) for value in (marker.launch, marker.profile, marker.started, marker.path))
        assert all(type(value) is int and value >= 0 for value in (marker.pid, marker.port))
        assert marker.launch
        assert marker.port <= 65535
        assert not marker.path or marker.path.startswith("/devtools/")
    except (OSError, ValueError, LookupError, TypeError, AssertionError):
        return None
    return marker


def remove(file: Path) -> None:
    """Take it away; that there is none is as good."""
    with contextlib.suppress(FileNotFoundError):
        file.unlink()
