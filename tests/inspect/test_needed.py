"""What retention must leave of a log for those who go on from a checkpoint."""

from __future__ import annotations

import pytest

from lrm_actors.domain.retention import CheckpointInfo
from lrm_actors.inspect.needed import needed_by

KEPT = tuple(
    CheckpointInfo(f"checkpoint_{at:013d}_x", "periodic", float(at), at, 1, "", "interval", pinned=at < 30)
    for at in (10, 20, 30, 40)
)


@pytest.mark.parametrize(("newest", "position"), [(2, 30), (3, 20), (4, 10), (50, 10), (1, 40), (0, 40)])
def test_the_log_is_held_by_the_newest_checkpoints_alone(newest: int, position: int) -> None:
    """By as many as are kept without a pin and without thinning: older ones would hold all of it for ever."""
    assert needed_by(KEPT, newest, steps=True) == position


def test_without_a_checkpoint_every_step_is_needed() -> None:
    """And nothing at all without a step."""
    assert needed_by((), 5, steps=True) == 0
    assert needed_by((), 5, steps=False) is None
