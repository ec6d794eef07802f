"""Taking a log into ownership: what comes in between, and what a log must say of its owner."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from eventstore import opening
from eventstore.errors import CorruptLog
from eventstore.opening import open_store
from eventstore.reserve import Reserve
from tests.eventstore.support import Counted, append


@pytest.mark.parametrize(("owner", "name"), [(os, "ftruncate"), (Reserve, "make"), (opening, "migrate")])
def test_who_is_interrupted_while_opening_owns_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    """A signal's exception comes at any time: the lock is let go of, and the next try opens the log."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, name, interrupted)
        open_store(path)
    with open_store(path) as store:
        append(store, "a", Counted(1))


def test_a_log_that_does_not_say_who_owns_it(path: Path) -> None:
    """It is damaged, and that is what is said."""
    open_store(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM owner")
    with pytest.raises(CorruptLog):
        open_store(path)
