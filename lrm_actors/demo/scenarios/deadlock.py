"""A thread of the agent waits for a lock that nobody gives back; its heartbeats stop, and it gets a new one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from lrm_actors.demo.scenarios.account import Account
from lrm_actors.demo.scenarios.stage import Missing, Stage

INDEXER = "indexer"
HEARTBEAT_TIMEOUT_S = 0.6
BEAT_S = 0.02
LOCKED_AT_MOST_S = 60.0


class Indexer:
    """A thread that needs a lock for each piece of its work, and says after each that it lives.

    Args:
        heartbeat: says so.
    """

    def __init__(self, heartbeat: Callable[[], None]) -> None:
        self._heartbeat = heartbeat
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self.lock = threading.Lock()
        self.done = 0
        """Pieces of work."""

    def restart(self) -> None:
        """Leave the thread there is to its fate, and go on with another and a new lock."""
        self.lock = threading.Lock()
        self._threads.append(threading.Thread(target=self._work, args=(self.lock,), name="indexer", daemon=True))
        self._threads[-1].start()

    def close(self) -> None:
        """End every thread. Locks must have been given back."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _work(self, lock: threading.Lock) -> None:
        while not self._ended.wait(BEAT_S):
            if not lock.acquire(timeout=LOCKED_AT_MOST_S):
                return
            lock.release()
            if lock is self.lock:  # who comes back from the dead says nothing for his successor
                self.done += 1
                self._heartbeat()


async def run(directory: Path, say: Callable[[str], None]) -> Account:
    """Take the lock and keep it."""
    stage = Stage("deadlock", directory, say)
    mode = stage.mode
    indexer = Indexer(lambda: mode.heartbeat(INDEXER))
    mode.register_component(INDEXER, restart=indexer.restart, heartbeat_timeout_s=HEARTBEAT_TIMEOUT_S)
    indexer.restart()
    held = indexer.lock
    try:
        async with stage:
            stage.breaking()
            held.acquire()
            stage.broke("a lock was taken that the indexer's thread needs, and is not given back")
            done = indexer.done
            await stage.noticed("monitor.heartbeat_missed", lambda event: event.component == INDEXER)
            await stage.chosen("restart_component", INDEXER)
            restarted = await stage.did(
                "worked", "supervisor.child_restarted", lambda event: event.child == f"component:{INDEXER}"
            )
            await stage.until(lambda: indexer.done > done + 1, "the indexer works on")
            if not held.locked():
                msg = "the lock was given back: this was no deadlock"
                raise Missing(msg)
            stage.works(f"the indexer works on with a lock of its own: {indexer.done - done} pieces since")
            stage.told(restarted)
            return stage.account()
    finally:
        if held.locked():
            held.release()
        indexer.close()
