"""The benchmark of appends runs, and says what it found in the form that was promised."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import harness, peers

FIGURES = {
    "append_1_vs_raw",
    "append_100_vs_raw",
    "waiting_16_vs_serial",
    "waiting_16_p99_vs_serial",
    "pipelined_vs_serial",
    "append_at_1m_vs_at_1k",
}
AGAINST_THE_PEER = {"append_1_vs_eventsourcing", "append_100_vs_eventsourcing"}
ROOT = Path(__file__).parents[2]


def test_it_prints_one_json_object() -> None:
    """With the benchmark's name, its figures, its peers and where it ran."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "append", "--json", "--quick"],
        check=True,
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    found = json.loads(done.stdout)
    assert {"benchmark", "figures", "peers", "environment"} == set(found)
    assert "append" == found["benchmark"]
    assert FIGURES | (AGAINST_THE_PEER if peers.available() else set()) == set(found["figures"])
    for name, figure in found["figures"].items():
        assert {"value", "better", "what"} == set(figure)
        assert ("lower" if "p99" in name else "higher") == figure["better"]
        assert figure["value"] > 0
    assert found["environment"]["quick"]
    assert "append_1_vs_raw" in command.table(found)


def test_the_ratio_is_the_median_of_pairs_that_take_turns() -> None:
    """At least seven, after one that is not measured, and neither side always goes first."""
    calls: list[str] = []
    speeds = iter([1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 70.0])

    def ours() -> float:
        calls.append("ours")
        return next(speeds)

    def theirs() -> float:
        calls.append("theirs")
        return 2.0

    assert 2.0 == harness.ratio_of_pairs(ours, theirs, quick=True)
    assert 16 == len(calls)
    assert ["ours", "theirs", "ours", "theirs", "theirs", "ours", "ours"] == calls[:7]


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """And the message says which there are."""
    monkeypatch.setattr(sys, "argv", ["benchmarks", "nothing"])
    with pytest.raises(SystemExit) as caught:
        command.main()
    assert 2 == caught.value.code
    assert "append" in capsys.readouterr().err
