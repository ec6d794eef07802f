"""What a program did to its files, in order: the log that a power-cut explorer works from."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

EntryKind: TypeAlias = Literal[
    "found", "create", "write", "truncate", "sync", "sync-failed", "sync-directory", "delete", "mark"
]


class Entry(NamedTuple):
    """One thing that happened. Fields that a kind has no use for are empty."""

    kind: EntryKind
    inode: int = 0
    """Number of the file behind the name: a file that is deleted and made anew is another one."""
    path: str = ""
    """Absolute; of a mark, its name."""
    offset: int = 0
    """Bytes from the start of the file, of a truncation its new size; of a mark, its value."""
    data: bytes = b""
    """What was written; for ``found``, the whole content."""


class Capture:
    """A growing list of entries. ``FaultVFS.capture`` makes and fills one; the test adds marks."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._inodes: dict[str, int] = {}
        self._next = 1

    def mark(self, name: str, value: int) -> None:
        """Note that something became true at this point, as ``mark("acknowledged", 17)``. Values may not decrease."""
        self.entries.append(Entry("mark", path=name, offset=value))

    def appear(self, path: str, content: bytes | None) -> None:
        """A file was opened that was there with ``content``, or (None) a new one. Known ones are not noted twice."""
        if path in self._inodes:
            return
        inode = self._inodes[path] = self._next
        self._next += 1
        if content is None:
            self.entries.append(Entry("create", inode, path))
        else:
            self.entries.append(Entry("found", inode, path, data=content))

    def knows(self, path: str) -> bool:
        """Whether the file of this name has appeared and is not deleted."""
        return path in self._inodes

    def write(self, path: str, offset: int, data: bytes) -> None:
        """Bytes were written."""
        self.entries.append(Entry("write", self._inodes[path], path, offset, data))

    def truncate(self, path: str, size: int) -> None:
        """A file was cut to ``size`` bytes."""
        self.entries.append(Entry("truncate", self._inodes[path], path, size))

    def sync(self, path: str, *, failed: bool = False) -> None:
        """A file was synchronised, or that failed."""
        self.entries.append(Entry("sync-failed" if failed else "sync", self._inodes[path], path))

    def sync_directory(self, path: str) -> None:
        """The directory of a file was synchronised."""
        self.entries.append(Entry("sync-directory", path=path))

    def delete(self, path: str) -> None:
        """A name was removed."""
        inode = self._inodes.pop(path, 0)
        if inode:
            self.entries.append(Entry("delete", inode, path))
