"""The process that is kept alive: started in a group of its own, looked at without being reaped, then reaped.

Talks to the operating system. A process that ended is left a zombie until its group was ended too: so long neither its
pid nor the group's number can be another's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from lrm_actors.actors.sampling.tree import sight
from lrm_actors.domain.outliving import environment as names
from lrm_actors.outer.family import Member, send
from lrm_actors.outer.heartbeats import HeartbeatPipe
from lrm_actors.outer.last_words import StderrPipe

NOT_PASSED_ON = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", *names.ALL)
"""Variables that are the watchdog's own, or that it sets itself."""
KEPT_FRESH = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM", "VIRTUAL_ENV")
"""Variables of a fresh environment, besides those that begin so:"""
KEPT_FRESH_PREFIXES = ("LC_", "LRM_", "PYTHON")


class CannotStart(Exception):
    """There is no such command, or it cannot be executed."""

    def __init__(self, error: OSError, command: str) -> None:
        super().__init__(f"{command}: {error.strerror or error}")
        self.error = type(error).__name__
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        self.exit_code = 127 if missing else 126


class Child:
    """One process from its start until it was reaped.

    Args:
        command: what is executed, looked for in ``PATH``.
        variables: its environment.
        heartbeats: what it beats into.
        stderr: where its standard error goes; None: where this process's goes.

    Raises:
        CannotStart: it could not be executed.
    """

    def __init__(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        heartbeats: HeartbeatPipe,
        stderr: StderrPipe | None,
    ) -> None:
        try:
            # Not the terminal: a group in the background that reads from it is stopped.
            stdin = subprocess.DEVNULL if sys.stdin is None or os.isatty(0) else None
        except OSError:
            stdin = subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(  # noqa: S603 - what it was asked to keep alive
                list(command),
                env=dict(variables),
                stdin=stdin,
                stderr=None if stderr is None else stderr.writing,
                pass_fds=(heartbeats.writing,),
                process_group=0,
            )
        except OSError as error:
            raise CannotStart(error, command[0]) from error
        self.pid = self._process.pid
        seen = sight(self.pid)  # ended or not: before it is reaped nobody else can have its pid
        self.me = Member(self.pid, 0.0 if seen is None else seen.started)

    def ended(self) -> tuple[bool, int | None]:
        """Whether it has ended, and its exit status: negative for a signal. It stays a zombie."""
        if not hasattr(os, "waitid"):
            status = self._process.poll()
            return status is not None, status
        try:
            told = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # somebody has reaped it: this process is not ours alone
            return True, None
        if told is None:
            return False, None
        return True, told.si_status if told.si_code == os.CLD_EXITED else -told.si_status

    def send(self, number: int) -> None:
        """Send it a signal. One that asks for its end also wakes it where it is stopped."""
        if send(self.me, number) and number in {signal.SIGTERM, signal.SIGINT}:
            send(self.me, signal.SIGCONT)

    def kill_group(self) -> None:
        """Kill it with its group, whose number is its own for as long as it was not reaped."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Let go of what is left of it. It must have ended."""
        with contextlib.suppress(ChildProcessError):
            self._process.wait()


def reap_others(but: int | None) -> None:
    """Let go of adopted processes that ended, up to the one that is to stay a zombie."""
    while hasattr(os, "waitid"):
        try:
            told = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if told is None or told.si_pid == but:
            return
        with contextlib.suppress(ChildProcessError):
            os.waitpid(told.si_pid, os.WNOHANG)


def variables_for(
    *, fresh: bool, given: Mapping[str, str], settings: Mapping[str, str], told: Mapping[str, str]
) -> dict[str, str]:
    """The environment of the process.

    Args:
        fresh: only what a program needs to run at all, instead of everything of this process.
        given: this process's environment.
        settings: variables that the command line asked for.
        told: what concerns this one start.
    """

    def stays(name: str) -> bool:
        kept = not fresh or name in KEPT_FRESH or name.startswith(KEPT_FRESH_PREFIXES)
        return kept and name not in NOT_PASSED_ON

    return {name: value for name, value in given.items() if stays(name)} | dict(settings) | dict(told)
