"""The agent as its parent sees it: a process that is started, listened to, and started again when it has died."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import attrs

AGENT_MODULE = "lrm_actors.demo.agent"
STOP_TIMEOUT_S = 10.0


@attrs.frozen
class Said:
    """The agent said something."""

    start: int
    """Which start of the agent it was, from 1."""
    message: dict[str, Any]


@attrs.frozen
class Exited:
    """The agent's process is gone."""

    start: int
    status: int
    """Negative: ended by that signal."""


class AgentProcess:
    """One life of the agent.

    Args:
        start: which one, from 1.
        arguments: the agent's own, see ``lrm_actors.demo.agent``.
        errors: where its stderr goes.
        deliver: called with each ``Said``, and at last with ``Exited``, on a thread of this object.
    """

    def __init__(
        self, start: int, arguments: list[str], errors: IO[bytes], deliver: Callable[[Said | Exited], None]
    ) -> None:
        self.start = start
        self._deliver = deliver
        # A session of its own: a Ctrl-C in the terminal is for the parent, which then ends the agent in order.
        self._process = subprocess.Popen(
            [sys.executable, "-m", AGENT_MODULE, "--with-parent", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            env=_environment(),
        )
        self._listener = threading.Thread(target=self._listen, name=f"agent-{start}", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """End it at once, by SIGKILL. Only ever this very process: its exit status has not been collected yet."""
        self._process.kill()

    def stop(self) -> None:
        """Ask it to end in order, then see to it that it has."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(STOP_TIMEOUT_S)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.kill()
        self.join()

    def join(self) -> None:
        """Wait until everything it said is delivered."""
        self._listener.join()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith(b"\n"):  # without one it was killed in the middle of the line
                self._deliver(Said(self.start, json.loads(line)))
        self._deliver(Exited(self.start, self._process.wait()))


def _environment() -> dict[str, str]:
    """Ours, such that the same package is found from a checkout, and nothing is imported from the current directory."""
    root = Path(__file__).resolve().parents[2]
    added = [] if root.name in {"site-packages", "dist-packages"} else [str(root)]
    paths = [*added, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONSAFEPATH": "1"}
