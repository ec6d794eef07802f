"""The process tree as the kernel's files tell it, on files written by hand; and single processes that are watched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lrm_actors.actors.sampling.figures import Used, machine_percent, quota_percent, tree_percent, vanished
from lrm_actors.actors.sampling.tree import LinuxTree, PortableTree, Tree, sight
from lrm_actors.actors.sampling.watching import ProcessWatch

PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Kernel:
    """Files of processes below a directory."""

    def __init__(self, proc: Path) -> None:
        self.proc = proc
        self.add("self", 0)

    def add(
        self,
        pid: int | str,
        parent: int,
        *,
        state: str = "S",
        name: str = "agent",
        started: int = 5,
        ticks: int = 0,
        reaped: int = 0,
        rss: int = 100,
        shared: int = 40,
        files: int = 3,
    ) -> None:
        """A process, or the same with other figures."""
        folder = self.proc / str(pid)
        (folder / "fd").mkdir(parents=True, exist_ok=True)
        for number in range(files):
            (folder / "fd" / str(number)).touch()
        middle = f"{parent} 1 1 0 -1 4194560 0 0 0 0 {ticks} 0 {reaped} 0 20 0 7 0 {started} 8192000 {rss}"
        (folder / "stat").write_text(f"{pid} ({name}) {state} {middle} 18446744073709551615 1 1 0 0 0\n")
        (folder / "statm").write_text(f"2000 {rss} {shared} 1 0 500 0\n")

    def tree(self) -> LinuxTree:
        """A look at process 10 and its descendants."""
        tree = LinuxTree(self.proc, 10)
        tree._sized = False  # a folder's size says nothing on this file system
        return tree


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """Two processes of ours, a grandchild with a strange name, and two of others."""
    found = Kernel(tmp_path)
    found.add(1, 0)
    found.add(10, 1)
    found.add(11, 10, files=5)
    found.add(12, 11, name="a) R 1 (b", shared=90)
    found.add(20, 1, rss=9999)
    return found


def test_the_tree_is_found_whole_in_one_look(kernel: Kernel) -> None:
    """By parents, whatever a program calls itself; what others hold does not count."""
    tree = kernel.tree().look()
    assert {10, 11, 12} == {one.key[0] for one in tree.alive}
    assert 21 == sum(one.threads for one in tree.alive)
    assert {3, 5} == set(tree.descriptors().values())
    assert (60 + 60 + 10) * PAGE == tree.anonymous_bytes()
    assert (60 + 60 + 10 + 90) * PAGE == tree.resident_bytes()


def test_a_zombie_holds_nothing(kernel: Kernel) -> None:
    """It is counted apart, and its CPU time still with the tree's."""
    kernel.add(11, 10, state="Z", ticks=500)
    kernel.add(12, 1)  # which the first process took over
    tree = kernel.tree().look()
    assert ([10], [11]) == ([one.key[0] for one in tree.alive], [pid for pid, _ in tree.zombies])
    assert 3 == sum(tree.descriptors().values())


def test_a_tree_that_is_not_there_is_an_error(kernel: Kernel) -> None:
    """A /proc of another namespace would look like a tree that holds nothing."""
    with pytest.raises(ProcessLookupError, match="process 99 is not among those"):
        LinuxTree(kernel.proc, 99).look()


def test_a_process_that_ends_while_it_is_looked_at_is_left_out(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be gone after its name was read, or after it was found to be of the tree; neither is an error."""
    honest = LinuxTree._shared_bytes

    def gone(tree: LinuxTree, pid: int) -> int | None:
        if pid == 12:
            (kernel.proc / "12" / "statm").unlink(missing_ok=True)
        return honest(tree, pid)

    (kernel.proc / "30").mkdir()  # listed, and its files gone already
    monkeypatch.setattr(LinuxTree, "_shared_bytes", gone)
    tree = kernel.tree().look()
    assert not isinstance(tree.shared_bytes, Exception)
    assert {10, 11} == {pid for pid, _ in tree.shared_bytes}


def test_a_process_that_lets_nobody_look_into_it_is_left_out_of_the_count(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a sandboxed browser's, on kernels that do not tell the size of the folder: it will be so for ever."""
    honest = os.listdir

    def denied(path: str) -> list[str]:
        if str(path).endswith("/11/fd"):
            raise PermissionError(13, "Permission denied")
        return honest(path)

    monkeypatch.setattr(os, "listdir", denied)
    assert {10, 12} == {pid for pid, _ in kernel.tree().look().descriptors()}


def test_descriptors_that_cannot_be_read_are_an_error_of_their_own(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the tree is known."""

    def fails(tree: LinuxTree, pid: int) -> int | None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(LinuxTree, "_descriptors", fails)
    tree = kernel.tree().look()
    assert 3 == len(tree.alive)
    with pytest.raises(OSError, match="Too many"):
        tree.descriptors()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the kernel has no /proc here")
def test_both_ways_see_the_same() -> None:
    """The kernel's files and psutil agree on a real tree."""
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as child:
        raw, portable = LinuxTree().look(), PortableTree().look()
        assert child.stdin is not None
        child.stdin.close()
    pids = {one.key[0] for one in raw.alive}
    assert {os.getpid(), child.pid} <= pids
    assert pids == {one.key[0] for one in portable.alive}
    assert raw.anonymous_bytes() == pytest.approx(portable.anonymous_bytes(), rel=0.2)
    assert raw.descriptors().keys() == raw.keys()


# What is made of two looks


def used(at_s: float, tree: Tree, idle_s: float = 0.0, quota_s: float | None = None) -> Used:
    """A reading at a time; the machine has two CPUs."""
    return Used(at_s, (idle_s, at_s * 2), tree, {} if quota_s is None else {"/group": (0.5, quota_s)})


def test_cpu_of_those_who_ended_counts(kernel: Kernel) -> None:
    """A child that its parent waited for leaves its time with the parent; no time is counted twice, or negative."""
    tick = os.sysconf("SC_CLK_TCK")
    kernel.add(12, 11, ticks=tick)
    before = used(0.0, kernel.tree().look())
    (kernel.proc / "12" / "stat").unlink()
    kernel.add(11, 10, reaped=2 * tick)
    assert 5.0 == tree_percent(before, used(10.0, kernel.tree().look()), 2)  # one second more, of twenty
    kernel.add(11, 10)  # and where nobody waited, it is lost, and nothing is made up
    assert 0.0 == tree_percent(before, used(10.0, kernel.tree().look()), 2)


def test_shares_of_the_machine_and_of_a_quota(kernel: Kernel) -> None:
    """Busy time of all CPUs, and time used against what the group may."""
    tree = kernel.tree().look()
    before, now = used(10.0, tree, 5.0, quota_s=1.0), used(20.0, tree, 20.0, quota_s=5.0)
    assert 25.0 == machine_percent(before, now)
    assert 80.0 == quota_percent(before, now)
    assert None is quota_percent(used(10.0, tree), used(20.0, tree))
    with pytest.raises(ValueError, match="did not advance"):
        machine_percent(now, now)


def test_who_vanished_and_whose_pid_is_another_s(kernel: Kernel) -> None:
    """A pid alone does not say who it is; the time that it began does."""
    before = kernel.tree().look()
    (kernel.proc / "12" / "stat").unlink()
    kernel.add(11, 10, started=900)
    assert (2, 1) == vanished(before, kernel.tree().look())
    assert (0, 0) == vanished(before, before)


# Processes of components


def test_a_process_that_ends_is_seen_as_what_it_is() -> None:
    """A zombie until somebody waits for it, and then gone; the look before that finds nothing wrong."""
    watch = ProcessWatch()
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as child:
        assert "" == watch.wrong_with(child.pid)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert f"its process {child.pid} is a zombie" == watch.wrong_with(child.pid)
    assert f"its process {child.pid} is gone" == watch.wrong_with(child.pid)
    assert "" == watch.wrong_with(None)
    assert "" == watch.wrong_with(os.getpid())


def test_a_pid_that_came_back_is_another_process(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same number with another beginning is not the component."""
    monkeypatch.setattr("lrm_actors.actors.sampling.watching.sight", lambda pid: sight(pid, kernel.proc))
    watch = ProcessWatch()
    assert ["", ""] == [watch.wrong_with(11), watch.wrong_with(11)]
    kernel.add(11, 10, started=900)
    assert "its process 11 is gone, and its pid another process's" == watch.wrong_with(11)
