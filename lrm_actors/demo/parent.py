"""The demo's parent of one agent: starts it, listens to it, starts it again whenever it dies, tails its log.

It publishes the site's next revision when the round before is finished in the log, and lets ``Chaos`` do what is due.
The agent gets its predecessor's exit status from it, and nothing else.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import attrs
import psutil

from eventstore import Record
from eventstore.opening import system_instant
from lrm_actors.demo import telling
from lrm_actors.demo.agent_process import AgentProcess, Exited, Said
from lrm_actors.demo.chaos import Chaos, descendants
from lrm_actors.demo.compare import PROCESS_STARTED
from lrm_actors.demo.injected import Injected
from lrm_actors.demo.ledger import STEP_COMMITTED, Acknowledged, Begun
from lrm_actors.demo.plan import Planned
from lrm_actors.demo.site import Site
from lrm_actors.inspect import open_log

TAIL_POLL_S = 0.05
UNPLANNED_EXITS = 3
"""How often the agent may die without having been killed before the parent gives it up."""
BACKOFF_S = 0.1


@attrs.frozen
class Watching:
    """How the agent is to watch."""

    url: str
    rounds: int
    pace_s: float = 0.0
    poll_s: float = 0.1
    patience_s: float = 60.0
    timeout_s: float = 0.6

    def arguments(self, state: Path) -> list[str]:
        """The agent's command line."""
        named = {
            "--url": self.url,
            "--state": str(state),
            "--rounds": self.rounds,
            "--pace-s": self.pace_s,
            "--poll-s": self.poll_s,
            "--patience-s": self.patience_s,
            "--timeout-s": self.timeout_s,
        }
        return [f"{name}={value}" for name, value in named.items()]


@attrs.define
class Watched:
    """Everything the parent knows of one run when it is over."""

    acknowledged: list[Acknowledged] = attrs.Factory(list)
    begun: list[Begun] = attrs.Factory(list)
    exits: list[int] = attrs.Factory(list)
    """Exit status of each process, in order."""
    injected: list[Injected] = attrs.Factory(list)
    not_injected: int = 0
    """Faults of the plan that there was no more time for."""
    report: dict[str, Any] | None = None
    log: str = ""
    trouble: str = ""
    """Why the run did not come to its end; empty when it did."""


ROUNDS_SPARED = 2
"""Rounds at the end of a run over a site that is not ours, in which no more harm begins: with a page or two a round, a
fault that an earlier recovery has held up could otherwise fall where nobody needs the browser any more."""


def round_of(name: str) -> int:
    """The round that a step belongs to, by its name ``round 2 /page.html``."""
    return int(name.split()[1])


class Parent:
    """Runs one agent to its end. Use it once.

    Args:
        watching: what the agent shall do.
        state: directory for its log.
        site: our own site, if it is that which is watched.
        plan: the harm to be done.
        say: takes each live line.
        deadline_s: when the run is given up.
    """

    def __init__(
        self,
        watching: Watching,
        state: Path,
        *,
        site: Site | None,
        plan: tuple[Planned, ...] = (),
        say: Callable[[str], None] = lambda line: None,
        deadline_s: float = 120.0,
    ) -> None:
        self._arguments = watching.arguments(state)
        self._last_harmed_round = watching.rounds - (0 if site is not None else ROUNDS_SPARED)
        self._state = state
        self._site = site
        self._say = say
        self._deadline_s = time.monotonic() + deadline_s
        self._inbox: queue.SimpleQueue[Said | Exited | Record] = queue.SimpleQueue()
        self._agent: AgentProcess | None = None
        self._tail: threading.Thread | None = None
        self._over = threading.Event()
        self._chaos = Chaos(plan, site=site, agent=self._current, now=system_instant)
        self._watched = Watched()
        self._killed: set[int] = set()
        self._unplanned = 0
        self._up: tuple[int, dict[str, Any]] | None = None
        self._starts_read = 0

    def run(self) -> Watched:
        """Run the agent until it is done; whatever happens, none of its processes is left behind."""
        self._state.mkdir(parents=True, exist_ok=True)
        with (self._state / "agent.err").open("ab") as errors:
            try:
                self._start(errors, predecessor_exit=None)
                while not self._over.is_set():
                    self._turn(errors)
            finally:
                self._end()
        self._watched.injected = self._chaos.injected
        return self._watched

    def _turn(self, errors: IO[bytes]) -> None:
        """One thing that was heard, or one thing that is due."""
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            self._give_up("it took too long")
            return
        due_s = self._chaos.wait_s()
        heard: Said | Exited | Record | None = None
        with contextlib.suppress(queue.Empty):
            heard = self._inbox.get(timeout=left_s if due_s is None else min(left_s, due_s))
        fault = self._chaos.act()
        if fault is not None:
            self._killed |= {fault.pid} if fault.pid is not None else set()
            self._say(telling.of_fault(fault))
        match heard:
            case Said(start, message):
                self._hear(start, message)
            case Exited(_, status):
                self._exited(status, errors)
            case Record():
                self._read(heard)

    def _hear(self, start: int, message: dict[str, Any]) -> None:
        match message["say"]:
            case "up":
                self._watched.log = message["log"]
                self._follow(message["log"])
                self._up = (start, message)
                self._say_up()
            case "begun":
                self._watched.begun.append(Begun(message["step"], start))
                harmed = message["visit"] and round_of(message["name"]) <= self._last_harmed_round
                self._chaos.heard_begun(message["step"], visit=harmed)
            case "acked":
                self._watched.acknowledged.append(Acknowledged(message["step"], message["digest"], start))
                self._chaos.heard_acknowledged(message["step"])
            case "report":
                self._watched.report = message["report"]
                self._watched.not_injected = self._chaos.left
                self._chaos.end()

    def _read(self, record: Record) -> None:
        self._chaos.heard_record(record)
        if self._site is not None and record.type == STEP_COMMITTED and "changes" in record.event.result:
            self._site.publish(record.event.result["round"] + 1)
        line = telling.of_record(record)
        if line is not None:
            self._say(line)
        if record.type == PROCESS_STARTED:
            self._starts_read = record.event.start
            self._say_up()

    def _say_up(self) -> None:
        """Say that the agent is up once its log has been read that far: what it learned first is told first."""
        if self._up is not None and self._starts_read >= self._up[0]:
            self._say(telling.of_start(*self._up))
            self._up = None

    def _exited(self, status: int, errors: IO[bytes]) -> None:
        agent = self._current()
        agent.join()
        self._watched.exits.append(status)
        if self._watched.report is not None:
            if status:
                self._watched.trouble = f"the agent ended with exit status {status}"
            self._over.set()
            return
        if agent.pid not in self._killed:
            self._unplanned += 1
            self._say(f"! the agent ended by itself, with exit status {status}")
            if self._unplanned > UNPLANNED_EXITS:
                self._give_up("the agent does not stay up")
                return
        time.sleep(BACKOFF_S)
        self._start(errors, predecessor_exit=status)

    def _start(self, errors: IO[bytes], *, predecessor_exit: int | None) -> None:
        told = [] if predecessor_exit is None else [f"--predecessor-exit={predecessor_exit}"]
        number = len(self._watched.exits) + 1
        self._agent = AgentProcess(number, [*self._arguments, *told], errors, self._inbox.put)

    def _current(self) -> AgentProcess:
        assert self._agent is not None
        return self._agent

    def _follow(self, log: str) -> None:
        """Tail the log from its beginning, on a thread that lives as long as the run."""
        if self._tail is None:
            self._tail = threading.Thread(target=self._tail_log, args=(log,), name="demo-tail", daemon=True)
            self._tail.start()

    def _tail_log(self, log: str) -> None:
        reader = open_log(log)
        try:
            for record in reader.tail(poll_s=TAIL_POLL_S, stop=self._over.is_set, removed="skip"):
                self._inbox.put(record)
        finally:
            reader.close()

    def _give_up(self, why: str) -> None:
        self._watched.trouble = why
        self._over.set()

    def _end(self) -> None:
        self._over.set()
        self._chaos.end()
        if self._agent is not None:
            below = descendants(self._agent.pid)
            self._agent.stop()
            # A worker goes by itself when its agent is gone; one that does not is ended by the handle taken before.
            _, alive = psutil.wait_procs(below, timeout=3.0)
            for process in alive:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        if self._tail is not None:
            self._tail.join()
