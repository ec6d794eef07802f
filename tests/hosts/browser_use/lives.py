"""Starts the agent's process, kills it where it is to be killed, and starts it again."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import psutil

from tests.hosts.browser_use.site import ROOT, Site
from tests.hosts.browser_use.worker import RESULT

LIFE_TIMEOUT_S = 120.0
"""How long one life of the agent may take on a machine that is very busy."""
HELD = {"apple": 7, "pear": 8, "plum": 10, "quince": 11}
"""The orders that can be held up, and the steps that place them."""


class LifeFailed(AssertionError):
    """A life did not come to where it was to be killed, or to its end."""


@attrs.define
class Lives:
    """All lives of one agent in one directory."""

    directory: Path
    site: Site
    host: str = "lasting"
    number: int = 0
    kills: int = 0

    def until(self, point: str) -> None:
        """Live to a point, as ``after-model@6`` or ``in-action@apple/before``, and be killed there with SIGKILL."""
        phase, _, where = point.partition("@")
        if phase == "in-action":
            item, _, when = where.partition("/")
            self.site.hold(f"PUT /orders/{item}", when)
        process, told = self._start("" if phase == "in-action" else point)
        try:
            if phase == "in-action":
                if not self.site.wait_held():
                    raise LifeFailed(f"{item} was never ordered\n{self.said()}")
            else:
                self._wait_for(told, f"{point}\n")
        finally:
            self._kill(process, told)
            if phase == "in-action":
                self.site.release()

    def to_the_end(self) -> dict[str, Any]:
        """Live until the task is done; what came of it."""
        process, told = self._start("")
        try:
            self._wait_for(told, "end\n")
            process.wait(LIFE_TIMEOUT_S)
        finally:
            if process.poll() is None:
                self._kill(process, told)
            else:
                os.close(told)
        result: dict[str, Any] = json.loads((self.directory / RESULT).read_text())
        if "error" in result:
            raise LifeFailed(f"{result['error']}\n{self.said()}")
        return result

    def said(self) -> str:
        """The end of what this life wrote to its log."""
        return self._log.read_text(errors="replace")[-6000:]

    def browsers(self) -> list[psutil.Process]:
        """The main processes of every Chromium that lives below this directory."""
        return browsers_below(self.directory)

    def end_browsers(self) -> None:
        """Kill them, as a host does that kills a whole container."""
        end_trees(self.browsers())

    # --- inside ---------------------------------------------------------------------------------------------------

    @property
    def _log(self) -> Path:
        return self.directory / f"life-{self.number}.log"

    def _start(self, hold: str) -> tuple[subprocess.Popen[bytes], int]:
        self.number += 1
        told, telling = os.pipe()
        (self.directory / RESULT).unlink(missing_ok=True)
        command = [
            sys.executable, "-m", "tests.hosts.browser_use.worker", "--host", self.host,
            "--directory", str(self.directory), "--site", self.site.url, "--descriptor", str(telling), "--hold", hold,
        ]  # fmt: skip
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, pass_fds=(telling,), start_new_session=True
            )
        os.close(telling)
        return process, told

    def _wait_for(self, told: int, line: str) -> None:
        text, deadline = "", time.monotonic() + LIFE_TIMEOUT_S
        with selectors.DefaultSelector() as selector:
            selector.register(told, selectors.EVENT_READ)
            while line not in text:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise LifeFailed(f"{line.strip()} was not reached in {LIFE_TIMEOUT_S} s\n{self.said()}")
                data = os.read(told, 4096)
                if not data:
                    raise LifeFailed(f"ended before {line.strip()}\n{self.said()}")
                text += data.decode()
                if "end\n" in text and line != "end\n":
                    raise LifeFailed(f"came to its end before {line.strip()}\n{self.said()}")

    def _kill(self, process: subprocess.Popen[bytes], told: int) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(told)
        self.kills += 1


def browsers_below(directory: Path) -> list[psutil.Process]:
    """The main process of each Chromium whose profile lies below a directory, ended ones left out."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            below = any(word.startswith(f"--user-data-dir={directory}") for word in words)
            if below and not any(word.startswith("--type=") for word in words) and process.status() != "zombie":
                found.append(process)
    return found


def end_trees(processes: list[psutil.Process]) -> None:
    """Kill these with everything below them."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            for one in (*process.children(recursive=True), process):
                with contextlib.suppress(psutil.Error):
                    one.kill()
    psutil.wait_procs(processes, timeout=10.0)
