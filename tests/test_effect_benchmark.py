"""The log that the benchmark of effects goes on with is one that an agent would have left behind."""

from __future__ import annotations

from pathlib import Path

from benchmarks.effects_resumed import EFFECT, IN_LAST, RESULT, STEP, fill, settings
from lrm_actors.mode import LongRunningMode


def test_an_agent_goes_on_with_the_log_of_the_benchmark(tmp_path: Path) -> None:
    """What is on record of its last step is given, and the first new effect is the next one."""
    fill(tmp_path, 600)
    called = []

    def send() -> str:
        called.append(len(asked))
        return RESULT

    with LongRunningMode(settings(tmp_path)) as mode, mode.step(STEP) as step:
        assert (8, 2, True) == (step.number, step.attempt, step.repeated)  # one of the mode's own, and six of a hundred
        asked: list[object] = []
        while not called:
            asked.append(mode.effect(EFFECT, send))
    assert [IN_LAST] == called
    assert [RESULT] * (IN_LAST + 1) == asked
