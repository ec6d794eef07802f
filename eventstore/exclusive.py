"""The transactions of whoever keeps all others out for a while."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Running(Protocol):
    """Runs transactions one after the other."""

    def run(self, work: Callable[[sqlite3.Connection], T], *, strict: bool = True) -> T:
        """Commit what ``work`` does, or nothing."""

    def checkpoint(self) -> bool:
        """Copy the WAL into the file and empty it, if nobody reads it."""

    def settle(self) -> int:
        """After an unknown outcome, decide it."""


class Exclusive:
    """The transactions of whoever holds the lock.

    Args:
        check: whether there may be any now.
        run: what ``Transactions`` does with the lock held; so are the others.
    """

    def __init__(
        self,
        check: Callable[[], None],
        run: Callable[..., Any],
        checkpoint: Callable[[], bool],
        settle: Callable[[], int],
    ) -> None:
        self._check, self._run, self._checkpoint, self._settle = check, run, checkpoint, settle

    def run(self, work: Callable[[sqlite3.Connection], T], *, strict: bool = True) -> T:
        """See ``Running``."""
        self._check()
        result: T = self._run(work, strict=strict)
        return result

    def checkpoint(self) -> bool:
        """See ``Running``."""
        self._check()
        return self._checkpoint()

    def settle(self) -> int:
        """See ``Running``."""
        return self._settle()
