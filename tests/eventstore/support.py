"""Events, clocks and faulty connections that the tests of the store share."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from typing import Any

import attrs

from eventstore.events import event, upcast
from eventstore.exiting import OPEN
from eventstore.protocol import EventStore
from eventstore.records import ANY_VERSION, Appended, Batch, Instant, NewEvent, StreamWrite
from eventstore.store import SqliteStore


@event("sample.counted", 1)
class Counted:
    n: int
    note: str = ""


@event("sample.measured", 1)
class Measured:
    values: dict[str, float]
    labels: tuple[str, ...] = ()
    extra: Any = None


@event("sample.renamed", 3)
class Renamed:
    """Current form; two older ones are upcast."""

    title: str
    size: int


@upcast("sample.renamed", 1)
def _name_became_title(payload: dict[str, Any]) -> dict[str, Any]:
    return {"title": payload["name"]}


@upcast("sample.renamed", 2)
def _size_was_added(payload: dict[str, Any]) -> dict[str, Any]:
    return {**payload, "size": len(payload["title"])}


class FakeClock:
    """Both clocks under the test's control."""

    def __init__(self) -> None:
        self.wall_s = 1_000.0
        self.monotonic_s = 10.0
        self.boot_id = "boot-1"

    def __call__(self) -> Instant:
        return Instant(self.wall_s, self.monotonic_s, self.boot_id)


class FaultyConnection(sqlite3.Connection):
    """A connection whose statements can be made to fail, before or after they take effect."""

    faults: list[Fault]

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        for fault in self.faults:
            if sql.startswith(fault.statement) and fault.left > 0:
                fault.left -= 1
                if fault.carried_out:
                    super().execute(sql, parameters)
                raise fault.error
        return super().execute(sql, parameters)


def left_open(store: SqliteStore) -> None:
    """Have nobody close what a test leaves as a kill does."""
    assert store._open_log is not None
    store._open_log.closed = True
    OPEN.discard(store._open_log)


@attrs.define
class Fault:
    """The next ``left`` statements that start with ``statement`` fail."""

    statement: str
    error: BaseException
    carried_out: bool = False
    """Whether they take effect all the same."""
    left: int = 1


def faulty(faults: list[Fault]) -> Callable[..., sqlite3.Connection]:
    """A ``connect`` whose connections have these faults; the list may be changed later."""

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = sqlite3.connect(*args, factory=FaultyConnection, **options)
        connection.faults = faults
        return connection

    return connect


def io_error(code: int = sqlite3.SQLITE_IOERR) -> sqlite3.OperationalError:
    """What SQLite raises when the disk fails, or with another result code."""
    error = sqlite3.OperationalError("the disk failed")
    error.sqlite_errorcode = code
    return error


def in_child(work: Callable[[], object]) -> str:
    """What a forked child got from ``work``: its result, or the name of what it raised. It ends without closing."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = repr(work())
        except BaseException as error:
            answer = type(error).__name__
        os.write(sending, answer.encode())
        os._exit(0)
    os.close(sending)
    os.waitpid(child, 0)
    with os.fdopen(receiving) as pipe:
        return pipe.read()


def append(
    store: EventStore,
    stream: str,
    *events: object,
    expected_version: int = ANY_VERSION,
    epoch: int | None = None,
    **batch: Any,
) -> Appended:
    """Append plain events to one stream."""
    return store.append(one_write(stream, *events, expected_version=expected_version, epoch=epoch, **batch))


def one_write(
    stream: str, *events: object, expected_version: int = ANY_VERSION, epoch: int | None = None, **batch: Any
) -> Batch:
    """A batch of plain events of one stream."""
    write = StreamWrite(stream, tuple(NewEvent(one) for one in events), expected_version, epoch)
    return Batch((write,), **batch)


def counts(store: Any, stream: str) -> list[int]:
    """The numbers counted in a stream."""
    return [record.event.n for record in store.read_stream(stream)]
