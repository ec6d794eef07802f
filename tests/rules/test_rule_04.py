"""Rule 4: one epoch holder per stream appends, snapshots or checkpoints; a fenced zombie ends itself for good.

The fence is part of the append's own transaction, so it is tried by races: a holder that goes on writing while another
one takes over, again and again, of one stream and of a whole log.

Not yet held: the takeover of a hung actor by its own system, with the turn in its hand.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest

from eventstore import writing
from eventstore.errors import AppendFailed, Fenced
from eventstore.events import event
from eventstore.opening import open_store
from eventstore.records import Attachment, Batch, Cursor, NewEvent, Snapshot, StreamWrite
from eventstore.store import SqliteStore
from eventstore.transactions import Transactions
from eventstore.writing import BatchWriter
from lrm_actors.domain import supervisor
from lrm_actors.errors import ActorStopped
from lrm_actors.runtime.committing import CURSOR_LAG
from lrm_actors.runtime.control import Restart
from lrm_actors.runtime.shell import Shell
from lrm_actors.runtime.turn import Turn
from tests.rules.support import system_on_disk
from tests.runtime.support import PATIENCE_S, Add, counter, eventually

STREAM = "contested"
TAKEOVERS, LOG_TAKEOVERS, ACTOR_TAKEOVERS = 200, 15, 15
TRIES_AFTER = 2
"""How often a zombie tries each kind of writing after it was taken over from."""


@event("contest.wrote", 1)
class Wrote:
    epoch: int
    number: int


@attrs.define
class Holder:
    """Writes to the stream as fast as it can, in every way there is, until it was refused often enough."""

    store: SqliteStore
    epoch: int
    started: threading.Event = attrs.Factory(threading.Event)
    taken_over: threading.Event = attrs.Factory(threading.Event)
    trespasses: list[str] = attrs.Factory(list)
    """What it could still store although it had been taken over from."""
    number: int = 0

    def run(self) -> None:
        """Go on and on, and note what should have been refused."""
        tries = 0
        while tries < TRIES_AFTER:
            taken_over = self.taken_over.is_set()
            tries += taken_over
            for what, batch in self._batches():
                try:
                    self.store.append(batch)
                except Fenced:
                    continue
                self.started.set()
                if taken_over:
                    self.trespasses.append(f"epoch {self.epoch} stored {what}")

    def _batches(self) -> Iterator[tuple[str, Batch]]:
        self.number += 1
        mark = f"{self.epoch:05d}/{self.number}"
        wrote = StreamWrite(STREAM, (NewEvent(Wrote(self.epoch, self.number)),), epoch=self.epoch)
        fence = StreamWrite(STREAM, (), epoch=self.epoch)
        version = self.store.version(STREAM)
        yield "an event", Batch((wrote,), attachments=(Attachment(f"with/{mark}", b"x"),))
        yield (
            "a snapshot",
            Batch((fence,), snapshots=(Snapshot(STREAM, version, "contest/1", str(self.epoch).encode()),)),
        )
        yield "a checkpoint", Batch((fence,), attachments=(Attachment(f"alone/{mark}", b"x"),))
        yield "a cursor", Batch((fence,), cursors=(Cursor(STREAM, self.epoch),))


def check_contest(store: SqliteStore, grants: dict[int, int], trespasses: list[str]) -> None:
    """Nobody wrote after having been taken over from.

    Args:
        store: the log.
        grants: version of the stream at which each epoch began.
        trespasses: what holders saw themselves.
    """
    assert [] == trespasses
    records = list(store.read_stream(STREAM))
    tags = [record.event.epoch for record in records]
    assert sorted(tags) == tags, "an older epoch wrote after a newer one"
    for record in records:
        later = [epoch for epoch, version in grants.items() if version < record.version]
        assert record.event.epoch >= max(later), f"version {record.version} is of a holder that had lost the stream"
    with_events = {f"with/{record.event.epoch:05d}/{record.event.number}" for record in records}
    assert with_events == set(store.attachment_keys("with/")), "a checkpoint without its event, or the other way round"
    newest = store.snapshot(STREAM)
    assert newest is None or int(newest.data) >= max(tags[: newest.version], default=0)
    assert store.cursor(STREAM) == max(grants)


def contest(store: SqliteStore, takeovers: int) -> None:
    """One holder after the other takes the stream over, while the one before still writes."""
    grants: dict[int, int] = {}
    trespasses: list[str] = []
    before: tuple[Holder, threading.Thread] | None = None
    for _ in range(takeovers + 1):
        grant = store.acquire(STREAM)
        grants[grant.epoch] = grant.version
        holder = Holder(store, grant.epoch)
        thread = threading.Thread(target=holder.run, daemon=True)
        if before is not None:
            before[0].taken_over.set()
        thread.start()
        if before is not None:
            before[1].join(PATIENCE_S)
            trespasses += before[0].trespasses
        assert holder.started.wait(PATIENCE_S), "the new holder could not write"
        before = holder, thread
    assert before is not None
    eventually(lambda: store.cursor(STREAM) == max(grants))
    last = store.acquire(STREAM)
    grants_at_end = {**grants, last.epoch: last.version}
    before[0].taken_over.set()
    before[1].join(PATIENCE_S)
    store.append(Batch((StreamWrite(STREAM, (), epoch=last.epoch),), cursors=(Cursor(STREAM, last.epoch),)))
    check_contest(store, grants_at_end, trespasses + before[0].trespasses)
    assert store.verify().ok


def test_rule_04_holds_in_200_raced_takeovers_of_a_stream(tmp_path: Path) -> None:
    """Events, snapshots, checkpoints and cursors of a holder that was taken over from: none is stored."""
    with open_store(tmp_path / "lrm.db") as store:
        contest(store, TAKEOVERS)


def test_rule_04_planted_an_append_without_the_fence_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that takes every epoch for the current one lets the zombies in."""
    check = BatchWriter._check

    def unfenced(batches: BatchWriter, connection: Any, batch: Any, position: int) -> Any:
        writes = [msgspec.structs.replace(one, epoch=batches.stream(connection, one.stream)[1]) for one in batch.writes]
        return check(batches, connection, msgspec.structs.replace(batch, writes=writes), position)

    monkeypatch.setattr(BatchWriter, "_check", unfenced)
    with open_store(tmp_path / "lrm.db") as store, pytest.raises(AssertionError, match="stored an event"):
        contest(store, 5)


# --- the whole log ------------------------------------------------------------------------------------------------


def log_contest(log: Path, takeovers: int) -> list[str]:
    """Owners of a log whose lock does not keep others out, as on a network file system; what zombies could store."""
    trespasses: list[str] = []
    stores: list[SqliteStore] = []
    before: tuple[threading.Event, threading.Thread] | None = None

    def write_until_refused(store: SqliteStore, number: int, began: threading.Event, lost: threading.Event) -> None:
        tries = 0
        while tries < TRIES_AFTER:
            # SQLite's locks are polled for: without a pause the next owner might not get its turn for a long time.
            taken_over = lost.wait(0.001)
            tries += taken_over
            try:
                store.append(Batch((StreamWrite("shared", (NewEvent(Wrote(number, tries)),)),)))
            except (Fenced, AppendFailed):  # the second where a plant lets two write: their positions collide
                continue
            began.set()
            if taken_over:
                trespasses.append(f"owner {number} stored an event")

    try:
        for number in range(1, takeovers + 2):
            store = open_store(log)
            store._log_lock.release()
            stores.append(store)
            began, lost = threading.Event(), threading.Event()
            if before is not None:
                before[0].set()
            thread = threading.Thread(target=write_until_refused, args=(store, number, began, lost), daemon=True)
            thread.start()
            if before is not None:
                before[1].join(PATIENCE_S)
            before = lost, thread
            assert began.wait(PATIENCE_S)
        written = [record.event.epoch for record in stores[-1].read_stream("shared")]
        if sorted(written) != written:
            trespasses.append("an older owner wrote after a newer one")
        open_store(log).close()
    finally:
        if before is not None:
            before[0].set()
            before[1].join(PATIENCE_S)
        for store in stores:
            store.close()
    return trespasses


def test_rule_04_holds_in_raced_takeovers_of_a_whole_log(tmp_path: Path) -> None:
    """Even where the lock is no help, the owner's epoch keeps every older owner out."""
    assert [] == log_contest(tmp_path / "lrm.db", LOG_TAKEOVERS)


def test_rule_04_planted_a_log_without_an_owner_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the owner's check, two processes would write one log."""
    monkeypatch.setattr(Transactions, "_check_owner", lambda _transactions, _connection: None)
    unfenced = {size: insert.replace(" AND token = ?5", "") for size, insert in writing._INSERTS.items()}
    monkeypatch.setattr(writing, "_INSERTS", unfenced)
    assert log_contest(tmp_path / "lrm.db", 2)


# --- an actor whose stream was taken ------------------------------------------------------------------------------


@contextmanager
def teller(tell: Callable[[], object]) -> Iterator[None]:
    """Somebody who goes on and on telling an actor things, until nobody takes them any more."""

    def run() -> None:
        try:
            while True:
                tell()
        except ActorStopped:
            pass

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the zombie still takes messages"


def zombie(directory: Path, name: str) -> list[str]:
    """Take an actor's stream away while it works; what it did after that."""
    with system_on_disk(directory, supervisor.spec(), counter(name), counter("sibling")) as system:
        children = (f"actor:{name}", "actor:sibling")
        system.ask_blocking("supervisor", supervisor.StartSupervising(children, 1))
        with teller(lambda: system.ask_blocking(name, Add(1), timeout_s=PATIENCE_S)):
            eventually(lambda: system.state(name).total > 0)
            grant = system.store.acquire(name)
        for _ in range(5):
            with contextlib.suppress(ActorStopped):
                system.ask_blocking(name, Add(1), timeout_s=PATIENCE_S)
        eventually(lambda: system.phase(name) == "stopped", "the end of the zombie")
        system._guardian.ask(object(), timeout=PATIENCE_S)
        assert 1 == system.ask_blocking("sibling", Add(1))
        found = []
        if system.store.version(name) != grant.version:
            found.append(f"{system.store.version(name) - grant.version} events written as a zombie")
        if any(record.type == "supervisor.child_failed" for record in system.store.read_stream("supervisor")):
            found.append("restarted")
        return found


def test_rule_04_holds_a_fenced_actor_ends_itself_and_is_never_restarted(tmp_path: Path) -> None:
    """It stores nothing more, takes no more messages, and its supervisor is not even asked to bring it back."""
    for number in range(ACTOR_TAKEOVERS):
        assert [] == zombie(tmp_path / str(number), f"counter/{number}")


def test_rule_04_planted_a_zombie_that_fights_back_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An actor that takes its stream back, once, before it gives in, has written as a zombie."""
    fought: list[int] = []
    end, append = Shell._end_fenced, Shell._append

    def fight_back(shell: Shell, error: BaseException) -> None:
        if fought:
            end(shell, error)
            return
        shell._epoch = None
        shell.phase = "failed"
        shell.mailbox.command(Restart())

    def give_in_later(shell: Shell, turn: Turn, flush_cursor_after: int = CURSOR_LAG) -> None:
        took_back = shell._epoch is not None and shell._epoch > 2 and shell.spec.name == "counter/0"
        if took_back and len(fought) > 2:
            raise Fenced("the stream", 3, 4)
        append(shell, turn, flush_cursor_after)
        if took_back:
            fought.append(turn.version)

    monkeypatch.setattr(Shell, "_end_fenced", fight_back)
    monkeypatch.setattr(Shell, "_append", give_in_later)
    assert any("as a zombie" in one for one in zombie(tmp_path, "counter/0"))
