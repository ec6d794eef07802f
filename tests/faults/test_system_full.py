"""A real log on a disk that is really full: asks end, told commands wait, and the tree is whole when space returns."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventstore import open_store
from eventstore.protocol import EventStore
from lrm_actors.errors import OutcomeUnknown, StorageUnavailable
from lrm_actors.runtime.system import ActorSystem
from tests.runtime.support import PATIENCE_S, Add, Count, Look, Note, counter, eventually, running

Free = Callable[[], object]


@contextlib.contextmanager
def size_limit(directory: Path) -> Iterator[Free]:
    """No file of this process may grow past 300 KiB: writes beyond fail as on a disk with an I/O error."""
    directory.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def lift() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    resource.setrlimit(resource.RLIMIT_FSIZE, (300 * 1024, hard))
    try:
        yield lift
    finally:
        lift()


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[Free]:
    """A file system of 1 MiB in memory, which can be made larger."""
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory], check=True)
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=64m", directory], check=True)
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def may_mount() -> bool:
    """Whether this user may mount a file system, tried for real in a mount namespace of its own."""
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    with contextlib.suppress(FileNotFoundError):
        return os.geteuid() == 0 and subprocess.run(probe, capture_output=True, check=False).returncode == 0
    return False


DISKS = [size_limit, small_disk] if may_mount() else [size_limit]


@contextlib.contextmanager
def log_on(path: Path) -> Iterator[EventStore]:
    """A log that is closed at the end."""
    store = open_store(path)
    try:
        yield store
    finally:
        store.close()


def notes(system: ActorSystem) -> list[str]:
    """What the counter has noted, without the padding."""
    return [note.rpartition(" ")[0] for note in system.state("counter").notes]


@pytest.mark.parametrize("disk", DISKS, ids=lambda disk: disk.__name__)
def test_a_full_disk_costs_nobody_anything_but_time(
    disk: Callable[[Path], contextlib.AbstractContextManager[Free]], tmp_path: Path
) -> None:
    """Until the disk is full every acknowledged event is there; while it is, asks end typed; after it, all goes on."""
    with disk(tmp_path / "disk") as free, log_on(tmp_path / "disk" / "lrm.db") as store:
        with running(counter(), counter("sibling"), store=store) as system:
            acknowledged = 0
            # Where the very commit fails, nobody can say whether it will be found, and the ask says just that.
            with pytest.raises((StorageUnavailable, OutcomeUnknown)):
                for _ in range(1000):
                    system.ask_blocking("counter", Note(f"asked {acknowledged} " + "x" * 4000), timeout_s=1.0)
                    acknowledged += 1
            for number in range(5):
                system.tell("counter", Note(f"told {number} " + "y" * 4000))
            with pytest.raises(StorageUnavailable):
                system.ask_blocking("counter", Look(), timeout_s=1.0)
            free()
            eventually(lambda: [note for note in notes(system) if note == "told 4"], "the told commands")
            asked = [f"asked {number}" for number in range(acknowledged)]
            in_doubt = notes(system)[acknowledged:-5]
            assert in_doubt in ([], [f"asked {acknowledged}"])
            assert [*asked, *in_doubt, *(f"told {number}" for number in range(5))] == notes(system)
            eventually(lambda: system.phase("counter") == system.phase("sibling") == "running", "the whole tree")
            assert 1 == system.ask_blocking("sibling", Add(1), timeout_s=PATIENCE_S)
            assert 1 == system.ask_blocking("counter", Add(1), timeout_s=PATIENCE_S)
            expected: Count = system.state("counter")
        assert store.verify().ok
        with running(counter(snapshot_every=0), store=store) as again:
            assert expected == again.state("counter")
