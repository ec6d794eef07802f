"""A SQLite file system that fails, kills or records on demand, below the ``sqlite3`` that ships with Python.

It copies SQLite's own ``unix`` file system and puts Python functions in the place of a few of its methods. Locks and
shared memory stay SQLite's own.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sqlite3
import threading
import urllib.parse
from collections.abc import Callable
from itertools import count
from types import TracebackType
from typing import Any, Literal, Self

import attrs

from eventstore.errors import HookFailed
from eventstore.forking import leak
from eventstore.testing import sqlite_library as c
from eventstore.testing.capture import Capture
from eventstore.testing.faults import CarriedOut, Fault, Kind, Operation, Role

_ROLES: dict[int, Role] = {c.OPEN_MAIN_DB: "main", c.OPEN_WAL: "wal", c.OPEN_MAIN_JOURNAL: "journal"}
_numbers = count(1)


class _Methods:
    """SQLite's methods of one sort of file, and the copy that has ours among them."""

    def __init__(self, address: int, ours: dict[str, Any]) -> None:
        theirs = c.IoMethods.from_address(address)
        self.close = c.X_CLOSE(theirs.close)
        self.read = c.X_READ(theirs.read)
        self.write = c.X_WRITE(theirs.write)
        self.truncate = c.X_TRUNCATE(theirs.truncate)
        self.sync = c.X_SYNC(theirs.sync)
        self.file_size = c.X_FILE_SIZE(theirs.file_size)
        self.copy = c.IoMethods.from_buffer_copy(theirs)
        for name, callback in ours.items():
            setattr(self.copy, name, _address(callback))

    def content(self, file: int) -> bytes:
        """All of a file, read through SQLite: opening it a second time would drop SQLite's locks on it."""
        size = ctypes.c_int64()
        if self.file_size(file, ctypes.byref(size)):
            raise OSError("the size of a file cannot be read")
        buffer = ctypes.create_string_buffer(max(1, size.value))
        if size.value and self.read(file, ctypes.addressof(buffer), size.value, 0):
            raise OSError("a file cannot be read")
        return buffer.raw[: size.value]


@attrs.frozen
class _OpenFile:
    path: str
    role: Role
    methods: _Methods
    syncs_directory: bool


def _never_raises(callback: Callable[..., int]) -> Callable[..., int]:
    """Answer with an I/O error in place of an exception.

    One that left a callback would only be printed, and SQLite would take what lies on the stack for the result: most
    often success, of a sync that never was.
    """
    name = callback.__name__.removeprefix("_on_")

    def call(vfs: FaultVFS, *args: Any) -> int:
        try:
            return callback(vfs, *args)
        except BaseException as error:  # noqa: BLE001 - told by ``check``
            return vfs._raised(name, error)  # noqa: SLF001

    return call


class FaultVFS:
    """One file system of its own name. Connections made by ``connect`` go through it, all others do not.

    ``reads`` says whether reads are operations too; they are many. Safe to use from any thread. Closed connections or
    not, an instance is kept until the process ends, because SQLite may call it until then: use few, and ``reset`` them.

    Raises:
        FaultsUnsupported: this Python's SQLite is linked statically, or the platform is not POSIX.
    """

    def __init__(self, *, reads: bool = False) -> None:
        self._reads = reads
        library = c.sqlite_library()
        theirs = c.unix_vfs(library)
        self.name = f"faults-{os.getpid()}-{next(_numbers)}"
        self._library = library
        self._lock = threading.Lock()
        self._number = 0
        self._faults: list[Fault] = []
        self._watch: Callable[[Operation], None] | None = None
        self._failure: HookFailed | None = None
        self._capture: Capture | None = None
        self._files: dict[int, _OpenFile] = {}
        self._unsynced: set[int] = set()
        """Open files whose first successful sync takes the directory along."""
        self._methods: dict[int, _Methods] = {}
        self._theirs = ctypes.addressof(theirs)
        self._their_open = c.X_OPEN(theirs.open)
        self._their_delete = c.X_DELETE(theirs.delete)
        self._ours = {
            "close": c.X_CLOSE(self._on_close),
            "write": c.X_WRITE(self._on_write),
            "truncate": c.X_TRUNCATE(self._on_truncate),
            "sync": c.X_SYNC(self._on_sync),
        }
        if reads:
            self._ours["read"] = c.X_READ(self._on_read)
        self._on = (c.X_OPEN(self._on_open), c.X_DELETE(self._on_delete))
        self._vfs = c.Vfs.from_buffer_copy(theirs)
        self._vfs.next = None
        self._vfs.name = self.name.encode()
        self._vfs.open, self._vfs.delete = map(_address, self._on)
        library.sqlite3_vfs_register(ctypes.addressof(self._vfs), 0)
        leak(self)

    def connect(self, database: str | bytes | os.PathLike[Any], *args: Any, **options: Any) -> sqlite3.Connection:
        """``sqlite3.connect`` through this file system. Databases in memory have no files and are left alone."""
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect
        name = os.fsdecode(database)
        uri = options.pop("uri", False)
        if name in ("", ":memory:"):
            return connect(name, *args, **options)
        if not (uri and name.startswith("file:")):
            name = f"file:{urllib.parse.quote(os.fsencode(name))}"
        name += f"{'&' if '?' in name else '?'}vfs={self.name}"
        return connect(name, *args, uri=True, **options)

    # --- planting -------------------------------------------------------------------------------------------------

    def fail(
        self,
        kind: Kind | None = None,
        nth: int = 1,
        *,
        file: Role | None = None,
        sticky: bool = False,
        error: Literal["io", "full"] | int = "io",
        carried_out: CarriedOut = "none",
    ) -> Fault:
        """Let the ``nth`` operation from now fail, and all that follow if it is ``sticky``.

        Args:
            kind: only operations of this kind; None for all.
            nth: from 1, among the operations that match.
            file: only operations on the database itself, its WAL or its rollback journal; None for all.
            sticky: whether every later one fails too.
            error: the disk's, ``full``, or a result code of SQLite's.
            carried_out: what happens all the same. ``half`` of a write is a short write; of anything else, nothing.

        Raises:
            ValueError: it could never happen: there is no such kind, file or error, ``nth`` is below 1, or reads are no
                operations.
        """
        return self._plant(Fault("fail", kind, file, nth, sticky, error, carried_out))

    def kill(
        self,
        kind: Kind | None = None,
        nth: int = 1,
        *,
        file: Role | None = None,
        carried_out: CarriedOut = "none",
    ) -> Fault:
        """Let the process kill itself with SIGKILL at the ``nth`` operation from now. For arguments see ``fail``."""
        return self._plant(Fault("kill", kind, file, nth, sticky=False, error="io", carried_out=carried_out))

    def drop(self, kind: Kind = "sync", nth: int = 1, *, file: Role | None = None, sticky: bool = True) -> Fault:
        """Answer that an operation succeeded without doing it: a disk that lies. For arguments see ``fail``."""
        return self._plant(Fault("drop", kind, file, nth, sticky, error="io", carried_out="none"))

    def watch(self, callback: Callable[[Operation], None] | None) -> None:
        """Call this before each operation. What it raises fails the operation, and is raised again by ``check``."""
        self._watch = callback

    def capture(self) -> Capture:
        """Record from now on, until ``reset``. Files that are open are recorded with what is in them now."""
        with self._lock:
            made = Capture()
            for pointer, file in self._files.items():
                made.appear(file.path, file.methods.content(pointer))
            self._capture = made
        return made

    def clear(self) -> None:
        """Take all faults back."""
        with self._lock:
            self._faults = []

    def reset(self) -> None:
        """Take everything back: faults, watching, capture, and the count of operations.

        Raises:
            HookFailed: see ``check``.
        """
        with self._lock:
            self._faults, self._watch, self._capture, self._number = [], None, None, 0
        self.check()

    @property
    def operations(self) -> int:
        """Operations since the file system was made or ``reset``."""
        return self._number

    def check(self) -> None:
        """Raise what a callback raised meanwhile. SQLite got an I/O error in its place.

        Raises:
            HookFailed: one did. Told once.
        """
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure from failure.error

    def close(self) -> None:
        """No new connection can be made. Those that exist go on, without faults.

        Raises:
            HookFailed: see ``check``.
        """
        self._library.sqlite3_vfs_unregister(ctypes.addressof(self._vfs))
        self.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- what SQLite calls ----------------------------------------------------------------------------------------

    @_never_raises
    def _on_open(self, vfs: int, name: int | None, file: int, flags: int, out_flags: int | None) -> int:
        role = next((role for flag, role in _ROLES.items() if flags & flag), None)
        if role is None or not name:  # temporary files, which nobody misses after a crash
            return int(self._their_open(self._theirs, name, file, flags, out_flags))
        path = os.fsdecode(ctypes.string_at(name))
        c.File.from_address(file).methods = None  # there is nothing to close if this fails
        fault = self._meet("open", role, path)
        if fault is not None and fault.action != "drop":
            return fault.code("open")
        existed = os.path.exists(path)  # noqa: PTH110 - on the path of every open
        code = self._their_open(self._theirs, name, file, flags, out_flags)
        if code == sqlite3.SQLITE_OK:
            self._opened(path, role, file, creating=bool(flags & c.OPEN_CREATE), existed=existed)
        return int(code)

    @_never_raises
    def _on_delete(self, vfs: int, name: int, sync_directory: int) -> int:
        path = os.fsdecode(ctypes.string_at(name))
        fault = self._meet("delete", "wal" if path.endswith("-wal") else "journal", path)
        code = sqlite3.SQLITE_OK
        if fault is None or fault.carried_out == "whole":
            code = self._their_delete(self._theirs, name, sync_directory)
            if self._capture is not None and code == sqlite3.SQLITE_OK:
                self._capture.delete(path)
                if sync_directory:
                    self._capture.sync_directory(path)
        return int(code) if fault is None else self._result(fault, "delete")

    @_never_raises
    def _on_close(self, pointer: int) -> int:
        self._unsynced.discard(pointer)
        return int(self._files.pop(pointer).methods.close(pointer))

    @_never_raises
    def _on_read(self, pointer: int, data: int, amount: int, offset: int) -> int:
        file = self._files[pointer]
        fault = self._meet("read", file.role, file.path, offset, amount)
        if fault is None or fault.action == "drop":
            return int(file.methods.read(pointer, data, amount, offset))
        return self._result(fault, "read")

    @_never_raises
    def _on_write(self, pointer: int, data: int, amount: int, offset: int) -> int:
        file = self._files[pointer]
        fault = self._meet("write", file.role, file.path, offset, amount)
        done = amount
        if fault is not None:
            done = {"none": 0, "half": amount // 2, "whole": amount}[fault.carried_out]
        code = sqlite3.SQLITE_OK
        if done:
            code = file.methods.write(pointer, data, done, offset)
            if self._capture is not None and code == sqlite3.SQLITE_OK:
                self._capture.write(file.path, offset, ctypes.string_at(data, done))
        return int(code) if fault is None else self._result(fault, "write")

    @_never_raises
    def _on_truncate(self, pointer: int, size: int) -> int:
        file = self._files[pointer]
        fault = self._meet("truncate", file.role, file.path, size)
        code = sqlite3.SQLITE_OK
        if fault is None or fault.carried_out == "whole":
            code = file.methods.truncate(pointer, size)
            if self._capture is not None and code == sqlite3.SQLITE_OK:
                self._capture.truncate(file.path, size)
        return int(code) if fault is None else self._result(fault, "truncate")

    @_never_raises
    def _on_sync(self, pointer: int, flags: int) -> int:
        file = self._files[pointer]
        fault = self._meet("sync", file.role, file.path)
        if fault is None or fault.carried_out == "whole":
            code = file.methods.sync(pointer, flags)
            if self._capture is not None and code == sqlite3.SQLITE_OK:
                self._capture.sync(file.path)
                if pointer in self._unsynced:
                    self._capture.sync_directory(file.path)
            if code == sqlite3.SQLITE_OK:
                self._unsynced.discard(pointer)
            return int(code) if fault is None else self._result(fault, "sync")
        if fault.action == "fail" and self._capture is not None:
            self._capture.sync(file.path, failed=True)
        return self._result(fault, "sync")

    # --- inside ---------------------------------------------------------------------------------------------------

    def _plant(self, fault: Fault) -> Fault:
        if fault.kind == "read" and not self._reads:
            raise ValueError("reads are no operations here: make it FaultVFS(reads=True)")
        with self._lock:
            self._faults.append(fault)
        return fault

    def _opened(self, path: str, role: Role, file: int, *, creating: bool, existed: bool) -> None:
        handle = c.File.from_address(file)
        address = int(handle.methods or 0)
        methods = self._methods.get(address)
        if methods is None:
            methods = self._methods[address] = _Methods(address, self._ours)
        handle.methods = ctypes.addressof(methods.copy)
        # SQLite syncs the directory with the first sync of every journal and WAL that it may have made
        syncs_directory = creating and role != "main"
        self._files[file] = _OpenFile(path, role, methods, syncs_directory)
        if syncs_directory:
            self._unsynced.add(file)
        if self._capture is not None and not self._capture.knows(path):
            self._capture.appear(path, methods.content(file) if existed else None)

    def _meet(self, kind: Kind, role: Role, path: str, offset: int = 0, size: int = 0) -> Fault | None:
        """Count an operation and find the fault that happens at it. One that kills before it is carried out does."""
        with self._lock:
            self._number += 1
            number = self._number
            met = [fault for fault in self._faults if fault.meets(kind, role)]
        if self._watch is not None:
            self._watch(Operation(number, kind, role, path, offset, size))
        fault = met[0] if met else None
        if fault is not None and fault.action == "kill" and fault.carried_out == "none":
            _die()
        return fault

    def _result(self, fault: Fault, kind: Kind) -> int:
        if fault.action == "kill":
            _die()
        return sqlite3.SQLITE_OK if fault.action == "drop" else fault.code(kind)

    def _raised(self, operation: str, error: BaseException) -> int:
        if self._failure is None:
            self._failure = HookFailed(operation, error)
        return sqlite3.SQLITE_IOERR


def _address(callback: Any) -> int:
    return int(ctypes.cast(callback, ctypes.c_void_p).value or 0)


def _die() -> None:
    while True:
        os.kill(os.getpid(), signal.SIGKILL)
