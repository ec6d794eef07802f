"""Hooks: whoever wants to see each committed record. Ours writes them to the log of ``logging``.

A hook runs on a thread of its own, after the commit, so it can hold up nobody; and what it raises goes no further.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from eventstore.events import UnknownEvent
from eventstore.protocol import EventReader
from eventstore.records import Record
from lrm_actors.domain.modes import PROFILES
from lrm_actors.inspect.sentences import fields, sentence
from lrm_actors.telemetry.logging import LOGGER, LogContext

EVENTS_LOGGER = f"{LOGGER}.events"
"""Logger of the lines that stand for events."""

MODE_CHANGED = "modes.changed"
LEVELS = {
    # What the health and the mode are
    "monitor.health_changed": logging.INFO,
    "modes.changed": logging.INFO,
    "modes.memory_reclaimed": logging.WARNING,
    "modes.restart_asked": logging.ERROR,
    "supervisor.process_started": logging.INFO,
    "supervisor.process_stopped": logging.INFO,
    # Failures, and what is done about them
    "supervisor.child_failed": logging.WARNING,
    "supervisor.restart_scheduled": logging.WARNING,
    "supervisor.child_restarted": logging.WARNING,
    "supervisor.child_ended": logging.INFO,
    "supervisor.child_resumed": logging.WARNING,
    "supervisor.child_stopped": logging.WARNING,
    "supervisor.stopping_started": logging.WARNING,
    "supervisor.child_held": logging.INFO,
    "supervisor.children_starting": logging.WARNING,
    "supervisor.shut_down": logging.WARNING,
    "supervisor.caches_clearing_started": logging.WARNING,
    "supervisor.caches_cleared": logging.WARNING,
    "monitor.heartbeat_missed": logging.WARNING,
    "monitor.component_exited": logging.WARNING,
    "monitor.component_resumed": logging.WARNING,
    "monitor.pressure_seen": logging.WARNING,
    "monitor.sample_overdue": logging.WARNING,
    "analyzer.failure_recorded": logging.WARNING,
    "analyzer.recovery_chosen": logging.WARNING,
    "analyzer.recovery_withheld": logging.WARNING,
    "analyzer.recovery_finished": logging.WARNING,
    "analyzer.pattern_found": logging.WARNING,
    "analyzer.recovery_judged": logging.INFO,
    "analyzer.recovery_carried_out": logging.WARNING,
    "analyzer.went_on": logging.WARNING,
    "breaker.failures_observed": logging.WARNING,
    "breaker.opened": logging.WARNING,
    "breaker.probe_failed": logging.WARNING,
    "breaker.closed": logging.WARNING,
    "breaker.forced": logging.WARNING,
    "checkpointer.failed": logging.WARNING,
    "checkpointer.trouble_noted": logging.WARNING,
    "checkpointer.restored": logging.WARNING,
    "journal.step_in_doubt": logging.WARNING,
    "journal.step_repeated": logging.WARNING,
    "journal.step_abandoned": logging.WARNING,
    "journal.effect_failed": logging.WARNING,
    "journal.effect_in_doubt": logging.WARNING,
    "journal.effect_settled": logging.WARNING,
    "journal.effects_forgotten": logging.WARNING,
    "journal.task_set_aside": logging.WARNING,
    "journal.task_taken_back": logging.WARNING,
    "journal.task_forgotten": logging.WARNING,
    "journal.task_effect_settled": logging.WARNING,
    # What was lost
    "supervisor.process_exit_observed": logging.ERROR,
    "supervisor.child_given_up": logging.ERROR,
    "supervisor.escalated": logging.ERROR,
    "supervisor.host_warned": logging.ERROR,
    "checkpointer.damage_found": logging.ERROR,
    "checkpointer.change_missed": logging.ERROR,
    "deliveries.skipped": logging.ERROR,
    "dead_letters.added": logging.ERROR,
    "dead_letters.dropped": logging.ERROR,
    "dead_letters.resend_failed": logging.ERROR,
    "watchdog.exhausted": logging.CRITICAL,
    # What hangs, and what was put right by hand
    "watchdog.handler_slow": logging.WARNING,
    "watchdog.actor_taken_over": logging.ERROR,
    "dead_letters.resend_requested": logging.WARNING,
    "dead_letters.resent": logging.WARNING,
    # What the watchdog outside the process sees and does, in its own log
    "outer.process_started": logging.INFO,
    "outer.process_exited": logging.WARNING,
    "outer.start_failed": logging.ERROR,
    "outer.heartbeat_missed": logging.ERROR,
    "outer.memory_exceeded": logging.ERROR,
    "outer.kill_begun": logging.WARNING,
    "outer.restart_scheduled": logging.WARNING,
    "outer.given_up": logging.ERROR,
    "outer.watch_ended": logging.INFO,
}
"""The level of each event that is not of level DEBUG."""

SELDOM_TOLD = frozenset(("journal.effect_intended", "journal.effect_done"))
"""Events that there are thousands of and that are told of at level DEBUG alone: nobody is woken for them otherwise."""
TOLD = frozenset((*LEVELS, "journal.step_begun", "journal.step_committed"))
"""Events that are told of without DEBUG, and those that change what a line carries."""

_events = logging.getLogger(EVENTS_LOGGER)
logger = logging.getLogger(f"{LOGGER}.telemetry")


class Hook(Protocol):
    """Sees each record once, in log order, after it was committed."""

    def committed(self, record: Record) -> None:
        """Called with one record."""


class LogHook:
    """Writes a line for each record: what happened as a sentence, and the event's fields.

    Args:
        context: of the mode whose log it is; kept up to date with each record.
        logger: where the lines go.
    """

    def __init__(self, context: LogContext, logger: logging.Logger = _events) -> None:
        self._context = context
        self._logger = logger
        self._verbose = False

    def wants(self) -> frozenset[str] | None:
        """The types of events that a line may be written for as things are; None: all."""
        lowest = logging.INFO if self._verbose else logging.DEBUG
        return None if self._logger.isEnabledFor(lowest) else TOLD

    def passed(self, position: int) -> None:
        """Nothing up to a position is wanted any more."""
        self._context.passed(position)

    def committed(self, record: Record) -> None:
        """Write a line, if anybody wants it."""
        self._context.note(record)
        self._verbose = verbose_after(record, before=self._verbose)
        level = max(level_of(record), logging.INFO) if self._verbose else level_of(record)
        if not self._logger.isEnabledFor(level):
            return
        extra = self._context.extra(event=record.type, fields=fields(record))
        extra["position"] = record.position
        self._logger.log(level, "%s: %s", record.stream, sentence(record), extra=extra)


def level_of(record: Record) -> int:
    """The logging level that a record is worth."""
    level = LEVELS.get(record.type, logging.DEBUG)
    event = record.events[0] if record.events else None
    if isinstance(event, UnknownEvent):
        return level
    if record.type == "analyzer.recovery_finished" and not getattr(event, "ok", True):
        return logging.ERROR
    return level


def verbose_after(record: Record, *, before: bool) -> bool:
    """Whether everything gets a line after a record: in a mode in which failures are being recovered from."""
    if record.type != MODE_CHANGED or not record.events:
        return before
    profile = PROFILES.get(getattr(record.events[-1], "mode", ""))
    return profile is not None and profile.verbose


def dispatch(hooks: Iterable[Hook], record: Record) -> None:
    """Show a record to each hook. What one raises is logged, and keeps it from no other."""
    for hook in hooks:
        try:
            hook.committed(record)
        except Exception:
            logger.exception("a hook failed on #%d %s", record.position, record.type)


def follow(
    reader: EventReader,
    hooks: Iterable[Hook],
    *,
    after: int,
    stop: Callable[[], bool],
    poll_s: float = 0.1,
    woken: threading.Event | None = None,
    wants: Callable[[], frozenset[str] | None] = lambda: None,
    passed: Callable[[int], object] = lambda position: None,
) -> None:
    """Show every record after a position to the hooks, until ``stop()`` is true. Blocks; give it a thread.

    When the log cannot be read any more it says so once and returns; nothing is raised.

    Args:
        reader: the log.
        hooks: who sees each record.
        after: the position.
        stop: asked after each record and each wait.
        poll_s: seconds between two looks at the log.
        woken: set by whoever knows of commits, and when ``stop`` changes: it ends a wait at once, so that the looks in
            between may be seldom. To look ten times a second costs more than all else that a calm agent does.
        wants: asked before each look: the types of the records that are to be shown; None for all.
        passed: told a position up to which all that was wanted has been shown.
    """
    every = tuple(hooks)
    try:
        for record in _records(reader, after, stop, poll_s, woken or threading.Event(), wants=wants):
            if isinstance(record, int):
                passed(record)
            else:
                dispatch(every, record)
    except Exception:
        if not stop():
            logger.exception("hooks see no more records: the log cannot be read")


def _records(
    reader: EventReader,
    after: int,
    stop: Callable[[], bool],
    poll_s: float,
    woken: threading.Event,
    *,
    wants: Callable[[], frozenset[str] | None],
) -> Iterator[Record | int]:
    """Each record, and each position up to which there are no more."""
    while True:
        woken.clear()  # before the look: whatever comes after it is seen by the next one
        if stop():
            return
        types, head = wants(), reader.head
        for record in reader.read(after=after, up_to=head, types=types, removed="skip"):
            after = record.position
            yield record
            if stop():
                return
            if wants() != types:
                break
        else:
            after = max(after, head)
            yield after
            if not stop():
                woken.wait(poll_s)
