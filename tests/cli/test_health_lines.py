"""What ``lrm health`` shows of resources, mode and forecast."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from eventstore.opening import open_store
from lrm_actors import report
from lrm_actors.cli.output import sparkline
from lrm_actors.domain import modes, monitor
from lrm_actors.domain.metrics import Metrics
from tests.cli.conftest import Lrm
from tests.inspect.test_what_if import Writer, busy


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """An agent that was idle, then overloaded, and died."""
    path = tmp_path / "watcher" / "lrm.db"
    path.parent.mkdir()
    writer = Writer()
    with open_store(path, clock=writer.now) as store:
        writer.store = store
        busy(writer, [*[10.0] * 20, None, *[99.0] * 12])
    return path


def test_it_shows_how_the_resources_went_and_why_the_mode_is_what_it_is(lrm: Lrm, log: Path) -> None:
    """A bar for each sample, a dot where it was not known; the same as data."""
    told = lrm("health", log)
    assert f"{'▁' * 20}·{'█' * 12}  99.0 %, critical (warning from 80 %)" in told.out
    assert "▃▃▃  30.0 %, healthy (warning from 80 %)" in told.out
    assert "minimal: health critical: cpu 99.0 % >= 95.0 %" in told.out
    assert "work that runs: critical, critical_plus" in told.out
    document = lrm("health", log, "--json").document
    assert [] == report.missing_keys(document | {"schema": report.SCHEMA})
    values = document["history"]["cpu_percent"]
    assert (33, None, 99.0) == (len(values), values[20], values[-1])
    assert ("cpu", "critical", 95.0) == (
        next(iter(document["signals"])),
        document["signals"]["cpu"]["level"],
        document["signals"]["cpu"]["critical"],
    )
    assert ["critical", "critical_plus"] == document["mode"]["runs"]


def test_a_mode_held_by_hand_is_told(lrm: Lrm, tmp_path: Path) -> None:
    """Whether it is held, for how long yet, and why; and that the modes are switched off."""
    path = tmp_path / "lrm.db"
    writer = Writer()
    with open_store(path, clock=writer.now) as store:
        writer.store = store
        writer.choose(modes.Pin("normal", "the site is moved", 600.0))
        writer.sample(10.0)
    held = lrm("health", path)
    assert "normal, held by hand for" in held.out
    assert "more: the site is moved; work that runs: sheddable, " in held.out
    assert "the mode is held at normal: the site is moved" in lrm("why", "mode", path).out
    with open_store(path, clock=writer.now) as store:
        writer.store = store
        writer.choose(modes.Configure(enabled=False))
    assert "held at normal: enable_modes is off" in lrm("health", path).out


def test_a_level_says_when_its_reason_is_gone_or_has_not_lasted(lrm: Lrm, tmp_path: Path) -> None:
    """12 % and critical would contradict each other; and a signal without a line of its own is told besides."""
    path = tmp_path / "lrm.db"
    writer = Writer()
    with open_store(path, clock=writer.now) as store:
        writer.store = store
        busy(writer, [*[99.0] * 12, 12.0])
        writer.watch(monitor.RecordSample(Metrics(cpu_percent=12.0, memory_percent=85.0, zombie_count=25)))
        writer.watch(monitor.RecordSample(Metrics(cpu_percent=12.0, memory_percent=85.0, open_files_percent=96.0)))
    told = lrm("health", path)
    assert "12.0 %, critical until it has been lower for a while (warning from 80 %)" in told.out
    assert "85.0 %, healthy so far: it has not lasted (warning from 80 %)" in told.out
    assert "descriptors at 96: critical (warning from 80)" in told.out
    assert "zombies" not in told.out


def test_a_disk_that_is_full_now_is_told_though_the_log_cannot_say_so(
    lrm: Lrm, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its newest sample is from before; where there is room nothing is said."""
    assert "disk now" not in lrm("health", log).out
    full = os.statvfs_result((4096, 4096, 100, 50, 0, 10, 10, 10, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    assert "disk now" in (told := lrm("health", log).out)
    assert "0 B are free, so the log may not say what happens now; try: lrm doctor" in told


def test_a_forecast_is_made_of_what_the_trends_say() -> None:
    """The soonest first; a trend that ends nowhere has none."""
    trends = [
        {"kind": "disk_fill", "metric": "disk_free_bytes", "exhausted_low_s": 9000.0, "exhausted_high_s": None},
        {"kind": "cpu_shift", "metric": "cpu_percent", "exhausted_low_s": None},
        {"kind": "memory_leak", "metric": "memory_anonymous_bytes", "exhausted_low_s": 60.0, "exhausted_high_s": 90.0},
    ]
    made = report.build(agent_id="a", trends=trends)
    assert ["memory_leak", "disk_fill"] == [one["kind"] for one in made["forecast"]]
    assert {"metric": "memory_anonymous_bytes", "kind": "memory_leak", "low_s": 60.0, "high_s": 90.0} == (
        made["forecast"][0]
    )


def test_bars_are_from_empty_to_full() -> None:
    """Eight heights; more than fits goes at the left; what no percentage is, is no trouble."""
    assert "▁▁▂▅█████" == sparkline([-1.0, 0.0, 12.5, 50.0, 87.5, 99.9, 100.0, 101.0, 1000.0])
    assert 40 == len(sparkline([0.0] * 100))
    assert "·" == sparkline([None])
