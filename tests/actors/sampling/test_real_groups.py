"""What the sampler says of memory in a control group of the kernel's own, against what the kernel says."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.actors.sampling.real_groups import MB, memory_group

LIMIT_MB = 400
SIZES_MB = (50, 200, 300, 370)


def test_the_share_is_within_two_points_of_the_truth(tmp_path: Path) -> None:
    """With a cache full of file pages, from nearly nothing to nearly all of the limit."""
    far = []
    with memory_group(LIMIT_MB * MB) as group:
        arguments = ("-m", "tests.actors.sampling.holding_process", str(tmp_path / "file"), *map(str, SIZES_MB))
        child = subprocess.Popen(group.command(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert child.stdin is not None
        assert child.stdout is not None
        with child:
            for size_mb in SIZES_MB:
                percent, used, limit = map(float, child.stdout.readline().split())
                true = group.true_percent()
                assert true >= 100.0 * size_mb / LIMIT_MB
                far.append(round(abs(100.0 * used / limit - true), 2))
                assert percent >= round(100.0 * used / limit, 1)  # more where the machine has less left
                child.stdin.write("\n")
                child.stdin.flush()
    print(f"version {group.version}: {max(far)} points from the truth at most, of {far}")
    assert max(far) <= 2.0
