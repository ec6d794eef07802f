"""What a copy that was killed leaves behind: files under another name than its own, and what SQLite kept beside them.

And the directory in which a salvage works. Talks to the file system. Whoever writes such a file, or in such a
directory, keeps a lock on it until it is done, which a kill frees. So one that nobody has locked is nobody's. Who did
not make it, and only tidies up, also waits until it is old.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from eventstore.descriptors import open_descriptor
from eventstore.frozen import frozen

SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file. One that is left from another file would be taken for the new one's."""
SUFFIX = ".partial"
ABANDONED_S = 3_600.0
"""Seconds since it was last written after which one that nobody has locked is taken for left behind."""
TRIES = 10
"""Names that are tried for a new one: who tidies up may have looked at it just when it was made."""

_SCRATCH = re.compile(r"\.(?P<target>.+)\.salvage-[a-z0-9_]{8}", re.DOTALL)
_NAME = re.compile(r"(?P<whole>(?P<target>.+?)(?:\.[a-z0-9_]{8})?\.partial)(?:-wal|-shm|-journal)?", re.DOTALL)


@frozen
class Leftover:
    """A file that was to become another, and what is beside it."""

    path: Path
    """It need not be there any more, where others beside it are."""
    files: tuple[Path, ...]
    size_bytes: int
    written_s: float
    """Wall-clock time at which one of them was last written."""
    is_directory: bool = False
    """In which something was worked on that was to become a file."""

    def is_old(self) -> bool:
        """Whether nobody has written it for long."""
        return time.time() - self.written_s >= ABANDONED_S

    def is_free(self) -> bool:
        """Whether nobody writes it. False where that cannot be told."""
        with _held(self.path) as held:
            return held

    def remove(self) -> bool:
        """Remove it, unless somebody writes it. Returns whether it is gone."""
        with _held(self.path) as held:
            if not held:
                return False
            if self.is_directory:
                import shutil  # for what is hardly ever there

                shutil.rmtree(self.path, ignore_errors=True)
                return not self.path.exists()
            gone = True
            for path in sorted(self.files, key=lambda one: one == self.path):  # itself last: it tells whose they are
                try:
                    path.unlink(missing_ok=True)
                except OSError:
                    gone = False
            return gone


def make_partial(target: Path) -> tuple[Path, int]:
    """A new file beside the one that it is to become, mode 0600, and a descriptor that keeps it locked until closed.

    Raises:
        OSError: it cannot be made.
    """
    import tempfile  # for what makes one, and not for what only looks

    for _ in range(TRIES):
        descriptor, name = tempfile.mkstemp(SUFFIX, f"{target.name}.", target.parent)
        os.close(descriptor)
        with contextlib.suppress(FileNotFoundError):  # somebody tidied up
            descriptor = open_descriptor(name, os.O_RDWR)
            if _lock(descriptor) is not False and _is_there(name, descriptor):
                return Path(name), descriptor
            os.close(descriptor)
    raise OSError(None, f"no file can be kept in {target.parent}")


@contextlib.contextmanager
def scratch_beside(target: Path) -> Iterator[Path]:
    """A directory beside a file that is to be made, mode 0700, to work on it; it is gone when the block ends.

    A kill leaves it. The next one for the same file removes it.

    Raises:
        OSError: it cannot be made.
    """
    import shutil  # for what makes one, and not for what only looks

    clear_before(target)
    scratch, descriptor = _locked_scratch(target)
    try:
        yield scratch
    finally:
        os.close(descriptor)
        shutil.rmtree(scratch, ignore_errors=True)


def _locked_scratch(target: Path) -> tuple[Path, int]:
    import tempfile  # as above

    for _ in range(TRIES):
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.salvage-", dir=target.parent))
        with contextlib.suppress(FileNotFoundError):  # somebody tidied up
            descriptor = open_descriptor(scratch, os.O_RDONLY)
            if _lock(descriptor) is not False and _is_there(str(scratch), descriptor):
                return scratch, descriptor
            os.close(descriptor)
    raise OSError(None, f"no directory can be kept in {target.parent}")


def leftovers(directory: Path, wanted: Callable[[str], bool]) -> Iterator[Leftover]:
    """What lies in a directory of files that were to become others, and of directories to work on such.

    Args:
        directory: one that is not there, or cannot be read, has none.
        wanted: whether it is looked for, by the name of the file that it was to become.
    """
    found: dict[str, list[os.DirEntry[str]]] = {}
    scratches: list[Path] = []
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name) if SUFFIX in entry.name else None
            if match is not None and wanted(match["target"]) and entry.is_file(follow_symlinks=False):
                found.setdefault(match["whole"], []).append(entry)
            match = _SCRATCH.fullmatch(entry.name)
            if match is not None and wanted(match["target"]) and entry.is_dir(follow_symlinks=False):
                scratches.append(Path(entry.path))
    for name, entries_of in sorted(found.items()):
        with contextlib.suppress(OSError):  # it was removed meanwhile
            files = tuple(sorted(Path(entry.path) for entry in entries_of))
            yield _leftover(directory / name, files, files, is_directory=False)
    for scratch in sorted(scratches):
        with contextlib.suppress(OSError):
            yield _leftover(scratch, (scratch,), (scratch, *scratch.iterdir()), is_directory=True)


def _leftover(path: Path, files: tuple[Path, ...], every: Iterable[Path], *, is_directory: bool) -> Leftover:
    status = [one.lstat() for one in every]
    size, written_s = sum(one.st_size for one in status), max(one.st_mtime for one in status)
    return Leftover(path, files, size, written_s, is_directory)


def of_log(log: Path) -> Callable[[str], bool]:
    """Whether a file was to become a log, or something beside it that has its name before another ending."""
    return lambda name: name == log.name or name.startswith(f"{log.name}.")


def clear_before(target: Path) -> None:
    """Remove what earlier tries to make this file left behind."""
    for one in leftovers(target.parent, target.name.__eq__):
        one.remove()


def tidy(log: Path) -> None:
    """Remove what copies left beside a log that is surely nobody's."""
    for one in leftovers(log.parent, of_log(log)):
        if one.is_old():
            one.remove()


@contextlib.contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Whether the file could be locked, for as long as the block lasts; one that is not there is nobody's."""
    try:
        try:
            descriptor = open_descriptor(path, os.O_RDWR | os.O_NOFOLLOW)
        except IsADirectoryError:
            descriptor = open_descriptor(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield True
        return
    except OSError:
        yield False
        return
    try:
        yield _lock(descriptor) is True
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock a file: True; False where somebody else has; None where that cannot be told here."""
    try:
        import fcntl  # POSIX only, and importing the package must work everywhere

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def _is_there(name: str, descriptor: int) -> bool:
    """Whether a descriptor's file still has its name."""
    try:
        return os.path.samestat(Path(name).stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
