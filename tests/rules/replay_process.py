"""A program that replays a log while everything it reaches for is written down; prints what it was, as JSON.

``python -m tests.rules.replay_process LOG PLANT ...``: once for each plant, for which the fold of the journal does what
no fold may do; ``none`` is as it should be.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import random
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import attrs

from lrm_actors.domain import journal
from lrm_actors.domain.behavior import Spec
from lrm_actors.inspect.folds import Folds, open_log
from lrm_actors.inspect.replay import state_at
from lrm_actors.runtime.recovery import recover_state
from tests.machines.world import specs

FORBIDDEN_EVENTS = (
    "open", "os.", "socket.", "subprocess.", "shutil.", "tempfile.", "glob.", "pathlib.", "urllib.", "http.", "import",
    "ctypes.", "mmap", "fcntl.", "signal.", "_thread.", "time.",
)  # fmt: skip
"""Audit events, by how they begin, that replay may not raise; ``compile`` and ``exec`` evaluate our own type hints."""
CLOCKS = frozenset(
    (
        time.time, time.time_ns, time.monotonic, time.monotonic_ns, time.perf_counter, time.perf_counter_ns,
        time.process_time, time.gmtime, time.localtime, time.sleep, os.urandom, os.times,
    )
)  # fmt: skip
"""Built-in functions that raise no audit event, by which time and chance come in."""
CLOCK_METHODS = frozenset(("now", "utcnow", "today", "random", "getrandbits"))


def plants() -> dict[str, Callable[[], object]]:
    """What an impure fold might do."""
    return {
        "clock": time.time,
        "date": dt.datetime.now,
        "monotonic": time.monotonic,
        "chance": random.random,
        "id": uuid.uuid4,
        "file": lambda: Path(__file__).read_text(),
        "listing": lambda: os.listdir("/"),  # noqa: PTH208 - the call itself is what is planted
        "environment": lambda: os.environ.update(LRM_PLANTED="1"),
        "network": lambda: socket.create_connection(("127.0.0.1", 9), timeout=0.1),
        "process": lambda: subprocess.run(["true"], check=False),
    }


class Watch:
    """Writes down what is reached for while it is armed."""

    def __init__(self, log: Path) -> None:
        self._log = str(log)
        self._armed = False
        self.touched: list[str] = []
        sys.addaudithook(self._on_event)

    def arm(self) -> None:
        """From here on."""
        sys.setprofile(self._on_call)
        self._armed = True

    def disarm(self) -> None:
        """Up to here."""
        self._armed = False
        sys.setprofile(None)

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._armed:
            return
        elsewhere = event == "sqlite3.connect" and self._log not in str(arguments[0])
        if elsewhere or event.startswith(FORBIDDEN_EVENTS):
            self.touched.append(f"{event} {arguments[:1]}")

    def _on_call(self, _frame: FrameType, event: str, function: Any) -> None:
        if self._armed and event == "c_call" and (function in CLOCKS or _is_clock(function)):
            self.touched.append(f"{getattr(function, '__module__', '')}.{function.__name__}")


def _is_clock(function: Any) -> bool:
    owner = getattr(function, "__self__", None)
    kinds = (random.Random, dt.date)
    ours = isinstance(owner, kinds) or (isinstance(owner, type) and issubclass(owner, kinds))
    return ours and function.__name__ in CLOCK_METHODS


def impure(spec: Spec[Any], plant: str) -> Spec[Any]:
    """The same actor, but its fold does what is planted."""
    reach_out = plants()[plant]

    def evolve(state: Any, fact: Any) -> Any:
        with contextlib.suppress(OSError):  # nobody listens there; that it was tried is enough
            reach_out()
        return spec.evolve(state, fact)

    return attrs.evolve(spec, evolve=evolve)


def replay(log: Path, plant: str, watch: Watch) -> tuple[int, list[str]]:
    """Recover every actor and replay it to every position: how much was folded, and what was touched on the way."""
    planted = plant != "none"
    actors = [impure(spec, plant) if planted and spec.name == journal.NAME else spec for spec in specs()]
    folds = Folds(tuple(actors))
    with open_log(log) as reader:
        watch.arm()
        folded = 0
        for spec in actors:
            _, version = recover_state(reader, spec)
            folded += version
            for record in reader.read_stream(spec.name):
                for snapshots in (True, False):
                    folded += state_at(reader, spec.name, record.position, folds=folds, snapshots=snapshots).folded
        watch.disarm()
    touched, watch.touched = watch.touched, []
    return folded, list(dict.fromkeys(touched))


def main(log: Path, *wanted: str) -> None:
    """Replay once for each plant that is wanted."""
    watch = Watch(log)
    print(json.dumps({plant: replay(log, plant, watch) for plant in wanted}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
