"""The tightest memory limit of the control groups, on trees of files as kernels show them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrm_actors.actors.sampling.cgroups import MemoryUse, tightest_limit

NONE_V1 = 9223372036854771712
"""How version 1 says that there is no limit."""


class Machine:
    """Files of a kernel below a directory."""

    def __init__(self, root: Path) -> None:
        self.proc, self.cgroup = root / "proc", root / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        self.cgroup.mkdir()

    def member_of(self, *lines: str) -> None:
        """What /proc/self/cgroup says."""
        (self.proc / "self" / "cgroup").write_text("".join(f"{line}\n" for line in lines))

    def v1(self, path: str, limit: int, used: int = 0, inactive: int = 0) -> None:
        """A group of version 1; ``inactive_file`` without ``total_`` is the group's own and not what counts."""
        self._write(
            f"memory/{path}",
            {
                "memory.limit_in_bytes": limit,
                "memory.usage_in_bytes": used,
                "memory.stat": f"cache 1\ninactive_file 7\ntotal_inactive_file {inactive}",
            },
        )

    def v2(self, path: str, limit: int | str, used: int = 0, inactive: int = 0) -> None:
        """A group of version 2."""
        stat = f"anon 1\ninactive_file {inactive}"
        self._write(path, {"memory.max": limit, "memory.current": used, "memory.stat": stat})

    def _write(self, path: str, files: dict[str, object]) -> None:
        folder = self.cgroup / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in files.items():
            (folder / name).write_text(f"{value}\n")

    def tightest(self) -> MemoryUse | None:
        """What is found."""
        return tightest_limit(self.proc, self.cgroup)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine without control groups yet."""
    return Machine(tmp_path)


def test_without_control_groups_there_is_no_limit(machine: Machine) -> None:
    """Another system than Linux is not an error."""
    assert None is machine.tightest()


def test_version_2_with_a_limit(machine: Machine) -> None:
    """The working set, without what the kernel would give back first, against the limit."""
    machine.member_of("0::/app")
    machine.v2("app", 1000, used=900, inactive=100)
    assert MemoryUse(800, 1000) == machine.tightest()
    assert 80.0 == MemoryUse(800, 1000).percent


def test_version_1_with_a_limit(machine: Machine) -> None:
    """The same for version 1, where the total of the group and its children counts."""
    machine.member_of("9:name=systemd:/", "4:cpu,memory:/app", "0::/")
    machine.v1("app", 1000, used=900, inactive=100)
    assert MemoryUse(800, 1000) == machine.tightest()


@pytest.mark.parametrize("limit", ["max", NONE_V1])
def test_no_limit_is_none(machine: Machine, limit: int | str) -> None:
    """Neither the word nor the huge number is taken for a limit."""
    machine.member_of("4:memory:/app", "0::/app")
    if isinstance(limit, int):
        machine.v1("app", limit, used=10)
    else:
        machine.v2("app", limit, used=10)
    assert None is machine.tightest()


def test_an_ancestor_s_limit_counts(machine: Machine) -> None:
    """The pod's limit kills too, and the one that is nearest to its end is the one that counts."""
    machine.member_of("0::/pod/container/agent")
    machine.v2("pod", 1000, used=990)
    machine.v2("pod/container", 500, used=100)
    machine.v2("pod/container/agent", "max", used=50)
    assert MemoryUse(990, 1000) == machine.tightest()


def test_a_path_of_the_host_inside_a_container(machine: Machine) -> None:
    """The group named is not visible here; what is mounted is this container's own."""
    machine.member_of("4:memory:/docker/0123456789abcdef")
    machine.v1("", 1000, used=500)
    assert MemoryUse(500, 1000) == machine.tightest()


def test_a_hybrid_machine_has_its_memory_in_version_1(machine: Machine) -> None:
    """Version 2 is mounted beside it and has no memory controller."""
    machine.member_of("4:memory:/app", "0::/")
    machine.v1("", NONE_V1)
    machine.v1("app", 1000, used=980)
    (machine.cgroup / "unified").mkdir()
    assert MemoryUse(980, 1000) == machine.tightest()


def test_what_cannot_be_read_is_an_error_and_not_no_limit(machine: Machine) -> None:
    """Otherwise a limit that nobody can read would look like none."""
    machine.member_of("0::/app")
    machine.v2("app", "a lot")
    with pytest.raises(ValueError, match="a lot"):
        machine.tightest()


def test_a_limit_of_nothing_is_used_up(machine: Machine) -> None:
    """There is no share of zero bytes left."""
    assert 100.0 == MemoryUse(0, 0).percent


def test_this_machine_can_be_read() -> None:
    """Whatever its control groups are, looking at them does not fail."""
    use = tightest_limit()
    assert use is None or use.limit_bytes >= 0
