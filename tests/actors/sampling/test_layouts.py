"""Where control groups are and what they say, on layouts recorded from kernels and container engines of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from lrm_actors.actors.sampling.cgroups import Groups
from lrm_actors.actors.sampling.machine import MachineMemory, PortableMachine
from lrm_actors.actors.sampling.pressure import Stall
from lrm_actors.actors.sampling.readings import NotHere
from lrm_actors.actors.sampling.sampler import Sampler

MIB = 1024 * 1024
NONE_V1 = 9223372036854771712
V2_MOUNT = "30 23 0:26 {top} /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1_MOUNT = (
    "36 32 0:3{n} {top} /sys/fs/cgroup/{names} rw,nosuid,nodev,noexec,relatime shared:{n} - cgroup cgroup rw,{names}"
)
HYBRID_V2 = "33 32 0:28 {top} /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw"


@attrs.frozen
class Layout:
    """Files of a kernel, and what is true of them."""

    membership: str
    """/proc/self/cgroup."""
    mounts: tuple[str, ...]
    files: dict[str, str]
    """Below /sys/fs/cgroup."""
    used_bytes: int | None
    """Of the limit that counts; None without one."""
    limit_bytes: int | None
    kills: int | None = None
    hits: int | None = None
    pids_percent: float | None = None
    cpus: float | None = None
    """The smallest quota."""

    def made(self, root: Path) -> tuple[Path, Path]:
        """The same as files below a directory: where processes are told of, and where groups are."""
        proc, groups = root / "proc", root / "cgroup"
        (proc / "self").mkdir(parents=True)
        groups.mkdir()
        (proc / "self" / "cgroup").write_text(self.membership)
        (proc / "self" / "mountinfo").write_text(
            "\n".join(("23 1 8:1 / / rw - ext4 /dev/root rw", *self.mounts)) + "\n"
        )
        for name, text in self.files.items():
            path = groups / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        return proc, groups


def v1_memory(
    folder: str, limit: int, used: int, inactive: int = 0, *, kills: int = 0, hits: int = 0
) -> dict[str, str]:
    """A memory group of version 1."""
    stat = (
        f"cache {inactive}\nrss 1\ninactive_file 0\nhierarchical_memory_limit {limit}\ntotal_inactive_file {inactive}"
    )
    return {
        f"{folder}/memory.limit_in_bytes": str(limit),
        f"{folder}/memory.usage_in_bytes": str(used),
        f"{folder}/memory.stat": stat,
        f"{folder}/memory.failcnt": str(hits),
        f"{folder}/memory.oom_control": f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}",
    }


def v2_memory(
    folder: str, limit: int | str, used: int, inactive: int = 0, *, kills: int = 0, hits: int = 0
) -> dict[str, str]:
    """A memory group of version 2."""
    at = f"{folder}/" if folder else ""
    return {
        f"{at}memory.max": str(limit),
        f"{at}memory.current": str(used),
        f"{at}memory.stat": f"anon {used - inactive}\nfile {inactive}\ninactive_file {inactive}\nactive_file 0",
        f"{at}memory.events": f"low 0\nhigh 0\nmax {hits}\noom {kills}\noom_kill {kills}\noom_group_kill 0",
    }


LAYOUTS = {
    "v1, docker, the host's path": Layout(
        "12:pids:/docker/4f1c\n9:cpu,cpuacct:/docker/4f1c\n4:memory:/docker/4f1c\n1:name=systemd:/docker/4f1c\n",
        (V1_MOUNT.format(n=5, top="/docker/4f1c", names="memory"),
         V1_MOUNT.format(n=6, top="/docker/4f1c", names="pids"),
         V1_MOUNT.format(n=7, top="/docker/4f1c", names="cpu,cpuacct")),
        {
            **v1_memory("memory", 512 * MIB, 500 * MIB, 100 * MIB, kills=2, hits=37),
            "pids/pids.max": "100", "pids/pids.current": "25",
            "cpu,cpuacct/cpu.cfs_quota_us": "150000", "cpu,cpuacct/cpu.cfs_period_us": "100000",
            "cpu,cpuacct/cpuacct.usage": "4000000000",
        },
        400 * MIB, 512 * MIB, kills=2, hits=37, pids_percent=25.0, cpus=1.5,
    ),
    "v1, a limit of an ancestor": Layout(
        "4:memory:/kubepods/burstable/pod7/c1\n0::/\n",
        (V1_MOUNT.format(n=5, top="/", names="memory"), HYBRID_V2.format(top="/")),
        {
            **v1_memory("memory", NONE_V1, 90_000 * MIB),
            **v1_memory("memory/kubepods", 20_000 * MIB, 3_000 * MIB),
            **v1_memory("memory/kubepods/burstable", NONE_V1, 2_000 * MIB),
            **v1_memory("memory/kubepods/burstable/pod7", 1_000 * MIB, 960 * MIB, 10 * MIB, hits=3),
            **v1_memory("memory/kubepods/burstable/pod7/c1", 800 * MIB, 300 * MIB, kills=1),
            "unified/cgroup.controllers": "hugetlb",
        },
        950 * MIB, 1_000 * MIB, kills=1, hits=3,
    ),
    "v2, docker with its own namespace": Layout(
        "0::/\n", (V2_MOUNT.format(top="/"),),
        {
            **v2_memory("", 256 * MIB, 250 * MIB, 50 * MIB, kills=4, hits=11),
            "pids.max": "max", "pids.current": "9",
            "cpu.max": "50000 100000", "cpu.stat": "usage_usec 7000000\nuser_usec 1",
        },
        200 * MIB, 256 * MIB, kills=4, hits=11, cpus=0.5,
    ),
    "v2, nested: the slice, not the service": Layout(
        "0::/user.slice/user-1000.slice/agent.service\n", (V2_MOUNT.format(top="/"),),
        {
            "cgroup.controllers": "cpu io memory pids",
            **v2_memory("user.slice", "max", 9_000 * MIB),
            **v2_memory("user.slice/user-1000.slice", 2_048 * MIB, 2_000 * MIB, 20 * MIB, hits=5),
            **v2_memory("user.slice/user-1000.slice/agent.service", 4_096 * MIB, 1_000 * MIB, kills=0),
            "user.slice/user-1000.slice/pids.max": "1000", "user.slice/user-1000.slice/pids.current": "900",
            "user.slice/user-1000.slice/agent.service/pids.max": "500",
            "user.slice/user-1000.slice/agent.service/pids.current": "100",
        },
        1_980 * MIB, 2_048 * MIB, kills=0, hits=5, pids_percent=90.0,
    ),
    "v2, in a container inside: systemd in docker": Layout(
        "0::/docker/77/init.scope\n", (V2_MOUNT.format(top="/docker/77"),),
        {
            **v2_memory("", 1_000 * MIB, 700 * MIB, 100 * MIB),
            **v2_memory("init.scope", 900 * MIB, 810 * MIB, kills=1, hits=2),
        },
        810 * MIB, 900 * MIB, kills=1, hits=2,
    ),
    "hybrid: the memory in v1, v2 for hugetlb alone": Layout(
        "4:memory:/process_api/92b2\n1:cpu:/\n0::/\n",
        (V1_MOUNT.format(n=5, top="/", names="memory"), V1_MOUNT.format(n=6, top="/", names="cpu"),
         HYBRID_V2.format(top="/")),
        {
            **v1_memory("memory", NONE_V1, 3_000 * MIB),
            **v1_memory("memory/process_api", NONE_V1, 2_000 * MIB),
            **v1_memory("memory/process_api/92b2", 300 * MIB, 296 * MIB, 2 * MIB, kills=1, hits=37),
            "unified/cgroup.controllers": "hugetlb", "unified/cpu.pressure": "some avg10=3.00 avg60=0 avg300=0 total=0",
        },
        294 * MIB, 300 * MIB, kills=1, hits=37,
    ),
    "hybrid, no limit anywhere": Layout(
        "4:memory:/x\n0::/\n", (V1_MOUNT.format(n=5, top="/", names="memory"), HYBRID_V2.format(top="/")),
        {**v1_memory("memory", NONE_V1, 5 * MIB), **v1_memory("memory/x", NONE_V1, 5 * MIB, kills=6)},
        None, None, kills=6,
    ),
    "v2, a path outside of the namespace": Layout(
        "0::/../../other.service\n", (V2_MOUNT.format(top="/../.."),),
        {**v2_memory("", "max", 9_000 * MIB), **v2_memory("other.service", 100 * MIB, 50 * MIB, 10 * MIB)},
        40 * MIB, 100 * MIB, kills=0, hits=0,
    ),
}  # fmt: skip


class Roomy(PortableMachine):
    """A machine with far more memory than any group."""

    def memory(self) -> MachineMemory:
        """All but none of it in use."""
        return MachineMemory(10**15, 10**15 - 10**12, None)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_recorded_layout_is_understood(tmp_path: Path, name: str) -> None:
    """The limit that counts, what is used of it, and the counts of its group."""
    layout = LAYOUTS[name]
    groups = Groups(*layout.made(tmp_path))
    use = groups.memory()
    assert (layout.used_bytes, layout.limit_bytes) == (use and use.used_bytes, use and use.limit_bytes)
    assert layout.kills == groups.oom_kills()
    assert layout.hits == (None if use is None else groups.limit_hits(use))
    assert layout.pids_percent == groups.pids_percent()
    assert layout.cpus == min((cpus for cpus, _ in groups.cpu_quotas().values()), default=None)
    groups.close()


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_share_in_a_layout_is_within_two_points_of_the_truth(tmp_path: Path, name: str) -> None:
    """A full sample on a roomy machine says what the layout says, and the metrics of groups where there are some."""
    layout = LAYOUTS[name]
    proc, root = layout.made(tmp_path)
    sampler = Sampler(tmp_path, machine=Roomy(), groups=Groups(proc, root), sleep=lambda _: None)
    metrics = sampler.sample()
    assert metrics is not None
    true = (
        0.1 if layout.limit_bytes is None or layout.used_bytes is None else 100 * layout.used_bytes / layout.limit_bytes
    )
    assert metrics.memory_percent == pytest.approx(true, abs=2.0)
    assert ("machine" if layout.limit_bytes is None else "cgroup") == metrics.limited_by
    assert layout.limit_bytes == metrics.cgroup_memory_limit_bytes
    assert (layout.kills, layout.pids_percent) == (metrics.oom_kill_count, metrics.pids_percent)
    assert {"memory_percent", "cgroup_memory_bytes", "oom_kill_count", "pids_percent"}.isdisjoint(metrics.unknown)


def test_a_limit_set_on_a_running_process_holds_at_once(tmp_path: Path) -> None:
    """Files are kept open, and read anew each time; a process that is put into another group is followed."""
    layout = LAYOUTS["v2, nested: the slice, not the service"]
    proc, root = layout.made(tmp_path)
    groups = Groups(proc, root)
    service = root / "user.slice/user-1000.slice/agent.service"
    assert (groups.memory() or layout).limit_bytes == 2_048 * MIB
    (service / "memory.max").write_text(str(1_000 * MIB))
    assert (groups.memory() or layout).limit_bytes == 1_000 * MIB
    (proc / "self" / "cgroup").write_text("0::/user.slice/user-1000.slice\n")
    assert (groups.memory() or layout).limit_bytes == 2_048 * MIB
    groups.close()


@pytest.mark.parametrize("broken", ["memory.max", "memory.current", "memory.stat"])
def test_a_group_that_cannot_be_understood_is_unknown(tmp_path: Path, broken: str) -> None:
    """Whatever of it is wrong or missing, the share of memory is not known, and never that of the machine alone."""
    layout = LAYOUTS["v2, docker with its own namespace"]
    proc, root = layout.made(tmp_path)
    if broken == "memory.max":
        (root / broken).write_text("plenty\n")
    else:
        (root / broken).unlink()
    metrics = Sampler(tmp_path, machine=Roomy(), groups=Groups(proc, root), sleep=lambda _: None).sample()
    assert metrics is not None
    assert metrics.memory_percent is None
    assert "" == metrics.limited_by
    assert {"memory_percent", "memory_headroom_bytes", "cgroup_memory_bytes"} <= metrics.unknown.keys()


def share_with(planted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The checker with a planted bug: the layouts whose share is more than two points from the truth."""
    monkeypatch.setattr(Groups, "memory", planted)
    wrong = []
    for number, (name, layout) in enumerate(LAYOUTS.items()):
        use = Groups(*layout.made(tmp_path / str(number))).memory()
        true = None if layout.limit_bytes is None else 100 * (layout.used_bytes or 0) / layout.limit_bytes
        if (use is None) != (true is None) or (use is not None and true is not None and abs(use.percent - true) > 2.0):
            wrong.append(name)
    return wrong


def test_the_checker_sees_a_reader_of_its_own_group_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual bug: limits of ancestors are not looked at."""
    honest = Groups.memory

    def own_alone(groups: Groups) -> Any:
        groups._look_up()
        groups._places = {
            name: attrs.evolve(place, folders=place.folders[:1]) for name, place in groups._places.items()
        }
        return honest(groups)

    found = share_with(own_alone, tmp_path, monkeypatch)
    assert {"v1, a limit of an ancestor", "v2, nested: the slice, not the service"} == set(found)


def test_the_checker_sees_a_reader_that_counts_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one: file pages that the kernel would drop are counted as used."""
    honest = Groups.memory

    def with_cache(groups: Groups) -> Any:
        use = honest(groups)
        if use is None or not use.folder:
            return use
        name = "memory.current" if (Path(use.folder) / "memory.current").exists() else "memory.usage_in_bytes"
        return attrs.evolve(use, used_bytes=int((Path(use.folder) / name).read_text()))

    assert "v1, docker, the host's path" in share_with(with_cache, tmp_path, monkeypatch)


# Stalls


def told(folder: Path, resource: str, text: str) -> None:
    """A file of stalls."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / resource).write_text(text)


def test_a_group_s_own_stalls_come_before_the_machine_s(tmp_path: Path) -> None:
    """Where the group does not tell, the machine does; where neither does, it is not here."""
    lines = "some avg10={} avg60=0.00 avg300=0.00 total=1\nfull avg10={} avg60=0.00 avg300=0.00 total=1\n"
    group, proc = tmp_path / "group", tmp_path / "proc"
    with pytest.raises(NotHere):
        Stall("memory", (str(group),), proc).percents()
    told(proc / "pressure", "memory", lines.format("1.50", "0.50"))
    assert {"some": 1.5, "full": 0.5} == Stall("memory", (str(group),), proc).percents()
    told(group, "memory.pressure", lines.format("42.00", "17.25"))
    assert {"some": 42.0, "full": 17.2} == Stall("memory", (str(group),), proc).percents()


def test_old_kernels_tell_no_full_stall_of_the_cpu(tmp_path: Path) -> None:
    """Before Linux 5.13 the line is missing; that is not unknown. What is no average is an error."""
    told(tmp_path / "pressure", "cpu", "some avg10=7.00 avg60=0.00 avg300=0.00 total=1\n")
    stall = Stall("cpu", (), tmp_path)
    assert {"some": 7.0} == stall.percents()
    told(tmp_path / "pressure", "cpu", "some average=7.00 x\n")
    with pytest.raises(ValueError, match="ten-second"):
        stall.percents()
