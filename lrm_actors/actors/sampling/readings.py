"""What single readings are made of: files of the kernel that are kept open, and why a reading failed.

Talks to the kernel only. A reading gives a value or raises; whoever asks for it makes an error a reason, never a zero.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lrm_actors.actors.analyzer import text_of

MAX_REASON = 120
"""Characters kept of why a metric is unknown."""
FIRST_BYTES = 4096
"""Most files of the kernel are shorter, and those that are not are read on."""
DIGITS = 32
"""More than a number of the kernel's has, with what it is padded with."""

T = TypeVar("T")


class NotHere(Exception):
    """This platform does not have a metric."""


class KernelFile:
    """A file of the kernel's, opened once and read from its beginning again and again. Not for several threads.

    Reading one that is kept open costs a third, and succeeds where no descriptor is left to open another.

    Args:
        path: of the file; need not exist.
        limit: bytes to read at most; None: all of it.
    """

    def __init__(self, path: Path | str, limit: int | None = None) -> None:
        self.path = str(path)
        self._limit = limit
        self._fd: int | None = None
        self._pid = 0

    def read(self) -> bytes:
        """What it says now.

        Raises:
            OSError: it cannot be read; ``FileNotFoundError``: there is none.
        """
        if self._fd is not None and self._pid == os.getpid():
            try:
                return self._read(self._fd)
            except OSError:
                self.close()  # a control group that was removed and made again is another file of the same name
        self.close()
        fd = os.open(self.path, os.O_RDONLY)
        self._fd, self._pid = fd, os.getpid()  # what is below /proc/self is the process's that opened it
        return self._read(fd)

    def _read(self, fd: int) -> bytes:
        if self._limit is not None:
            return os.pread(fd, self._limit, 0)
        data = os.pread(fd, FIRST_BYTES, 0)
        while more := os.pread(fd, FIRST_BYTES, len(data)) if len(data) % FIRST_BYTES == 0 and data else b"":
            data += more
        return data

    def close(self, close: Callable[[int], None] = os.close) -> None:
        """Let go of the file; reading opens it again."""  # at the interpreter's end there is no ``os`` any more
        fd, self._fd = self._fd, None
        if fd is not None:
            close(fd)

    def __del__(self) -> None:
        """Whoever forgot to close it loses no descriptor."""
        self.close()


def or_error(read: Callable[[], T]) -> T | Exception:
    """What a reading gives, or why it failed; for readings that several metrics are made of."""
    try:
        return read()
    except Exception as error:  # noqa: BLE001 - raised again where the metric is made
        return error


def known(outcome: T | Exception) -> T:
    """What a reading gave.

    Raises:
        Exception: the reading's own, if it failed.
    """
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def reason(error: BaseException) -> str:
    """Why a metric is not known, in a few words."""
    name = "" if isinstance(error, NotHere) else type(error).__name__
    return ": ".join(part for part in (name, text_of(error)) if part)[:MAX_REASON]


def percent(value: float) -> float:
    """Between 0 and 100, to one place: more would only make the log longer.

    Raises:
        ValueError: it is no number.
    """
    if value != value:  # noqa: PLR0124 - NaN
        msg = "the share is not a number"
        raise ValueError(msg)
    return round(min(max(value, 0.0), 100.0), 1)


def number_after(data: bytes, name: bytes) -> int | None:
    """The number that follows a name at the beginning of a line; None without such a line.

    Args:
        data: the lines.
        name: with the space or colon that ends it.
    """
    at = 0 if data.startswith(name) else data.find(b"\n" + name) + 1
    if not data.startswith(name, at):
        return None
    begin = at + len(name)
    return int(data[begin : begin + DIGITS].split(None, 1)[0])
