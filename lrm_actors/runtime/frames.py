"""Where another thread is at this moment.

Talks to the interpreter alone.
"""

from __future__ import annotations

import gc
import sys
import threading
import traceback
from types import FrameType

_one_at_a_time = threading.Lock()


def frame_of(thread_id: int | None) -> FrameType | None:
    """The innermost frame of a thread; None when it is not to be found. Keeps alive whatever that frame holds.

    The interpreter holds a lock of its own meanwhile. If its collector ran just then, it could let another thread in,
    which would wait for that lock with the interpreter in its hand, and nobody would ever move again (CPython
    gh-106883, before 3.11.9 and 3.12.3). So the collector is kept still.
    """
    if thread_id is None:
        return None
    with _one_at_a_time:
        collects = gc.isenabled()
        gc.disable()
        try:
            return sys._current_frames().get(thread_id)  # noqa: SLF001 - the one way to see another thread's stack
        finally:
            if collects:
                gc.enable()


def stack_of(thread_id: int | None, most: int, *, lines: bool = True) -> traceback.StackSummary | None:
    """The innermost frames of a thread, innermost first; None when it is not to be found.

    Args:
        thread_id: which.
        most: how many frames.
        lines: read their lines of source now; else when the summary is formatted, which is quicker here.
    """
    frame = frame_of(thread_id)
    if frame is None:
        return None
    try:
        return traceback.StackSummary.extract(traceback.walk_stack(frame), limit=most, lookup_lines=lines)
    finally:
        del frame  # it would keep alive whatever the thread has in hand
