"""What a mode costs its host: how the benchmark counts, and, where there is time, that it is not far from its goals."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks import footprint
from eventstore.opening import open_store
from eventstore.records import Batch, NewEvent, StreamWrite
from lrm_actors.domain import journal
from lrm_actors.hosting.running import SPECS

CPU_PERCENT, RSS_MB, LOG_MB_PER_DAY = 1.0, 20.0, 40.0
"""Loose on purpose: a busy machine must not fail them. The goals are a tenth, three quarters and half of these."""


def test_a_day_of_a_log_is_counted_from_what_was_seen(tmp_path: Path) -> None:
    """Twice the events in the same time are twice the file, and what came before is left out."""

    def day_mb(events: int, folder: Path) -> float:
        stepped = NewEvent(journal.StepBegun(1, "look", 1))
        with open_store(folder / "lrm.db") as store:
            store.append(Batch((StreamWrite(journal.NAME, (stepped,) * 50),)))
            since_s = time.time()
            store.append(Batch((StreamWrite(journal.NAME, (stepped,) * events),)))
        return footprint.log_mb_per_day(folder / "lrm.db", folder / "day", since_s, since_s + 360.0)

    one, two = day_mb(10, tmp_path / "one"), day_mb(20, tmp_path / "two")
    print(f"a day of 2400 events: {one:.2f} MB, of 4800: {two:.2f} MB")
    assert 1.5 * one < two < 2.5 * one


def test_the_figures_are_not_far_from_their_goals(*, release: bool, tmp_path: Path) -> None:
    """An agent beside the same agent without a mode, for less than a minute; every actor is there."""
    assert SPECS
    if not release:
        pytest.skip("takes a minute: --profile release")
    life = footprint.Life(20.0, 30.0, 10.0, 20)
    (_, bare), (before, kept) = footprint.lived(life, tmp_path)
    cpu_percent = 100.0 * (kept["cpu_s"] - before["cpu_s"]) / (kept["at_s"] - before["at_s"])
    rss_mb = (kept["rss_kib"] - bare["rss_kib"]) / 1024
    log_mb = footprint.log_mb_per_day(
        tmp_path / "default" / "lrm.db", tmp_path / "day", before["wall_s"], kept["wall_s"]
    )
    print(f"{cpu_percent:.3f} % of a core, {rss_mb:.1f} MiB, {log_mb:.1f} MB of log a day")
    assert cpu_percent < CPU_PERCENT
    assert rss_mb < RSS_MB
    assert log_mb < LOG_MB_PER_DAY
