"""Does the planned harm: signals to the agent and its browser, faults of our own site. Nothing and nobody else.

It is driven by what the parent hears. A fault is armed when the agent begins the planned step and the one before is
recovered from, so that each can be told apart in the log; it is done its offset later.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import psutil

from eventstore import Instant, Record
from lrm_actors.demo.agent_process import AgentProcess
from lrm_actors.demo.browser import WORKER_MODULE
from lrm_actors.demo.compare import CHILD_RESTARTED, CLOSED, OPENED, PROCESS_STARTED
from lrm_actors.demo.injected import Injected
from lrm_actors.demo.plan import Kind, Planned
from lrm_actors.demo.site import Site

SITE_FAULT_S = 10.0
"""Longest time a site fault lasts when no breaker opens."""
RECOVERY_S = 20.0
"""Longest wait for a recovery, after which the next fault is done all the same."""
RECOVERY = {
    Kind.KILL_AGENT: PROCESS_STARTED,
    Kind.KILL_WORKER: CHILD_RESTARTED,
    Kind.FREEZE_WORKER: CHILD_RESTARTED,
    Kind.SITE_HANGS: CLOSED,
    Kind.SITE_FAILS: CLOSED,
}
"""The record by which a fault is recovered from."""


class Chaos:
    """Carries out one plan. Used from one thread."""

    def __init__(
        self,
        plan: tuple[Planned, ...],
        *,
        site: Site | None,
        agent: Callable[[], AgentProcess],
        now: Callable[[], Instant],
    ) -> None:
        self._left = list(plan)
        self._site = site
        self._agent = agent
        self._now = now
        self._due_s: float | None = None
        self._step = 0
        self._acknowledged = 0
        self._recovering: Injected | None = None
        self._recovered = True
        self.injected: list[Injected] = []

    @property
    def left(self) -> int:
        """How many faults are still to be done."""
        return len(self._left)

    def heard_begun(self, step: int, *, visit: bool) -> None:
        """The agent has begun a step, which is the visit of a page or not."""
        self._step = step
        if self._recovering is not None or self._due_s is not None or not visit:
            return
        if self._left and step >= self._left[0].step:
            self._due_s = time.monotonic() + self._left[0].offset_s

    def heard_acknowledged(self, step: int) -> None:
        """The agent has acknowledged a step: after a recovery, that it makes progress again."""
        self._acknowledged = step
        if self._recovered:
            self._recovering = None

    def heard_record(self, record: Record) -> None:
        """Something happened in the log."""
        fault = self._recovering
        if fault is None:
            return
        if fault.kind.of_site and record.type == OPENED:
            self._end_site_fault()
        if record.type == RECOVERY[fault.kind]:
            self._recovered = True

    def wait_s(self) -> float | None:
        """Seconds until there is something to do; None when only what is heard can bring it."""
        until = [self._due_s] if self._due_s is not None else []
        if self._recovering is not None:
            since_s = self._recovering.at.monotonic_s
            until.append(since_s + (SITE_FAULT_S if self._site_ails() else RECOVERY_S))
        return max(0.0, min(until) - time.monotonic()) if until else None

    def act(self) -> Injected | None:
        """Do what is due; returns the fault that was done, if one was."""
        now_s = time.monotonic()
        if self._recovering is not None:
            lasted_s = now_s - self._recovering.at.monotonic_s
            if lasted_s >= SITE_FAULT_S:
                self._end_site_fault()
            if lasted_s >= RECOVERY_S:
                self._recovering = None
        if self._due_s is None or now_s < self._due_s:
            return None
        self._due_s = None
        return self._do(self._left[0])

    def end(self) -> None:
        """Stop doing harm."""
        self._left.clear()
        self._due_s = self._recovering = None
        self._end_site_fault()

    def _do(self, planned: Planned) -> Injected | None:
        target = worker_of(self._agent().pid) if planned.kind in {Kind.KILL_WORKER, Kind.FREEZE_WORKER} else None
        pid = target.pid if target is not None else self._agent().pid if planned.kind is Kind.KILL_AGENT else None
        if pid is None and not planned.kind.of_site:
            return None  # there is no worker at this moment; the next step arms it again
        fault = Injected(planned.number, planned.kind, self._now(), self._step, self._acknowledged, pid)
        try:
            match planned.kind:
                case Kind.KILL_AGENT:
                    self._agent().kill()
                case Kind.KILL_WORKER if target is not None:
                    target.send_signal(signal.SIGKILL)
                case Kind.FREEZE_WORKER if target is not None:
                    target.send_signal(signal.SIGSTOP)
                case Kind.SITE_HANGS | Kind.SITE_FAILS if self._site is not None:
                    self._site.begin_fault("hang" if planned.kind is Kind.SITE_HANGS else "error")
        except psutil.NoSuchProcess:
            return None
        del self._left[0]
        self._recovering, self._recovered = fault, False
        self.injected.append(fault)
        return fault

    def _site_ails(self) -> bool:
        return self._site is not None and self._site.fault is not None

    def _end_site_fault(self) -> None:
        if self._site is not None:
            self._site.end_fault()


def descendants(pid: int) -> list[psutil.Process]:
    """All processes below this one, which must be ours; empty when it is gone."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def worker_of(agent_pid: int) -> psutil.Process | None:
    """The browser's process of an agent, by what it runs; None when there is none just now."""
    for process in descendants(agent_pid):
        try:
            if process.status() != psutil.STATUS_ZOMBIE and WORKER_MODULE in process.cmdline():
                return process
        except psutil.NoSuchProcess:
            continue
    return None
