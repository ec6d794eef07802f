"""A process that holds as much memory as it is told, and says what its sampler makes of it; run as a program."""

from __future__ import annotations

import sys
from pathlib import Path

from lrm_actors.actors.sampling.sampler import Sampler

MB = 1_000_000


def main(file: Path, *sizes_mb: int) -> None:
    """Hold each of these in turn, after reading a file that fills the kernel's cache; one line for each sample."""
    file.write_bytes(bytes(60 * MB))
    file.read_bytes()
    held: list[bytes] = []
    sampler = Sampler(file.parent)
    for size_mb in sizes_mb:
        held.append(b"x" * (size_mb * MB - sum(map(len, held))))
        metrics = sampler.sample()
        assert metrics is not None
        print(metrics.memory_percent, metrics.cgroup_memory_bytes, metrics.cgroup_memory_limit_bytes, flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
