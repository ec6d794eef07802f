"""What can go wrong at one operation on a file, and when."""

from __future__ import annotations

import sqlite3
from typing import Literal, NamedTuple, TypeAlias, get_args

import attrs

Kind: TypeAlias = Literal["open", "read", "write", "sync", "truncate", "delete"]
Role: TypeAlias = Literal["main", "wal", "journal"]
CarriedOut: TypeAlias = Literal["none", "half", "whole"]

FULL = sqlite3.SQLITE_FULL
IO_CODES: dict[Kind, int] = {
    "open": sqlite3.SQLITE_CANTOPEN,
    "read": sqlite3.SQLITE_IOERR_READ,
    "write": sqlite3.SQLITE_IOERR_WRITE,
    "sync": sqlite3.SQLITE_IOERR_FSYNC,
    "truncate": sqlite3.SQLITE_IOERR_TRUNCATE,
    "delete": sqlite3.SQLITE_IOERR_DELETE,
}
"""What SQLite's own file system answers when the kernel refuses."""


class Operation(NamedTuple):
    """One call of SQLite's to its file system."""

    number: int
    """From 1, since the file system was made or ``reset``."""
    kind: Kind
    file: Role
    path: str
    offset: int
    """Of a truncation, the new size."""
    size: int
    """Bytes read or written."""


@attrs.define(eq=False)
class Fault:
    """What shall happen at one operation, or from one on. Made by ``fail``, ``kill`` and ``drop``.

    Raises:
        ValueError: it could never happen, and whoever waits for it would prove nothing.
    """

    action: Literal["fail", "kill", "drop"]
    kind: Kind | None
    """None for any."""
    file: Role | None
    nth: int
    """From 1, among the operations that match, counted from when the fault was planted."""
    sticky: bool
    error: Literal["io", "full"] | int
    carried_out: CarriedOut
    seen: int = 0
    """Matching operations so far."""
    fired: int = 0
    """How often it has happened."""

    def __attrs_post_init__(self) -> None:
        for name, value, known in (
            ("kind", self.kind, (None, *get_args(Kind))),
            ("file", self.file, (None, *get_args(Role))),
            ("carried_out", self.carried_out, get_args(CarriedOut)),
        ):
            if value not in known:
                raise ValueError(f"{name} = {value!r}: it is one of {', '.join(map(repr, known))}")
        if isinstance(self.error, str) and self.error not in ("io", "full"):
            raise ValueError(f"error = {self.error!r}: it is 'io', 'full' or a result code of SQLite's")
        if self.nth < 1:
            raise ValueError(f"nth = {self.nth}: it counts from 1")

    def code(self, kind: Kind) -> int:
        """The result code that SQLite gets."""
        if self.error == "full":
            return FULL
        return IO_CODES[kind] if self.error == "io" else self.error

    def meets(self, kind: Kind, file: Role) -> bool:
        """Whether it happens now. Counts the operation."""
        if self.kind not in (None, kind) or self.file not in (None, file):
            return False
        self.seen += 1
        if self.seen == self.nth or (self.sticky and self.seen > self.nth):
            self.fired += 1
            return True
        return False
