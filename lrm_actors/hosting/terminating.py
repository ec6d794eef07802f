"""``SIGTERM`` takes an emergency checkpoint of every agent in this process, and then ends it as it would have.

Talks to the interpreter's signals, to the engines, and to the process itself. Only where nobody else handles the
signal: whoever does ends the mode himself, which saves the state as well. The handler itself only starts a thread, for
a checkpoint may need the host's loop, which runs on the thread that handles signals.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
import weakref
from types import FrameType
from typing import TYPE_CHECKING

from eventstore.errors import EventStoreError
from lrm_actors.domain import checkpointer
from lrm_actors.errors import LrmError
from lrm_actors.hosting import operations

if TYPE_CHECKING:
    from lrm_actors.hosting.engine import Engine

SAVE_S = 4.0
"""Seconds for the checkpoints. Then the process ends, whatever became of them."""
END_S = 1.0
"""Seconds that the main thread has to end the process, before it is ended without it."""
REASON = "SIGTERM: the process is asked to end"
EXIT_TERMINATED = 128 + signal.SIGTERM

_log = logging.getLogger("lrm_actors.mode")


class Termination:
    """The one of this process: installed while there is an agent to save, removed after the last."""

    def __init__(self) -> None:
        self._engines: weakref.WeakSet[Engine] = weakref.WeakSet()
        self._pid = os.getpid()
        self._begun = False

    def add(self, engine: Engine) -> None:
        """Save this agent's state on the signal from now on. On the main thread; elsewhere only if it is ours already.

        Args:
            engine: kept weakly.
        """
        self._engines.add(engine)
        if _on_main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._pid, self._begun = os.getpid(), False
            signal.signal(signal.SIGTERM, self._handle)

    def remove(self, engine: Engine) -> None:
        """Save it no more; give the signal back after the last, if this is the main thread."""
        self._engines.discard(engine)
        if not self._engines and _on_main_thread() and self._is_ours() and not self._begun:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _is_ours(self) -> bool:
        return signal.getsignal(signal.SIGTERM) == self._handle

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._begun or os.getpid() != self._pid or not self._engines:  # saved, or told once more; or a forked child
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        self._begun = True
        try:
            threading.Thread(target=self._save_and_end, name="lrm-sigterm", daemon=True).start()
        except RuntimeError:  # no thread can be had: then there is nothing to save with
            self._handle(_number, _frame)

    def _save_and_end(self) -> None:
        try:
            saving = [threading.Thread(target=save, args=(one,), daemon=True) for one in tuple(self._engines)]
            for thread in saving:
                thread.start()
            until_s = time.monotonic() + SAVE_S
            for thread in saving:
                thread.join(max(0.0, until_s - time.monotonic()))
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(END_S)
            if self._is_ours():  # the main thread never came to handle it, as before it would not have had to
                os._exit(EXIT_TERMINATED)


def save(engine: Engine) -> None:
    """Take an emergency checkpoint of an agent, unless it was taken for the same end already. Never raises."""
    if engine.exhausted or engine.running is None or not engine.capturing.can_capture:
        return
    try:
        operations.take_checkpoint(engine, REASON, kind=checkpointer.EMERGENCY, timeout_s=SAVE_S)
    except (LrmError, EventStoreError, TimeoutError) as error:
        with contextlib.suppress(Exception):
            _log.error("no emergency checkpoint: %s", error, extra=engine.context.extra())


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


TERMINATION = Termination()
"""The one of this process."""
