"""Compares what was done to the agent with what its log says happened.

Every restart and every breaker opening in the log must, along its chain of causes, end at an observation; each
observation must be of one injected fault, by kind and by time; and each injected fault must have been observed. The
comparison is pure: it is given the faults and the explained records, so a wrong link can be planted and must be found.
"""

from __future__ import annotations

import signal
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from eventstore import Instant, Record
from lrm_actors.demo.injected import Injected
from lrm_actors.demo.plan import Kind

DETECTED_WITHIN_S = 15.0
"""An observation later than this is not believed to be of the fault, nor an effect of the observation."""

PROCESS_STARTED = "supervisor.process_started"
RESTART_STARTED = "supervisor.restart_started"
CHILD_RESTARTED = "supervisor.child_restarted"
OPENED = "breaker.opened"
CLOSED = "breaker.closed"
EXIT_OBSERVED = "supervisor.process_exit_observed"
COMPONENT_EXITED = "monitor.component_exited"
HEARTBEAT_MISSED = "monitor.heartbeat_missed"
FAILURES_OBSERVED = "breaker.failures_observed"
PROBE_FAILED = "breaker.probe_failed"
EXPLAINED_TYPES = (PROCESS_STARTED, RESTART_STARTED, CHILD_RESTARTED, OPENED)

FITTING = {
    PROCESS_STARTED: {EXIT_OBSERVED},
    RESTART_STARTED: {COMPONENT_EXITED, HEARTBEAT_MISSED},
    CHILD_RESTARTED: {COMPONENT_EXITED, HEARTBEAT_MISSED},
    OPENED: {FAILURES_OBSERVED, PROBE_FAILED},
}
"""The observations that each of them may go back to."""


@attrs.frozen
class Explained:
    """A restart or an opening, and where its chain of causes ends."""

    record: Record
    root: Record
    ends_at_observation: bool


@attrs.frozen
class Problem:
    """One thing that does not fit."""

    what: str
    """``unexplained``, ``does not fit``, ``no such fault``, ``explained twice``, ``noticed twice``, ``not noticed``,
    ``not recovered``."""
    detail: str
    position: int | None = None


@attrs.frozen
class Match:
    """A fault, how it was noticed, and what ended it."""

    fault: Injected
    observation: Record
    effect: Record
    """The restart or the opening."""
    recovery: Record
    """What made things whole again: the restart itself, or the closing after the opening."""

    @property
    def detected_after_s(self) -> float:
        """From the fault to its observation in the log."""
        return seconds_between(self.fault.at, self.observation.recorded_at)


@attrs.frozen
class Comparison:
    """What came of it."""

    matches: tuple[Match, ...]
    """In order of the faults."""
    problems: tuple[Problem, ...]
    explained: int
    """How many restarts and openings were looked at."""

    @property
    def ok(self) -> bool:
        """Everything fits."""
        return not self.problems


def seconds_between(earlier: Instant, later: Instant) -> float:
    """Seconds from one moment to another, negative when it is the other way round."""
    if earlier.boot_id == later.boot_id:
        return later.monotonic_s - earlier.monotonic_s
    return later.wall_s - earlier.wall_s


def compare(
    faults: Sequence[Injected],
    explained: Iterable[Explained],
    closings: Iterable[Record] = (),
    *,
    own_site: bool = True,
) -> Comparison:
    """Match faults with what the log explains by them.

    Args:
        faults: as they were injected, in order.
        explained: each process start after the first, component restart and breaker opening of the log.
        closings: each breaker closing of the log.
        own_site: the site is ours and fails only when made to; a site that is not may fail by itself.
    """
    comparing = _Comparing(tuple(faults), tuple(closings), own_site=own_site)
    everything = sorted(explained, key=lambda one: one.record.position)
    for one in everything:
        comparing.place(one)
    comparing.check_faults()
    matches = tuple(comparing.matches[number] for number in sorted(comparing.matches))
    return Comparison(matches, tuple(comparing.problems), len(everything))


def injected_kind(observation: Record) -> Kind | None:
    """The kind of fault that shows as this observation; None when there is none."""
    event = observation.event
    match observation.type:
        case "supervisor.process_exit_observed":
            return Kind.KILL_AGENT if event.exit_status == -signal.SIGKILL else None
        case "monitor.component_exited":
            return Kind.KILL_WORKER if event.exit_status == -signal.SIGKILL else None
        case "monitor.heartbeat_missed":
            return Kind.FREEZE_WORKER
        case "breaker.failures_observed":
            return _site_kind(event.failures)
    return None


def _site_kind(failures: Sequence[str]) -> Kind | None:
    if failures and all(failure.startswith("timeout:") for failure in failures):
        return Kind.SITE_HANGS
    if failures and all(failure.startswith("status 500:") for failure in failures):
        return Kind.SITE_FAILS
    return None


def _subject(record: Record) -> str:
    """Whom a record is about: the component, the service, or the process."""
    event = record.event
    if record.type in {RESTART_STARTED, CHILD_RESTARTED}:
        return str(event.child)
    if record.type in {COMPONENT_EXITED, HEARTBEAT_MISSED}:
        return f"component:{event.component}"
    if record.type in {OPENED, CLOSED, FAILURES_OBSERVED, PROBE_FAILED}:
        return f"breaker:{event.service}"
    return "process"


class _Comparing:
    """One comparison under way."""

    def __init__(self, faults: tuple[Injected, ...], closings: tuple[Record, ...], *, own_site: bool) -> None:
        self._faults = faults
        self._closings = closings
        self._own_site = own_site
        self._effects: Counter[tuple[int, str]] = Counter()
        self._observations: defaultdict[int, set[int]] = defaultdict(set)
        self.matches: dict[int, Match] = {}
        self.problems: list[Problem] = []

    def place(self, one: Explained) -> None:
        """Find the fault that explains one restart or opening."""
        record, root = one.record, one.root
        if not one.ends_at_observation:
            self._problem("unexplained", record, f"its causes end at {root.position} {root.type}, no observation")
            return
        late_s = seconds_between(root.recorded_at, record.recorded_at)
        fits = root.type in FITTING[record.type] and _subject(root) == _subject(record)
        if not fits or root.position >= record.position or not 0 <= late_s <= DETECTED_WITHIN_S:
            self._problem("does not fit", record, f"its causes end at {root.position} {root.type} of {_subject(root)}")
            return
        if record.type == OPENED and root.type == PROBE_FAILED:
            self._place_probe(one)
            return
        fault = self._fault_of(root)
        if fault is None:
            if record.type != OPENED or self._own_site:
                self._problem("no such fault", record, f"nothing injected shows as {root.position} {root.type} then")
            return
        self._effects[root.position, record.type] += 1
        # A restart that fails is started again for the same observation; it succeeds only once.
        if self._effects[root.position, record.type] > 1 and record.type != RESTART_STARTED:
            self._problem("explained twice", record, f"{root.position} {root.type} explains another one already")
            return
        self._observations[fault.number].add(root.position)
        if record.type != RESTART_STARTED:
            self._match(fault, root, record)

    def check_faults(self) -> None:
        """Find faults that nothing goes back to, or too much."""
        for fault in self._faults:
            name = f"fault {fault.number} ({fault.kind.value})"
            observed = self._observations[fault.number]
            if not observed:
                self.problems.append(Problem("not noticed", f"{name}: no restart or opening goes back to it"))
            elif len(observed) > 1:
                positions = ", ".join(map(str, sorted(observed)))
                self.problems.append(Problem("noticed twice", f"{name}: observed at {positions}"))
            elif fault.number not in self.matches:
                self.problems.append(Problem("not recovered", f"{name}: noticed, and not recovered from"))

    def _match(self, fault: Injected, root: Record, record: Record) -> None:
        recovery: Record | None = record
        if record.type == OPENED:
            after = (one for one in self._closings if one.position > record.position)
            recovery = next((one for one in after if _subject(one) == _subject(record)), None)
        if recovery is not None and fault.number not in self.matches:
            self.matches[fault.number] = Match(fault, root, record, recovery)

    def _place_probe(self, one: Explained) -> None:
        """A probe may fail for as long as the site does; the opening that came first has the fault's observation."""
        during = self._during(one.root)
        if self._own_site and (during is None or not during.kind.of_site):
            self._problem("no such fault", one.record, f"no site fault lasted when probe {one.root.position} failed")

    def _fault_of(self, observation: Record) -> Injected | None:
        fault = self._during(observation)
        return fault if fault is not None and fault.kind is injected_kind(observation) else None

    def _during(self, observation: Record) -> Injected | None:
        """The last fault injected before this observation, if that is not too long ago."""
        found: Injected | None = None
        for fault in self._faults:
            if 0 <= seconds_between(fault.at, observation.recorded_at) <= DETECTED_WITHIN_S:
                found = fault
        return found

    def _problem(self, what: str, record: Record, detail: str) -> None:
        self.problems.append(Problem(what, f"{record.position} {record.type}: {detail}", record.position))


def as_data(comparison: Comparison) -> list[dict[str, Any]]:
    """The problems as plain data."""
    return [attrs.asdict(problem) for problem in comparison.problems]
