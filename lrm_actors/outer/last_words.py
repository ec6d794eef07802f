"""What the process writes to standard error: passed on as it comes, and its end kept for the report.

Talks to descriptors. Nothing here ever waits: who does not read the watchdog's own standard error loses some of it, and
holds up neither the watchdog nor the process.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque

READ_BYTES = 65_536
WAITING_MAX = 1_048_576
"""Bytes that wait for a slow reader at most; what comes then is dropped."""
KEPT_BYTES = 4_096
"""Of the end of what was written, for the record."""
AT_ONCE = 512
"""Bytes that a pipe which can be written takes without waiting (POSIX)."""


class StderrPipe:
    """The pipe of one process, and of what it started."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self._tail = bytearray()
        self._open = True

    def handed_over(self) -> None:
        """The process has its end: let go of ours."""
        if self._open:
            os.close(self.writing)
            self._open = False

    def came(self) -> bytes | None:
        """What came since the last look; None: nobody can write to it any more."""
        try:
            data = os.read(self.reading, READ_BYTES)
        except BlockingIOError:
            return b""
        self._tail += data
        del self._tail[:-KEPT_BYTES]
        return data or None

    def last_words(self, lines: int) -> str:
        """The last so many lines of it, up to 4 KiB."""
        return "\n".join(self._tail.decode("utf-8", "replace").splitlines()[-lines:]) if lines else ""

    def close(self) -> None:
        """Let go of it."""
        self.handed_over()
        os.close(self.reading)


class SlowWriter:
    """Writes to a descriptor that somebody else owns, as much as it takes without waiting.

    Args:
        descriptor: left as it is: to make it non-blocking would make it so for all who share it. One that is closed
            now stays so: whatever is opened under its number later is not what was meant.
    """

    def __init__(self, descriptor: int = 2) -> None:
        self.descriptor = descriptor
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._dropped = 0
        self._gone = _is_closed(descriptor)

    @property
    def waits(self) -> bool:
        """Whether there is something to write."""
        return bool(self._waiting) and not self._gone

    def write(self, data: bytes) -> None:
        """Write, now or later."""
        if self._gone:
            return
        if self._size + len(data) > WAITING_MAX:
            self._dropped += len(data)
            return
        self._add(data)
        self.go_on()

    def go_on(self) -> None:
        """Write as much as can be written now."""
        while self.waits and self._can_write():
            data = self._waiting.popleft()
            try:
                written = os.write(self.descriptor, data[:AT_ONCE])
            except BlockingIOError:
                self._waiting.appendleft(data)
                return
            except OSError:  # nobody reads it any more, or it is closed
                self._gone = True
                self._waiting.clear()
                return
            self._size -= written
            if data[written:]:
                self._waiting.appendleft(data[written:])
            if not self._waiting and self._dropped:
                dropped, self._dropped = self._dropped, 0
                self._add(f"\nlrm run: {dropped} bytes were dropped, because nobody read them\n".encode())

    def finish(self, patience_s: float) -> None:
        """Write what waits, for so long at most."""
        until_s = time.monotonic() + patience_s
        while self.waits and (left_s := until_s - time.monotonic()) > 0:
            if select.select((), (self.descriptor,), (), left_s)[1]:
                self.go_on()

    def _add(self, data: bytes) -> None:
        self._waiting.append(data)
        self._size += len(data)

    def _can_write(self) -> bool:
        try:
            return bool(select.select((), (self.descriptor,), (), 0)[1])
        except (OSError, ValueError):
            self._gone = True
            return False


def _is_closed(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False
