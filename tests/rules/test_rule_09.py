"""Rule 9: unknown is never healthy; what the platform does not have is *unsupported*, and that is not unknown."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from lrm_actors.actors.sampling.machine import PortableMachine
from lrm_actors.actors.sampling.readings import NotHere
from lrm_actors.actors.sampling.sampler import Sampler
from lrm_actors.domain import health, monitor
from lrm_actors.domain.health import HEALTHY
from lrm_actors.domain.metrics import Metrics, nothing_known
from tests.domain.kit import Run

JUDGED = ("cpu_percent", "memory_percent")
CALM = Metrics(cpu_percent=10.0, memory_percent=10.0)
Judge = Callable[[health.MonitorConfig, Metrics, dict[str, str], dict[str, health.Mark]], dict[str, str]]


class Broken(Exception):
    """What a sampler's source may raise."""


def statuses(*samples: Metrics) -> list[str]:
    """The health after each sample, decided by the monitor itself."""
    run = Run.of(monitor.spec())
    seen = []
    for sample in samples:
        run.seconds += 30.0
        run.tell(monitor.RecordSample(sample))
        seen.append(run.state.status)
    return seen


def check_unknown_is_never_healthy() -> None:
    """Whatever was known before, a judged metric that is unknown, or no number, is at least a warning."""
    before = [CALM, attrs.evolve(CALM, cpu_percent=99.0), nothing_known("it broke")]
    for name, wrong, first in itertools.product(JUDGED, (None, float("nan"), -1.0), before):
        unknown = {name: "it broke"} if wrong is None else {}
        cpu, memory = (wrong, 10.0) if name == "cpu_percent" else (10.0, wrong)
        sample = Metrics(cpu_percent=cpu, memory_percent=memory, unknown=unknown)
        assert HEALTHY not in statuses(first, sample, sample)[1:], f"{name} = {wrong} was taken for healthy"


def check_failing_sources_are_unknown(directory: Path) -> None:
    """Each judged metric whose source fails comes as None with the reason, never as a number."""
    for source, metric in (("cpu_times", "cpu_percent"), ("memory", "memory_percent")):
        machine = PortableMachine()
        setattr(machine, source, fail)
        sample = Sampler(directory, machine=machine).sample()
        assert sample is not None
        assert getattr(sample, metric) is None, f"{metric} was made up when {source} failed"
        assert "it broke" in sample.unknown[metric]


def fail(*_args: object, **_options: object) -> object:
    """A source that cannot be read."""
    msg = "it broke"
    raise Broken(msg)


def no_network() -> object:
    """A machine without any interface."""
    raise NotHere("no network interface is counted here")


def test_rule_09_holds_for_every_sample() -> None:
    """No unknown or impossible value of a judged metric leads to healthy, from any state before."""
    check_unknown_is_never_healthy()


def test_rule_09_holds_for_sources_that_fail(tmp_path: Path) -> None:
    """The real sampler never makes a number up."""
    check_failing_sources_are_unknown(tmp_path)


def test_rule_09_holds_for_a_sample_that_never_comes() -> None:
    """A sample that is overdue is a warning, however calm the last one was."""
    run = Run.of(monitor.spec())
    run.tell(monitor.RecordSample(CALM))
    assert HEALTHY == run.state.status
    for _ in range(10):
        run.seconds += run.state.config.interval_s
        run.tell(monitor.SampleDue())
        run.tell(monitor.SampleMissing(waited_s=run.state.config.interval_s))
    assert HEALTHY != run.state.status


def test_rule_09_holds_unsupported_is_not_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this platform cannot measure is decided with the first sample and makes nobody ill."""
    machine = PortableMachine()
    monkeypatch.setattr(machine, "network", no_network)
    sampler = Sampler(tmp_path, machine=machine)
    sample = sampler.sample()
    assert sample is not None
    assert {"network_sent_bytes", "network_received_bytes"}.isdisjoint(sample.unknown)
    assert HEALTHY == statuses(attrs.evolve(sample, cpu_percent=1.0, memory_percent=1.0, unknown={}))[0]


def test_rule_09_planted_a_judge_that_passes_over_the_unknown_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that looks at known metrics only is found."""
    real: Judge = health.judge

    def lenient(
        config: health.MonitorConfig, metrics: Metrics, before: dict[str, str], marks: dict[str, health.Mark]
    ) -> dict[str, str]:
        return {name: level for name, level in real(config, metrics, before, marks).items() if level != health.UNKNOWN}

    monkeypatch.setattr("lrm_actors.domain.monitor.judge", lenient)
    with pytest.raises(AssertionError, match="was taken for healthy"):
        check_unknown_is_never_healthy()


def test_rule_09_planted_a_sampler_that_answers_zero_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual bug, zero for what could not be read, is found."""
    real = Sampler._sample

    def zeros(sampler: Sampler) -> Metrics:
        sample = real(sampler)
        made_up: dict[str, Any] = dict.fromkeys(sample.unknown, 0)
        return attrs.evolve(sample, **made_up, unknown={})

    monkeypatch.setattr(Sampler, "_sample", zeros)
    with pytest.raises(AssertionError, match="was made up"):
        check_failing_sources_are_unknown(tmp_path)
