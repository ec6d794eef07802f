"""The benchmarks of actors run, and say what they found in the form that was promised."""

from __future__ import annotations

import pytest

from benchmarks import __main__ as command
from benchmarks import harness

LOWER = {
    "ask_async_p50_vs_pykka",
    "ask_system_p50_vs_pykka",
    "loop_stall_ms",
    "fence_cost_percent",
    "restart_us",
    "restart_durable_commits",
    "takeover_durable_commits",
    "takeover_ms",
    "watch_100_cpu_percent",
    "idle_actor_kib",
    "idle_cpu_percent",
}
HIGHER = {
    "tell_vs_pykka",
    "ask_vs_pykka",
    "concurrent_asks_per_s",
    "durable_tell_vs_commit_per_event",
    "durable_tell_per_s",
    "wired_vs_unwired",
}
RECOVERY = {"recover_100k_ms", "start_1m_vs_1k"}
MAY_BE_NIL = {"fence_cost_percent", "idle_cpu_percent", "watch_100_cpu_percent"}
"""Differences, which noise may put below nothing."""


@pytest.mark.parametrize(("name", "higher", "lower"), [("actors", HIGHER, LOWER), ("recovery", set(), RECOVERY)])
def test_every_promised_figure_is_found(name: str, higher: set[str], lower: set[str]) -> None:
    """With what it says, and in which direction it is good."""
    found = harness.report(name, quick=True)
    assert name == found["benchmark"]
    assert found["environment"]["quick"]
    figures = found["figures"]
    assert higher | lower == set(figures)
    for figure, told in figures.items():
        assert {"value", "better", "what"} == set(told)
        assert ("lower" if figure in lower else "higher") == told["better"]
        assert told["what"]
        assert told["value"] > 0 or figure in MAY_BE_NIL
    assert all(figure in command.table(found) for figure in figures)
