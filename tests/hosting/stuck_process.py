"""A process that hangs, run by a test: ``python -m tests.hosting.stuck_process WHAT DIRECTORY``.

``agent``: an agent without an event loop, one of whose actors hangs in its handler, and whose main thread then hangs in
native code for ever. ``signal``: only the main thread, with the signal taken; ``planted``: the same, where the
interpreter tells of no signal at once.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from typing import Any


def hang_in_native_code() -> None:
    """Lock a mutex twice. No signal ends that, and no handler of Python's runs meanwhile."""
    lock, mutex = ctypes.CDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(128)
    lock(mutex)
    lock(mutex)


def agent(directory: str) -> None:
    """Never ends."""
    import attrs

    from lrm_actors import Command, LongRunningMode, LongRunningSettings, Spec

    @attrs.frozen
    class Nothing:
        pass

    @attrs.frozen
    class HangForEver(Command):
        password: str = "hunter2"

    entered = threading.Event()

    def decide_and_hang(_state: Nothing, _command: Any, _ctx: Any) -> Any:
        entered.set()
        threading.Event().wait()  # here it hangs

    settings = LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=directory, monitoring_interval=3600.0)
    with LongRunningMode(settings) as mode:
        running = mode._engine.running
        assert running is not None
        running.system.spawn(Spec("stuck", Nothing(), decide_and_hang, lambda state, fact: state))
        running.system.tell("stuck", HangForEver())
        assert entered.wait(30)
        for _ in range(2):
            running.system.tell("stuck", HangForEver())
        while not mode.inspection.get_status("stuck").stack:
            threading.Event().wait(0.01)
        print("ready", flush=True)
        hang_in_native_code()


def take_signal(what: str) -> None:
    """Never ends."""
    from lrm_actors.hosting.signalling import SIGNAL_DUMP

    class Shown:
        def tree(self) -> str:
            return "a tree"

    if what == "planted":
        signal.set_wakeup_fd = lambda *fd, **options: -1
    shown = Shown()
    SIGNAL_DUMP.add(shown)
    print("ready", flush=True)
    hang_in_native_code()


if __name__ == "__main__":
    if sys.argv[1] == "agent":
        agent(sys.argv[2])
    else:
        take_signal(sys.argv[1])
