"""What the monitor makes of memory found scarce between two samples."""

from __future__ import annotations

from typing import Any

import pytest

from lrm_actors.domain import checkpointer, monitor
from lrm_actors.domain.metrics import METRICS, Metrics, overlaid
from lrm_actors.domain.monitor import HealthChanged, MonitorState, PressureSeen, RecordPressure, RecordSample
from lrm_actors.domain.monitoring.events import Sampled
from lrm_actors.wiring import WIRES
from tests.domain.kit import Run, at


@pytest.fixture
def run() -> Run[MonitorState]:
    """A monitor that has just come to life."""
    return Run.of(monitor.spec())


def memory(percent: float | None) -> RecordPressure:
    """What was found of memory."""
    return RecordPressure(Metrics(memory_percent=percent, unknown={} if percent else {"memory_percent": "it broke"}))


def sample(cpu: float, percent: float) -> RecordSample:
    """A full sample."""
    return RecordSample(Metrics(cpu_percent=cpu, memory_percent=percent, thread_count=7))


def test_scarce_memory_is_critical_at_once(run: Run[MonitorState]) -> None:
    """It is put on record, changes the health, and leaves what the last sample said of everything else."""
    for _ in range(3):
        run.seconds += 30.0
        run.tell(sample(85.0, 50.0))
    seen, changed = run.tell(memory(97.0))
    assert isinstance(seen, PressureSeen)
    assert {"cpu": "warning", "memory": "critical"} == seen.levels
    assert isinstance(changed, HealthChanged)
    assert ("warning", "critical", "memory 97.0 % >= 95.0 %") == (changed.previous, changed.status, changed.cause)
    assert run.state.last is not None
    assert (85.0, 97.0, 7) == (run.state.last.cpu_percent, run.state.last.memory_percent, run.state.last.thread_count)
    assert 3 == run.state.samples


def test_only_what_is_worse_is_stored(run: Run[MonitorState]) -> None:
    """However often it is looked at, the log grows by what is new; and what is better waits for a sample."""
    run.tell(sample(10.0, 50.0))
    assert () == run.tell(memory(60.0))
    assert () == run.tell(memory(85.0))
    assert 2 == len(run.tell(memory(95.0)))
    assert () == run.tell(memory(99.0))
    assert () == run.tell(memory(10.0))
    assert "critical" == run.state.status
    for _ in range(11):
        run.seconds += 30.0
        run.tell(sample(10.0, 10.0))
    assert "warning" == run.state.status


def overloaded(run: Run[MonitorState]) -> None:
    """The CPU has been saturated until that was critical."""
    for _ in range(9):
        run.seconds += 30.0
        run.tell(sample(100.0, 50.0))
    assert ("critical", {"cpu": "critical"}) == (run.state.status, run.state.levels)


@pytest.mark.parametrize("tell", [memory, lambda percent: sample(100.0, percent)])
def test_memory_is_not_overlooked_while_something_else_is_critical(run: Run[MonitorState], tell: Any) -> None:
    """Whoever saves the state and gives memory back is told once, by a look or by a sample; the cause names both."""
    overloaded(run)
    changed_at = run.state.changed_at
    seen, told = run.tell(tell(97.0))
    assert isinstance(seen, PressureSeen | Sampled)
    assert isinstance(told, HealthChanged)
    assert ("critical", "critical", ("cpu", "memory")) == (told.previous, told.status, told.signals)
    assert told.cause.endswith(", memory 97.0 % >= 95.0 %")
    assert told.cause.startswith("cpu 100.0 % >= 95.0 % for ")
    assert (told.cause, changed_at) == (run.state.cause, run.state.changed_at)
    assert () == run.tell(memory(99.0))
    run.seconds += 30.0
    assert [Sampled] == [type(event) for event in run.tell(sample(100.0, 99.0))]


@pytest.mark.parametrize("tell", [memory, lambda percent: sample(10.0, percent)])
def test_memory_is_not_overlooked_while_components_fail(run: Run[MonitorState], tell: Any) -> None:
    """The state is saved and memory given back though nothing is worse than failing; the cause names both, once."""
    run.tell(sample(10.0, 50.0))
    for name in ("browser", "llm"):
        run.tell(monitor.NoteComponentFailed(name, at(run.seconds).now.monotonic_s, run.boot_id))
    assert "failing" == run.state.status
    _, told = run.tell(tell(97.0))
    assert isinstance(told, HealthChanged)
    assert ("failing", "failing", ("memory",)) == (told.previous, told.status, told.signals)
    assert "2 components failed within 60 s: browser, llm; memory 97.0 % >= 95.0 %" == told.cause == run.state.cause
    assert () == run.tell(memory(99.0))


def test_memory_that_runs_out_as_the_components_are_well_again_is_told_first(run: Run[MonitorState]) -> None:
    """The health gets better by the sample after it: a checkpoint is for the limit, and none for being better."""
    run.tell(sample(10.0, 50.0))
    for name in ("browser", "llm"):
        run.tell(monitor.NoteComponentFailed(name, at(run.seconds).now.monotonic_s, run.boot_id))
    run.seconds += 61.0  # the window is over
    changes = [event for event in run.tell(sample(10.0, 97.0)) if isinstance(event, HealthChanged)]
    run.seconds += 30.0
    changes += [event for event in run.tell(sample(10.0, 97.0)) if isinstance(event, HealthChanged)]
    assert [("failing", "failing"), ("failing", "critical")] == [(one.previous, one.status) for one in changes]


def test_a_limit_that_is_reached_once_more_is_told_once_more(run: Run[MonitorState]) -> None:
    """Also by a look: the rung is critical yet when the next process, or the next leak, is at the limit already."""
    run.tell(sample(10.0, 97.0))
    run.seconds += 30.0
    run.tell(sample(10.0, 92.0))  # within the margin: not left
    assert () == run.tell(memory(96.0))
    run.seconds += 30.0
    run.tell(sample(10.0, 12.0))
    assert ("critical", "critical") == (run.state.status, run.state.levels["memory"])
    seen, told = run.tell(memory(96.0))
    assert isinstance(seen, PressureSeen)
    assert isinstance(told, HealthChanged)
    assert ("critical", "critical", "memory 96.0 % >= 95.0 %") == (told.previous, told.status, told.cause)


def test_a_look_adds_to_how_long_memory_has_been_scarce(run: Run[MonitorState]) -> None:
    """A warning takes its time, and the time between two samples is counted too: the look that completes it tells."""
    run.seconds += 30.0
    run.tell(sample(10.0, 85.0))
    run.seconds += 30.0
    run.tell(sample(10.0, 85.0))
    assert () == run.tell(memory(85.0))
    run.seconds += 23.0
    assert 2 == len(run.tell(memory(85.0)))
    assert "memory 85.0 % >= 80.0 % for 45 s" == run.state.cause


def test_memory_that_cannot_be_read_is_never_healthy(run: Run[MonitorState]) -> None:
    """A look that fails makes the health a warning at least, and the reason is told; critical stays critical."""
    run.tell(sample(10.0, 50.0))
    run.tell(memory(None))
    assert ("warning", "memory unknown: it broke") == (run.state.status, run.state.cause)
    run.tell(memory(99.0))
    assert () == run.tell(memory(None))
    assert "critical" == run.state.status


def test_before_the_first_sample_the_rest_is_unknown(run: Run[MonitorState]) -> None:
    """What no sample has said yet is not taken for what the platform does not have."""
    run.tell(memory(97.0))
    assert run.state.last is not None
    assert set(METRICS) - {"memory_percent"} == set(run.state.last.unknown)


def test_a_part_stands_in_place_of_what_was_there() -> None:
    """Known over unknown, unknown over known, and nothing over what the part does not speak of."""
    before = Metrics(cpu_percent=1.0, memory_headroom_bytes=5, unknown={"memory_percent": "x"})
    part = Metrics(memory_percent=9.0, limited_by="cgroup", unknown={"memory_headroom_bytes": "gone"})
    after = Metrics(cpu_percent=1.0, memory_percent=9.0, limited_by="cgroup", unknown={"memory_headroom_bytes": "gone"})
    assert after == overlaid(before, part)


@pytest.mark.parametrize(
    ("previous", "status", "saved"),
    [
        ("healthy", "critical", True),
        ("warning", "critical", True),
        ("critical", "critical", True),
        ("failing", "critical", False),
        ("failing", "failing", True),
        ("healthy", "warning", False),
        ("critical", "warning", False),
        ("warning", "failing", False),
    ],
)
def test_what_became_critical_is_saved_first(previous: str, status: str, *, saved: bool) -> None:
    """The wiring has an emergency checkpoint taken when the health gets as bad as critical, and never on the way up.

    What a full disk needs least is one more checkpoint: there old ones go.
    """
    (wire,) = [wire for wire in WIRES if wire.event is HealthChanged and wire.to == checkpointer.NAME]
    record: Any = None
    command = wire.make(HealthChanged(previous, status, "memory 97.0 % >= 95.0 %"), record)
    reason = f"health {status}: memory 97.0 % >= 95.0 %"
    assert (checkpointer.TakeCheckpoint(checkpointer.EMERGENCY, reason) if saved else None) == command
    full = HealthChanged(previous, status, "disk 99.0 % full >= 97.0 %", None, ("disk",))
    assert (checkpointer.CleanUp(gently=True) if saved else None) == wire.make(full, record)
