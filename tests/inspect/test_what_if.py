"""The samples of a log judged again by other thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.memory import MemoryStore
from eventstore.records import Batch, Instant, NewEvent, StreamWrite
from lrm_actors.domain import modes, monitor
from lrm_actors.domain.behavior import Command, Context
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.signals import MonitorConfig
from lrm_actors.errors import LrmError, SettingsError, UnknownSetting
from lrm_actors.inspect import what_if
from lrm_actors.inspect.errors import BadTarget
from lrm_actors.inspect.what_if import WhatIf, parse

WALL_S = 1_700_000_000.0


class Writer:
    """Has the monitor and the modes decide, and appends what they decide: an agent without the rest of it."""

    def __init__(self, store: Any = None) -> None:
        self.seconds = 0.0
        self.store: Any = MemoryStore(self.now) if store is None else store
        self.watching, self.choosing = monitor.MonitorState(), modes.ModesState()

    def now(self) -> Instant:
        """The simulated time."""
        return Instant(WALL_S + self.seconds, 1000.0 + self.seconds, "boot")

    def watch(self, command: Command) -> None:
        """Tell the monitor something; what it makes of the health goes to the modes."""
        for event in monitor.decide(self.watching, command, Context(self.now(), "", "")).events:
            self.watching = monitor.evolve(self.watching, event)
            self._append("monitor", event)
            if isinstance(event, monitor.HealthChanged):
                self.choose(modes.ConsiderHealth(event.status, event.cause))

    def choose(self, command: Command) -> None:
        """Tell the modes something."""
        for event in modes.decide(self.choosing, command, Context(self.now(), "", "")).events:
            self.choosing = modes.evolve(self.choosing, event)
            self._append("modes", event)

    def sample(self, cpu: float | None, memory: float = 30.0) -> None:
        """One more sample, and the looks at the components after it."""
        self.seconds += 28.0
        self.watch(monitor.RecordSample(Metrics(cpu_percent=cpu, memory_percent=memory)))
        for _ in range(2):
            self.seconds += 1.0
            self.watch(monitor.RecordObservations(()))

    def _append(self, stream: str, event: object) -> None:
        self.store.append(Batch(writes=(StreamWrite(stream, (NewEvent(event, correlation_id="c"),)),)))


def busy(writer: Writer, loads: Sequence[float | None]) -> Writer:
    """Samples of these loads."""
    for load in loads:
        writer.sample(load)
    return writer


def shown(found: WhatIf) -> tuple[list[str], list[str]]:
    """The modes of both histories."""
    return [one.mode for one in found.was], [one.mode for one in found.would_be]


def test_by_a_lower_threshold_it_would_have_been_degraded() -> None:
    """A load of 75 % is no warning at 80 and one at 70, from its third sample until ten minutes after its end."""
    writer = busy(Writer(), [*[20.0] * 3, *[75.0] * 20, *[10.0] * 30])
    found = what_if.what_if(writer.store, {"cpu_threshold_warning": 70.0})
    assert ([], ["degraded", "normal"]) == shown(found)
    assert ({"cpu_threshold_warning": 80.0}, 53) == (found.before, found.samples)
    assert "health warning: cpu 75.0 % >= 70.0 % for 45 s" == found.would_be[0].cause
    (one,) = found.differences
    assert ("normal", "degraded", 840.0) == (one.was, one.would_be, one.seconds)


def test_by_a_higher_one_it_would_have_stayed_normal() -> None:
    """And so it would with the modes switched off; both are told with the settings as they were."""
    writer = busy(Writer(), [85.0] * 10)
    for changes in ({"cpu_threshold_warning": 90.0}, {"enable_modes": False}):
        found = what_if.what_if(writer.store, changes)
        assert (["degraded"], []) == shown(found)
        assert [("degraded", "normal")] == [(one.was, one.would_be) for one in found.differences]


def test_what_was_configured_and_ordered_counts() -> None:
    """The log's own settings hold but for those asked about; pins and orders to reduce the load stand."""
    writer = Writer()
    writer.watch(monitor.Configure(MonitorConfig(cpu_warning=60.0, memory_warning=50.0, memory_critical=60.0)))
    writer.choose(modes.Pin("recovery", "night"))
    busy(writer, [65.0] * 4)
    writer.choose(modes.Pin(None))
    writer.sample(65.0, memory=61.0)
    writer.choose(modes.ReduceLoad("busy"))
    found = what_if.what_if(writer.store, {"memory_threshold_critical": 70.0})
    assert (["recovery", "degraded", "minimal"], ["recovery", "degraded"]) == shown(found)
    assert {"memory_threshold_critical": 60.0} == found.before


def test_up_to_a_position() -> None:
    """What came after it is not looked at."""
    writer = busy(Writer(), [85.0] * 10)
    position = writer.store.head
    busy(writer, [10.0] * 30)
    assert ["degraded"] == shown(what_if.what_if(writer.store, {"cpu_threshold_warning": 80.0}, to=position))[0]
    assert ["degraded", "normal"] == shown(what_if.what_if(writer.store, {"cpu_threshold_warning": 80.0}))[0]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("cpu_threshold_warning", BadTarget),
        ("=70", BadTarget),
        ("cpu_threshold_wrning=70", UnknownSetting),
        ("max_log_mb=70", BadTarget),
        ("memory_budget_mb=70", BadTarget),
        ("cpu_threshold_warning=warm", SettingsError),
        ("cpu_threshold_warning=101", SettingsError),
        ("cpu_threshold_warning=nan", SettingsError),
        ("enable_modes=maybe", SettingsError),
    ],
)
def test_what_cannot_be_asked_is_refused(text: str, error: type[LrmError]) -> None:
    """Names that are no setting, or one that the log cannot tell about, and values that it cannot have."""
    with pytest.raises(error) as refused:
        parse([text])
    assert isinstance(refused.value, LrmError)
    assert refused.value.hint


def test_values_that_do_not_go_together_are_refused() -> None:
    """Not even with what the log was configured with; and no setting is given twice."""
    with pytest.raises(SettingsError):
        what_if.what_if(busy(Writer(), [10.0]).store, {"cpu_threshold_warning": 99.0})
    with pytest.raises(SettingsError):
        parse(["cpu_threshold_warning=70", "cpu_threshold_warning=75"])
    assert {"failing_components": 3, "enable_modes": False} == parse(["failing_components=3", "enable_modes=off"])


loads = st.lists(
    st.tuples(st.integers(1, 10), st.none() | st.floats(0.0, 100.0), st.floats(0.0, 100.0)), min_size=1, max_size=8
)
fallen = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["browser", "llm", "worker"])), max_size=5)


def history(runs: Any, failures: Sequence[tuple[int, str]], looks: Sequence[tuple[int, float]] = ()) -> Writer:
    """Stretches of equal samples; failures of components at some, each restarted at the next; looks at memory too.

    Of the looks, only what makes the health worse is stored.
    """
    writer = Writer()
    samples = [(cpu, memory) for count, cpu, memory in runs for _ in range(count)]
    for number, (cpu, memory) in enumerate(samples):
        writer.sample(cpu, memory)
        for at, component in failures:
            if at == number:
                writer.watch(monitor.NoteComponentFailed(component, writer.now().monotonic_s, "boot"))
            if at + 1 == number:
                writer.watch(monitor.NoteComponentRestarted(component))
        for at, percent in looks:
            if at == number:
                writer.watch(monitor.RecordPressure(Metrics(memory_percent=percent)))
    return writer


def unlike_what_was(found: WhatIf) -> list[str]:
    """The checker: where the history judged again by the log's own thresholds is not the one in the log."""
    was = [(one.mode, one.cause, one.at.monotonic_s) for one in found.was]
    again = [(one.mode, one.cause, one.at.monotonic_s) for one in found.would_be]
    return [] if was == again else [f"{was} {again}"]


@given(loads, fallen, st.lists(st.tuples(st.integers(0, 40), st.floats(50.0, 100.0)), max_size=5))
def test_by_its_own_thresholds_a_history_is_what_it_was(
    runs: Any, failures: list[tuple[int, str]], looks: list[tuple[int, float]]
) -> None:
    """The history of the mode is the fold of the samples and failures in the log: the same modes, causes and times."""
    found = what_if.what_if(history(runs, failures, looks).store, {"cpu_threshold_warning": 80.0})
    assert [] == unlike_what_was(found)
    assert () == found.differences


def test_the_checker_sees_a_history_that_depends_on_more_than_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: the time at which it is judged again is taken for the time of the samples."""
    writer = history([(10, 90.0, 30.0), (30, 10.0, 30.0)], [])
    assert [] == unlike_what_was(what_if.what_if(writer.store, {"cpu_threshold_warning": 80.0}))
    now = Context(Instant(WALL_S, 1000.0, "boot"), "", "")
    monkeypatch.setattr(what_if, "_context", lambda *_: now)
    assert [] != unlike_what_was(what_if.what_if(writer.store, {"cpu_threshold_warning": 80.0}))
