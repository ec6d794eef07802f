"""The SQLite library that the standard library's ``sqlite3`` itself uses, and its C interface for file systems."""

from __future__ import annotations

import ctypes
import sqlite3
from contextlib import closing
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from typing import ClassVar

from eventstore.errors import FaultsUnsupported

OPEN_CREATE = 0x4
OPEN_MAIN_DB, OPEN_MAIN_JOURNAL, OPEN_WAL = 0x100, 0x800, 0x80000

X_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
X_DELETE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
X_CLOSE = CFUNCTYPE(c_int, c_void_p)
X_READ = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
X_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
X_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
X_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)
X_FILE_SIZE = CFUNCTYPE(c_int, c_void_p, POINTER(c_int64))


class Vfs(ctypes.Structure):
    """``sqlite3_vfs``, version 3, with every function as an address."""

    _fields_: ClassVar = [
        ("version", c_int),
        ("file_bytes", c_int),
        ("max_path", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("app_data", c_void_p),
        *(
            (name, c_void_p)
            for name in (
                "open", "delete", "access", "full_path", "dl_open", "dl_error", "dl_sym", "dl_close", "randomness",
                "sleep", "current_time", "last_error", "current_time_64", "set_call", "get_call", "next_call",
            )
        ),
    ]  # fmt: skip


class IoMethods(ctypes.Structure):
    """``sqlite3_io_methods``, version 3, with every function as an address."""

    _fields_: ClassVar = [
        ("version", c_int),
        *(
            (name, c_void_p)
            for name in (
                "close", "read", "write", "truncate", "sync", "file_size", "lock", "unlock", "check_reserved_lock",
                "file_control", "sector_size", "device_characteristics", "shm_map", "shm_lock", "shm_barrier",
                "shm_unmap", "fetch", "unfetch",
            )
        ),
    ]  # fmt: skip


class File(ctypes.Structure):
    """``sqlite3_file``: what is known of every open file is the address of its methods."""

    _fields_: ClassVar = [("methods", c_void_p)]


def sqlite_library() -> ctypes.CDLL:
    """The very library that ``sqlite3`` calls: another copy in this process would undo its file locks.

    Raises:
        FaultsUnsupported: it is linked statically, or hidden otherwise.
    """
    import _sqlite3

    with closing(sqlite3.connect(":memory:")) as connection:
        wanted = connection.execute("SELECT sqlite_source_id()").fetchone()[0]
    # A symbol is looked for in the extension module and in what that is linked to; a static one is in the interpreter.
    for place in (getattr(_sqlite3, "__file__", None), None):
        try:
            library = ctypes.CDLL(place)
            library.sqlite3_sourceid.restype = c_char_p
            library.sqlite3_vfs_find.restype = c_void_p
            library.sqlite3_vfs_find.argtypes = [c_char_p]
            library.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
            library.sqlite3_vfs_unregister.argtypes = [c_void_p]
            if library.sqlite3_sourceid().decode() == wanted:
                return library
        except (OSError, AttributeError):
            continue
    raise FaultsUnsupported("its functions are not exported")


def unix_vfs(library: ctypes.CDLL) -> Vfs:
    """SQLite's own file system for POSIX.

    Raises:
        FaultsUnsupported: this platform has another, or one of an unknown form.
    """
    address = library.sqlite3_vfs_find(b"unix")
    if not address:
        raise FaultsUnsupported("it has no file system named 'unix'")
    vfs = Vfs.from_address(address)
    if vfs.version < 3:
        raise FaultsUnsupported(f"version {vfs.version} of its file system interface is too old")
    return vfs
