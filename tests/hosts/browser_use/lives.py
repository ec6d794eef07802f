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
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import psutil

from tests.hosts.browser_cases import ARGUMENTS, chromium
from tests.hosts.browser_use.site import ROOT, Site
from tests.hosts.browser_use.worker import RESULT

LIFE_TIMEOUT_S = 120.0
"""How long one life of the agent may take on a machine that is very busy."""
HELD = {"apple": 7, "pear": 8, "plum": 10, "quince": 11}
"""The orders that can be held up, and the steps that place them."""


class LifeFailed(AssertionError):
    """A life did not come to where it was to be killed, or to its end."""


@attrs.define
class Life:
    """One process, and the pipes to it."""

    process: subprocess.Popen[bytes]
    told: int
    go_on: int
    log: Path
    text: str = ""
    """What it told and nobody waited for yet."""

    def wait_for(self, point: str) -> None:
        """Until it is where it stops, or at its ``end``."""
        deadline, line = time.monotonic() + LIFE_TIMEOUT_S, f"{point}\n"
        with selectors.DefaultSelector() as selector:
            selector.register(self.told, selectors.EVENT_READ)
            while line not in self.text:
                if "end\n" in self.text:
                    raise LifeFailed(f"came to its end before {point}\n{self.said()}")
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise LifeFailed(f"{point} was not reached in {LIFE_TIMEOUT_S} s\n{self.said()}")
                data = os.read(self.told, 4096)
                if not data:
                    raise LifeFailed(f"ended before {point}\n{self.said()}")
                self.text += data.decode()
        self.text = self.text.replace(line, "", 1)

    def let_go_on(self) -> None:
        """Go on from where it stopped."""
        os.write(self.go_on, b"x")

    def kill(self) -> None:
        """End it with SIGKILL, if it has not ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.told)
        os.close(self.go_on)

    def said(self) -> str:
        """The end of what it wrote to its log."""
        return self.log.read_text(errors="replace")[-6000:]


@attrs.define
class Lives:
    """All lives of one agent in one directory."""

    directory: Path
    site: Site
    host: str = "lasting"
    planted: str = ""
    number: int = 0
    kills: int = 0

    def until(self, point: str) -> None:
        """Live to a point, as ``after-model@6`` or ``in-action@apple/before``, and be killed there with SIGKILL."""
        phase, _, where = point.partition("@")
        if phase == "in-action":
            item, _, when = where.partition("/")
            self.site.hold(f"PUT /orders/{item}", when)
        life = self.begin([] if phase == "in-action" else [point])
        try:
            if phase != "in-action":
                life.wait_for(point)
            elif not self.site.wait_held():
                raise LifeFailed(f"{item} was never ordered\n{life.said()}")
        finally:
            life.kill()
            self.kills += 1
            if phase == "in-action":
                self.site.release()

    def to_the_end(self) -> dict[str, Any]:
        """Live until the task is done; what came of it."""
        life = self.begin([])
        try:
            return self.end_of(life)
        finally:
            life.kill()

    def end_of(self, life: Life) -> dict[str, Any]:
        """Wait for the end of a life; what came of it."""
        life.wait_for("end")
        life.process.wait(LIFE_TIMEOUT_S)
        result: dict[str, Any] = json.loads((self.directory / RESULT).read_text())
        if "error" in result:
            raise LifeFailed(f"{result['error']}\n{life.said()}")
        return result

    def begin(self, hold: Iterable[str], *, go_on: bool = False, more: Iterable[str] = ()) -> Life:
        """Start a life that stops at some points, for good or until it is let go on.

        Args:
            hold: the points.
            go_on: it may be let go on.
            more: further arguments of the worker.
        """
        self.number += 1
        told, telling = os.pipe()
        waiting, letting = os.pipe()
        (self.directory / RESULT).unlink(missing_ok=True)
        command = [
            sys.executable, "-m", "tests.hosts.browser_use.worker", "--host", self.host, "--directory",
            str(self.directory), "--site", self.site.url, "--descriptor", str(telling),
            *(["--go-on", str(waiting)] if go_on else []), *more,
            *(["--planted", self.planted] if self.planted else []), "--hold", *hold,
        ]  # fmt: skip
        path = self.directory / f"life-{self.number}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, pass_fds=(telling, waiting), start_new_session=True
            )
        os.close(telling)
        os.close(waiting)
        return Life(process, told, letting, path)

    def browsers(self) -> list[psutil.Process]:
        """The main processes of every Chromium that lives below this directory."""
        return browsers_below(self.directory)

    def end_browsers(self) -> None:
        """Kill them, as a host does that kills a whole container."""
        end_trees(self.browsers())


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


@contextlib.contextmanager
def someones_browser(directory: Path) -> Iterator[psutil.Process]:
    """A Chromium of somebody else, which looks as much as possible like one of an agent."""
    path = chromium()
    if path is None:
        raise LifeFailed("there is no Chromium here")
    arguments = [*ARGUMENTS, "--remote-debugging-port=0", f"--user-data-dir={directory / 'profile'}", "about:blank"]
    process = subprocess.Popen(
        [path, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stderr is not None
        with process.stderr as said:
            next(line for line in said if b"DevTools listening on" in line)
        yield psutil.Process(process.pid)
    finally:
        with contextlib.suppress(psutil.Error):
            end_trees([psutil.Process(process.pid)])
        process.wait()
