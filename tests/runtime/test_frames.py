"""Where another thread is, asked without ever bringing the process to a halt."""

from __future__ import annotations

import ast
import gc
import threading
from typing import Any

import pytest

from lrm_actors.runtime import frames
from tests.rules.support import sources


def test_a_thread_is_found_where_it_is() -> None:
    """And one that is not there is not."""
    there, leave = threading.Event(), threading.Event()

    def inside() -> None:
        there.set()
        leave.wait(10)

    thread = threading.Thread(target=inside, daemon=True)
    thread.start()
    assert there.wait(10)
    frame, names = frames.frame_of(thread.ident), []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    leave.set()
    thread.join(10)
    assert "inside" in names
    assert None is frames.frame_of(None) is frames.frame_of(1)


@pytest.mark.parametrize("collects", [True, False])
def test_the_collector_is_still_meanwhile_and_as_before_afterwards(
    monkeypatch: pytest.MonkeyPatch, *, collects: bool
) -> None:
    """A collection inside would let a thread in that waits for the lock held by who let it in."""
    seen: list[bool] = []

    def look() -> dict[int, Any]:
        seen.append(gc.isenabled())
        return {}

    monkeypatch.setattr("sys._current_frames", look)
    if not collects:
        gc.disable()
    try:
        frames.frame_of(1)
        assert ([False], collects) == (seen, gc.isenabled())
    finally:
        gc.enable()


def test_nobody_else_asks_for_frames() -> None:
    """In one place, where the collector is kept still."""
    askers = {
        path
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"_current_frames", "_current_exceptions"}
    }
    assert {"lrm_actors/runtime/frames.py"} == askers
