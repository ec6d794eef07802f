"""Standard descriptors that nobody opened for this process: held open on ``/dev/null``, before anything else is opened.

Talks to descriptors 0 to 2. Where one of them is closed, the next file that is opened gets its number, and whoever
prints, or any library that does, writes into that file: a lock, a log.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import IO

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
"""By descriptor: the name in ``sys``, and how it is opened."""


def open_standard_streams() -> None:
    """Open ``/dev/null`` where standard input, output or error is closed; a child inherits it as any other.

    What is read there is at its end, what is written is gone, and all else is as if somebody had given it.
    """
    for number, (name, way) in enumerate(STREAMS):
        if _is_closed(number):
            _open_null(number)
        if getattr(sys, name) is None:
            setattr(sys, name, _stream(number, way))


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError as error:
        return error.errno == errno.EBADF
    return False


def _open_null(number: int) -> None:
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    os.set_inheritable(number, True)


def _stream(number: int, way: str) -> IO[str]:
    """A stream that leaves the descriptor open when it is let go of."""
    return open(number, way, encoding="utf-8", errors="replace", closefd=False)
