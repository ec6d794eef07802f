"""What the operation mode would have been by other thresholds: the samples of a log, judged again.

Talks to a reader alone. The monitor's and the modes' own functions decide, on the samples and failures that are in the
log and at the times at which they were; so by the log's own thresholds what comes out is what was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from eventstore.records import Instant, Record
from lrm_actors.domain import modes, monitor
from lrm_actors.domain.behavior import Command, Context
from lrm_actors.domain.deadlines import elapsed_s
from lrm_actors.domain.signals import MonitorConfig
from lrm_actors.errors import SettingsError, UnknownSetting
from lrm_actors.inspect.errors import BadTarget
from lrm_actors.settings import FIELDS, LongRunningSettings

CONFIG_FIELDS = {
    "cpu_threshold_warning": "cpu_warning",
    "cpu_threshold_critical": "cpu_critical",
    "memory_threshold_warning": "memory_warning",
    "memory_threshold_critical": "memory_critical",
    "failing_components": "failing_components",
    "failing_window_s": "failing_window_s",
    "monitoring_interval": "interval_s",
}
"""Settings that decide on the health, and what the monitor calls them."""
ENABLE_MODES = "enable_modes"
SETTINGS = (*CONFIG_FIELDS, ENABLE_MODES)
"""Settings that can be asked about."""


@frozen
class ModeAt:
    """A change of the mode."""

    position: int
    """Of the event that led to it."""
    at: Instant
    mode: str
    cause: str


@frozen
class Difference:
    """A stretch of time in which the two histories differ."""

    since: Instant
    until: Instant
    was: str
    would_be: str

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return elapsed_s(self.since, self.until)


@frozen
class WhatIf:
    """Two histories of the mode, and where they differ."""

    changes: dict[str, Any]
    """The settings asked about, and their values."""
    before: dict[str, Any]
    """What these settings were when the log was last configured."""
    samples: int
    first: Instant | None
    last: Instant | None
    was: tuple[ModeAt, ...]
    would_be: tuple[ModeAt, ...]
    differences: tuple[Difference, ...]
    note: str = ""
    """What has to be known besides."""


def parse(texts: Sequence[str]) -> dict[str, Any]:
    """Settings and their values from ``name=value``.

    Raises:
        BadTarget: one has no ``=``, or names a setting that does not decide on the mode.
        UnknownSetting: there is no such setting.
        SettingsError: the value is not allowed, or the setting is given twice.
    """
    known = {setting.name: setting for setting in FIELDS}
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise BadTarget(text, f"a setting and its value, {SETTINGS[0]}=70")
        if name not in known:
            raise UnknownSetting(name, ", ".join(SETTINGS), source="--what-if")
        if name not in SETTINGS:
            raise BadTarget(
                name, f"one of {', '.join(SETTINGS)}: the log does not tell what another would have changed"
            )
        if name in found:
            raise SettingsError(name, value, "given once", source="--what-if")
        found[name] = known[name].check(known[name].parse(value), "--what-if")
    return found


def what_if(reader: EventReader, changes: Mapping[str, Any], *, to: int | None = None) -> WhatIf:
    """Judge the samples of a log by other settings.

    Args:
        reader: the log.
        changes: settings and their values, see ``parse``.
        to: every event up to and including this position counts; None: all.

    Raises:
        SettingsError: the values do not go together with those of the log.
    """
    again = _Again(changes)
    was: list[ModeAt] = []
    first = last = None
    for record in _records(reader, reader.head if to is None else to):
        first, last = first or record.recorded_at, record.recorded_at
        for event in record.events:
            again.take(event, record)
            if isinstance(event, modes.ModeChanged):
                was.append(ModeAt(record.position, record.recorded_at, event.mode, event.cause))
    _check_together(changes, again.config)
    at_least_s = min(1.0, again.config.interval_s / 2)
    differences = tuple(_differences(was, again.would_be, last, at_least_s)) if last is not None else ()
    note = "" if reader.first <= 1 else f"the log begins at #{reader.first}; what was before that is not known"
    return WhatIf(
        dict(changes), _before(changes, again), again.samples, first, last, tuple(was), tuple(again.would_be),
        differences, note,
    )  # fmt: skip


def _records(reader: EventReader, to: int) -> Iterator[Record]:
    streams = (monitor.NAME, modes.NAME)
    for record in reader.read(removed="skip"):
        if record.position > to:
            return
        if record.stream in streams:
            yield record


class _Again:
    """The monitor and the modes, once more."""

    def __init__(self, changes: Mapping[str, Any]) -> None:
        self._fields = {CONFIG_FIELDS[name]: value for name, value in changes.items() if name in CONFIG_FIELDS}
        self._enable = changes.get(ENABLE_MODES)
        self.config = MonitorConfig()
        """Of the log itself, as it was last."""
        self.enabled = True
        self.samples = 0
        self.would_be: list[ModeAt] = []
        self._watching = monitor.MonitorState(config=attrs.evolve(self.config, **self._fields))
        self._choosing = modes.ModesState()
        if self._enable is not None:
            self._choosing = modes.evolve(self._choosing, modes.Configured(self._enable))

    def take(self, event: object, record: Record) -> None:
        """One event of the log."""
        match event:
            case monitor.Configured(config):
                self.config = config
                ours = attrs.evolve(config, **self._fields)
                if ours != self._watching.config:
                    self._watching = monitor.evolve(self._watching, monitor.Configured(ours))
            case monitor.Sampled(metrics, at_s):
                self.samples += 1
                self._watch(monitor.RecordSample(metrics), record, at_s)
            case monitor.PressureSeen(metrics, at_s):
                self._watch(monitor.RecordPressure(metrics), record, at_s)
            case monitor.SampleOverdue(waited_s, _, at_s):
                self._watch(monitor.SampleMissing(waited_s), record, at_s)
            case monitor.ComponentFailureNoted(component, at_s, boot_id):
                self._watch(monitor.NoteComponentFailed(component, at_s, boot_id), record)
            case monitor.ComponentRestartNoted(component):
                self._watch(monitor.NoteComponentRestarted(component), record)
            case monitor.HealthChanged():
                self._watch(monitor.RecordObservations(()), record)  # it was looked at then, whatever came of it
            case monitor.ModeNoted() | modes.ModeChanged() | modes.HealthConsidered():
                pass
            case modes.Configured(enabled):
                self.enabled = enabled
                self._choose(modes.Configure(enabled if self._enable is None else self._enable), record)
            case modes.LoadReduced(reason) if reason:
                self._choose(modes.ReduceLoad(reason), record)
            case modes.LoadReduced():
                if (until := self._choosing.reduced_until) is not None:
                    self._choose(modes.ReducedOver(until), record)
            case modes.Pinned(mode, reason):
                self._choose(modes.Pin(mode, reason), record)
            case _ if record.stream == monitor.NAME:
                self._watching = monitor.evolve(self._watching, event)

    def _watch(self, command: Command, record: Record, at_s: float | None = None) -> None:
        for event in monitor.decide(self._watching, command, _context(record, at_s)).events:
            self._watching = monitor.evolve(self._watching, event)
            if isinstance(event, monitor.HealthChanged):
                self._choose(modes.ConsiderHealth(event.status, event.cause), record)

    def _choose(self, command: Command, record: Record) -> None:
        for event in modes.decide(self._choosing, command, _context(record)).events:
            self._choosing = modes.evolve(self._choosing, event)
            if isinstance(event, modes.ModeChanged):
                self.would_be.append(ModeAt(record.position, record.recorded_at, event.mode, event.cause))


def _context(record: Record, at_s: float | None = None) -> Context:
    now = record.recorded_at if at_s is None else msgspec.structs.replace(record.recorded_at, monotonic_s=at_s)
    return Context(now=now, command_id="", correlation_id="")


def _before(changes: Mapping[str, Any], again: _Again) -> dict[str, Any]:
    own = {name: getattr(again.config, field) for name, field in CONFIG_FIELDS.items()}
    return {name: {**own, ENABLE_MODES: again.enabled}[name] for name in changes}


def _check_together(changes: Mapping[str, Any], config: MonitorConfig) -> None:
    own = {name: getattr(config, field) for name, field in CONFIG_FIELDS.items() if "threshold" in name}
    try:
        LongRunningSettings(**{**own, **{name: value for name, value in changes.items() if name in own}})
    except SettingsError as error:
        raise SettingsError(error.field, error.value, error.allowed, source="--what-if") from error


def _differences(
    was: Sequence[ModeAt], would_be: Sequence[ModeAt], end: Instant, at_least_s: float
) -> Iterator[Difference]:
    """The stretches in which one is not as the other. What was is on record a moment after what it follows from."""
    steps = [(one.position, 0, one) for one in was] + [(one.position, 1, one) for one in would_be]
    now, since, told = [modes.NORMAL, modes.NORMAL], None, [modes.NORMAL, modes.NORMAL]
    for _, which, one in sorted(steps, key=lambda step: step[:2]):
        now[which] = one.mode
        if since is not None and now != told:
            if elapsed_s(since, one.at) >= at_least_s:
                yield Difference(since, one.at, *told)
            since = None
        if since is None and now[0] != now[1]:
            since, told = one.at, [*now]
    if since is not None and elapsed_s(since, end) >= at_least_s:
        yield Difference(since, end, *told)
