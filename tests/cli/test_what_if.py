"""``lrm replay --what-if``: two histories of the mode, for people and as JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.mode_noise import autoregressive
from eventstore.opening import open_store
from lrm_actors.cli import exits
from lrm_actors.domain import monitor
from lrm_actors.domain.signals import MonitorConfig
from tests.cli.conftest import Lrm
from tests.inspect.test_what_if import Writer, busy


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """An hour of noise about 78 %, below the thresholds that the agent had."""
    path = tmp_path / "watcher" / "lrm.db"
    path.parent.mkdir()
    writer = Writer()
    with open_store(path, clock=writer.now) as store:
        writer.store = store
        writer.watch(monitor.Configure(MonitorConfig(cpu_warning=94.0)))
        busy(writer, list(autoregressive(1, samples=60)))
    return path


def test_both_histories_are_told(lrm: Lrm, log: Path) -> None:
    """As they were, as they would have been, and where they differ; as JSON the same."""
    told = lrm("replay", log, "--what-if", "cpu_threshold_warning=70", "--what-if", "failing_components=3")
    assert exits.OK == told.code
    assert "what if cpu_threshold_warning = 70 (it is 94), failing_components = 3 (it is 2)" in told.out
    assert "60 samples over 29m58s" in told.out
    assert "as it was: 0 changes of the mode" in told.out
    assert "as it would have been: 1 change of the mode" in told.out
    assert "was normal  would have been degraded" in told.out
    document = lrm("replay", log, "--what-if", "cpu_threshold_warning=70", "--json").document
    found = document["what_if"]
    assert ("lrm.replay/1", 60, []) == (document["schema"], found["samples"], found["was"])
    assert ["degraded"] == [one["mode"] for one in found["would_be"]]
    assert [("normal", "degraded")] == [(one["was"], one["would_be"]) for one in found["differences"]]
    same = lrm("replay", log, "--what-if", "cpu_threshold_critical=95")
    assert "they do not differ" in same.out


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        (["--what-if", "cpu_threshold_wrning=70"], exits.USAGE, "LRM-1002"),
        (["--what-if", "cpu_threshold_warning=170"], exits.USAGE, "LRM-1001"),
        (["--what-if", "max_log_mb=5"], exits.USAGE, "LRM-4002"),
        (["--what-if", "cpu_threshold_warning=70", "--to", "999999"], exits.NOT_FOUND, "ES-2001"),
        (["--what-if", "cpu_threshold_warning=70", "--actor", "modes"], exits.USAGE, "--what-if"),
    ],
)
def test_what_cannot_be_asked_says_why(lrm: Lrm, log: Path, words: list[str], code: int, name: str) -> None:
    """A typed error on stderr, and nothing on stdout."""
    told = lrm("replay", log, *words)
    assert (code, "") == (told.code, told.out)
    assert name in told.err
