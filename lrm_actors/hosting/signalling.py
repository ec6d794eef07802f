"""``SIGUSR1`` prints the tree of every agent that runs in this process to standard error.

Talks to the interpreter's signals and to a daemon thread that prints. The handler itself only wakes that thread; it
looks at nothing and takes no lock. A handler of Python's runs on the main thread between two of its instructions, so
where nobody else has asked for it, the interpreter also writes each signal to a descriptor of ours at once
(``signal.set_wakeup_fd``), and a main thread that is stuck in native code is no hindrance.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)

DUMP_SIGNAL: int = getattr(signal, "SIGUSR1", 0)
"""0 where the platform has no such signal."""
PRINT_WAIT_S = 5.0
"""Seconds that standard error has to take what is printed, before the rest is dropped."""
_BY_HAND = 0
"""What our handler writes; the interpreter writes the signal's number."""

Show = Callable[[], str]


class SignalDump:
    """The one of this process: installed while there is somebody to show, removed after the last."""

    def __init__(self) -> None:
        self._shown: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._ends: tuple[socket.socket, socket.socket] | None = None
        self._installed = False
        self._caught_natively = False

    def prepare(self) -> None:
        """Do what the next ``add`` needs and an event loop should not wait for: look at a file, start a thread."""
        with self._lock:
            if DUMP_SIGNAL and not self._installed and self._ends is None:
                self._caught_natively = _caught_natively(DUMP_SIGNAL)
                self._begin()

    def add(self, shown: Any, *, replace: bool = False) -> bool:
        """Print ``shown.tree()`` too from now on. Returns whether the signal is ours.

        Called on the main thread, as the interpreter wants it; elsewhere a signal is not taken over, only served if it
        is ours already. A handler that somebody else has set is never replaced without being asked.

        Args:
            shown: kept weakly.
            replace: take the signal from whoever has it.
        """
        with self._lock:
            self._shown.add(shown)
            if not self._installed:
                if DUMP_SIGNAL and _on_main_thread() and (replace or self._is_free()):
                    self._install()
                else:
                    self._close()
            return self._installed

    def _is_free(self) -> bool:
        return signal.getsignal(DUMP_SIGNAL) is signal.SIG_DFL and not self._caught_natively

    def remove(self, shown: Any) -> None:
        """Print it no more; give the signal back after the last, if this is the main thread."""
        with self._lock:
            self._shown.discard(shown)
            if self._installed and not self._shown and _on_main_thread():
                self._uninstall()

    def abandon(self) -> None:
        """In a forked child, whose copy of the descriptors would wake its parent: forget everything."""
        self._lock = threading.Lock()
        if self._installed:
            self._uninstall()
        self._close()
        self._shown = weakref.WeakSet()

    def _begin(self) -> None:
        """Start the thread that prints."""
        reading, writing = self._ends = socket.socketpair()
        writing.setblocking(False)
        try:
            threading.Thread(target=self._wait, args=(reading,), name="lrm-signal-dump", daemon=True).start()
        except RuntimeError as error:
            self._close()
            reading.close()
            logger.warning("no thread to print on a signal: %s", error)

    def _install(self) -> None:
        if self._ends is None:
            self._begin()
        if self._ends is None:
            return
        signal.signal(DUMP_SIGNAL, self._handle)
        if _wakeup_fd() == -1:  # else it is an event loop's, whose signals would be lost
            signal.set_wakeup_fd(self._ends[1].fileno(), warn_on_full_buffer=False)
        self._installed = True

    def _uninstall(self) -> None:
        assert self._ends is not None
        self._installed = False
        with contextlib.suppress(ValueError, OSError):
            if signal.getsignal(DUMP_SIGNAL) == self._handle:
                signal.signal(DUMP_SIGNAL, signal.SIG_DFL)
            if _wakeup_fd() == self._ends[1].fileno():
                signal.set_wakeup_fd(-1)
        self._close()

    def _close(self) -> None:
        ends, self._ends = self._ends, None
        if ends is not None:
            reading, writing = ends
            with contextlib.suppress(OSError):
                if os.getpid() == _pid:
                    reading.shutdown(socket.SHUT_RDWR)  # the thread reads the end, and closes its own
            writing.close()
            if os.getpid() != _pid:
                reading.close()

    def _handle(self, _signal_number: int, _frame: FrameType | None) -> None:
        ends = self._ends
        if ends is not None:
            with contextlib.suppress(OSError):
                ends[1].send(bytes((_BY_HAND,)))

    def _wait(self, reading: socket.socket) -> None:
        told_at_once = False
        with reading:
            while True:
                try:
                    signals = reading.recv(256)
                except OSError:
                    return
                if not signals:
                    return
                # The interpreter's own note comes first and the handler's after it, of one signal or of several.
                if DUMP_SIGNAL in signals:
                    told_at_once = _BY_HAND not in signals
                elif _BY_HAND not in signals:
                    continue  # another signal
                elif told_at_once:
                    told_at_once = False
                    continue
                self._print()

    def _print(self) -> None:
        shown = list(self._shown)
        texts = []
        for one in shown:
            try:
                texts.append(one.tree())
            except Exception as error:  # noqa: BLE001 - whatever state it is in, the next signal must find this thread
                texts.append(f"an agent cannot be shown: {type(error).__name__}: {error}")
        text = "\n\n".join(texts) or "no agent runs in this process"
        _write(f"--- lrm, process {os.getpid()} ---\n{text}\n---\n")


def _write(text: str) -> None:
    """To standard error itself: Python's own stream may be locked by the thread that hangs."""
    if sys.__stderr__ is None:  # it was closed: what has its number now is somebody's file
        return
    left = memoryview(text.encode("utf-8", "replace"))
    try:
        fd = sys.__stderr__.fileno()
        while left:
            if not select.select((), (fd,), (), PRINT_WAIT_S)[1]:
                return
            left = left[os.write(fd, left[:512]) :]  # as much as a pipe that can be written takes without waiting
    except (OSError, ValueError):  # closed: there is nobody to tell
        return


def _caught_natively(number: int) -> bool:
    """Whether something catches a signal that Python has no handler for, as ``faulthandler.register`` does."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123 - no path of ours
            caught = next((line for line in status if line.startswith("SigCgt:")), "SigCgt: 0")
        return signal.getsignal(number) is signal.SIG_DFL and bool(int(caught.split()[1], 16) >> (number - 1) & 1)
    except (OSError, ValueError, IndexError):  # the platform does not tell
        return False


def _wakeup_fd() -> int:
    """The descriptor that the interpreter writes signals to, -1 for none. It can only be asked for by replacing it.

    What arrives in that moment is handed on to whose it is.
    """
    reading, writing = socket.socketpair()
    with reading, writing:
        reading.setblocking(False)
        writing.setblocking(False)
        now = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        signal.set_wakeup_fd(now)
        with contextlib.suppress(OSError):
            missed = reading.recv(256)
            if now != -1:
                os.write(now, missed)
    return now


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


_pid = os.getpid()
SIGNAL_DUMP = SignalDump()


def _in_child() -> None:
    SIGNAL_DUMP.abandon()
    global _pid  # noqa: PLW0603 - the child is another process
    _pid = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
