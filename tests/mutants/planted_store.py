"""Bugs of the event store, each planted by a small change of the running code."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Any

import attrs
import msgspec
import pytest

from eventstore import codec, mark, retention, snapshots, transactions, writing
from eventstore.errors import AppendFailed, OutcomeUnknown, StorageFull
from eventstore.group import GroupCommit
from eventstore.records import ANY_VERSION, Appended, Batch, Snapshot
from eventstore.removable import removable_up_to
from eventstore.store import SqliteStore
from eventstore.waking import Listeners
from tests.mutants.planting import Planted, planted

STORE: list[Planted] = []
store = partial(planted, into=STORE)


@store("eventstore/transactions.py", "disks/a_power_cut")
def commits_do_not_wait_for_the_disk(patch: pytest.MonkeyPatch) -> None:
    """An append returns before the disk has it."""

    def careless(connection: sqlite3.Connection, *, full: bool) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    patch.setattr(transactions, "set_synchronous", careless)
    patch.setattr(transactions, "configure_writer", lambda connection: careless(connection, full=True))


@store("eventstore/store.py", "disks/a_power_cut")
def append_acknowledged_before_its_commit(patch: pytest.MonkeyPatch) -> None:
    """An append is handed in and answered, and committed together with the next one."""
    append = SqliteStore.append

    def eager(self: SqliteStore, batch: Batch) -> Appended:
        if batch.idempotency_key or not any(write.events for write in batch.writes):
            return append(self, batch)
        late = vars(self).setdefault("_late", [])
        while late:
            late.pop().result()
        late.append(self.submit(batch))
        last = self.head + sum(len(write.events) for write in batch.writes)
        return Appended(self.head + 1, last, {})

    patch.setattr(SqliteStore, "append", eager)


@store("eventstore/store.py", "disks/a_disk_that_fails")
def disk_full_swallowed(patch: pytest.MonkeyPatch) -> None:
    """A disk that is full is not told: the append looks as if it had succeeded."""
    append = SqliteStore.append

    def quiet(self: SqliteStore, batch: Batch) -> Appended:
        try:
            return append(self, batch)
        except (StorageFull, OutcomeUnknown):
            self.settle()
            return Appended(self.head, self.head, {})

    patch.setattr(SqliteStore, "append", quiet)


@store("eventstore/transactions.py", "disks/a_disk_that_fails")
def unknown_outcome_told_as_refused(patch: pytest.MonkeyPatch) -> None:
    """A commit that failed half-way is told as one that certainly stored nothing."""
    commit = transactions.Transactions._commit

    def sure(self: Any, connection: sqlite3.Connection, statement: Any) -> None:
        try:
            commit(self, connection, statement)
        except OutcomeUnknown as error:
            self._doubt = None
            raise AppendFailed(str(error)) from error

    patch.setattr(transactions.Transactions, "_commit", sure)


@store("eventstore/writing.py", "disks/a_disk_that_fails")
def ends_kept_after_a_failed_append(patch: pytest.MonkeyPatch) -> None:
    """What a transaction would have stored is remembered as stored, though it was rolled back."""
    patch.setattr(writing.Ends, "forget", lambda self: None)


@store("eventstore/mark.py", "disks/a_missing_tail")
def mark_never_written(patch: pytest.MonkeyPatch) -> None:
    """Nothing outside the log says how far it was acknowledged, so a missing tail is not noticed."""
    patch.setattr(mark.MarkFile, "write", lambda self, position, chain, commits: None)


@store("eventstore/transactions.py", "disks/a_disk_that_fails")
def mark_written_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """The mark says that an event was acknowledged before it is stored: a crash between the two locks the log."""
    commit = transactions.Transactions._commit

    def early(self: Any, connection: sqlite3.Connection, statement: Any) -> None:
        self._durable()
        commit(self, connection, statement)

    patch.setattr(transactions.Transactions, "_commit", early)


@store("eventstore/snapshots.py", "suite/test_the_newest_fitting_snapshot_is_found")
def stored_snapshot_off_by_one(patch: pytest.MonkeyPatch) -> None:
    """A snapshot is stored as that of the version before."""
    write = snapshots.write

    def planted_write(connection: sqlite3.Connection, stream_id: int, snapshot: Snapshot) -> None:
        shifted = attrs.evolve(snapshot, version=max(0, snapshot.version - 1))
        write(connection, stream_id, shifted)

    patch.setattr(snapshots, "write", planted_write)


@store("eventstore/snapshots.py", "suite/test_the_newest_fitting_snapshot_is_found")
def newest_snapshot_whatever_was_asked_for(patch: pytest.MonkeyPatch) -> None:
    """The newest snapshot is given, also where one of an older version or another schema was asked for."""
    newest = snapshots.newest

    def careless(*args: Any, schema: Any, up_to: Any, **options: Any) -> Any:
        return newest(*args, schema=None, up_to=None, **options)

    patch.setattr(snapshots, "newest", careless)


@store("eventstore/writing.py", "suite/test_wrong_version_says_what_is_there")
def expected_version_not_checked(patch: pytest.MonkeyPatch) -> None:
    """Two writers that both read the same version both append: the second overwrites what the first decided."""
    check = writing.BatchWriter._check

    def careless(self: Any, begin: Any, batch: Any, position: int) -> Any:
        writes = [msgspec.structs.replace(write, expected_version=ANY_VERSION) for write in batch.writes]
        return check(self, begin, msgspec.structs.replace(batch, writes=writes), position)

    patch.setattr(writing.BatchWriter, "_check", careless)


@store("eventstore/writing.py", "suite/test_acquiring_a_stream_fences_who_had_it")
def stream_not_fenced(patch: pytest.MonkeyPatch) -> None:
    """Whoever owned a stream before goes on writing to it."""
    check = writing.BatchWriter._check

    def careless(self: Any, begin: Any, batch: Any, position: int) -> Any:
        known = [self._known(begin(), write.stream) or (0, 0, 0) for write in batch.writes]
        pairs = zip(batch.writes, known, strict=True)
        writes = [msgspec.structs.replace(write, epoch=epoch) for write, (_, epoch, _) in pairs]
        return check(self, begin, msgspec.structs.replace(batch, writes=writes), position)

    patch.setattr(writing.BatchWriter, "_check", careless)


@store("eventstore/writing.py", "suite/test_an_older_owner_changes_nothing_any_more")
def log_not_fenced(patch: pytest.MonkeyPatch) -> None:
    """A process that was replaced as the owner of the log goes on writing to it."""
    patch.setattr(transactions.Transactions, "_check_owner", lambda self, connection: None)
    free = {size: sql.replace("AND token = ?5", "AND ?5 = ?5") for size, sql in writing._INSERTS.items()}
    patch.setattr(writing, "_INSERTS", free)


@store("eventstore/writing.py", "suite/test_the_first_receipt_of_a_command_stays")
def receipt_overwritten(patch: pytest.MonkeyPatch) -> None:
    """The reply that is kept for retries is that of the last of several commands with one id."""
    newest = "DO UPDATE SET reply = excluded.reply, checksum = excluded.checksum"
    patch.setattr(writing, "_RECEIPT", writing._RECEIPT.replace("DO NOTHING", newest))


@store("eventstore/writing.py", "model/lives_beside_a_model")
def idempotency_key_ignored(patch: pytest.MonkeyPatch) -> None:
    """A batch that is appended again under its key is stored again."""
    patch.setattr(writing.BatchWriter, "_earlier", lambda self, begin, batch: None)
    patch.setattr(writing, "_APPEND", writing._APPEND.replace("INSERT", "INSERT OR REPLACE"))


@store("eventstore/writing.py", "suite/test_everything_is_there_again")
def cursor_left_out_of_the_transaction(patch: pytest.MonkeyPatch) -> None:
    """A cursor is not stored together with the events of its batch."""
    write_rest = writing.BatchWriter._write_rest

    def forgetful(self: Any, connection: Any, batch: Any, wall_us: int, appended: Appended) -> None:
        write_rest(self, connection, msgspec.structs.replace(batch, cursors=()), wall_us, appended)

    patch.setattr(writing.BatchWriter, "_write_rest", forgetful)


@store("eventstore/writing.py", "suite/test_a_refused_batch_leaves_nothing")
def batch_written_by_halves(patch: pytest.MonkeyPatch) -> None:
    """A batch for several streams is stored one stream after the other: a refusal leaves the first ones there."""
    append = SqliteStore.append

    def in_turn(self: SqliteStore, batch: Batch) -> Appended:
        for write in batch.writes[:-1]:
            append(self, Batch((write,)))
        return append(self, msgspec.structs.replace(batch, writes=batch.writes[-1:]))

    patch.setattr(SqliteStore, "append", in_turn)


@store("eventstore/retention.py", "suite/test_what_a_consumer_has_not_read_stays")
def retention_removes_what_nobody_read_yet(patch: pytest.MonkeyPatch) -> None:
    """Events go that a consumer has not read."""
    plan = removable_up_to

    def careless(asked: Any, *, cursors: Any, **options: Any) -> Any:
        ahead = dict.fromkeys([*cursors, *(asked.consumers or ())], 2**62)
        return plan(asked, cursors=ahead, **options)

    patch.setattr(retention, "removable_up_to", careless)
    patch.setattr(retention, "_CURSORS", "SELECT consumer, 1 << 60 FROM cursors")


@store("eventstore/retention.py", "suite/test_recovery_keeps_what_follows_the_oldest_snapshot")
def retention_removes_what_recovery_needs(patch: pytest.MonkeyPatch) -> None:
    """Events go that follow the oldest snapshot, as if the newest one could never be damaged."""
    covered = retention._covered
    patch.setattr(retention, "_covered", lambda *args, newest: covered(*args, newest=True))


@store("eventstore/retention.py", "suite/test_what_was_removed_stays_removed")
def versions_counted_anew_after_retention(patch: pytest.MonkeyPatch) -> None:
    """A stream whose events were all removed begins at version 1 again."""
    patch.setattr(retention, "_MOVE_BEGINNING", ("SELECT ?", *retention._MOVE_BEGINNING[1:]))


@store("eventstore/codec.py", "suite/test_a_value_that_would_not_come_back_is_refused")
def event_stored_unread(patch: pytest.MonkeyPatch) -> None:
    """An event is not read back before it is stored, so one that comes back different becomes part of the log."""
    patch.setattr(codec, "_read_back", lambda plan, value, data, limit: data)
    patch.setattr(codec, "_encoders", {})


@store("eventstore/codec.py", "behavior/mailing_comes_back_from_its_log")
def state_decoded_without_its_tail(patch: pytest.MonkeyPatch) -> None:
    """The last entry of a tuple in a state is lost in its snapshot."""
    decode = codec.decode_state

    def lossy(data: bytes, cls: Any) -> Any:
        state = decode(data, cls)
        tuples = {name: value for name, value in attrs.asdict(state, recurse=False).items() if type(value) is tuple}
        return attrs.evolve(state, **{name: value[:-1] for name, value in tuples.items()})

    patch.setattr("lrm_actors.runtime.recovery.decode_state", lossy)


@store("eventstore/reader.py", "suite/test_many_pages_read_like_one")
def reading_skips_between_pages(patch: pytest.MonkeyPatch) -> None:
    """The first event of each further page is left out."""
    patch.setattr("eventstore.paging._onwards", lambda after, last: last + 1)


@store("eventstore/reader.py", "suite/test_a_clock_that_goes_back_disorders_nothing")
def reading_in_the_order_of_the_clock(patch: pytest.MonkeyPatch) -> None:
    """Events come in the order of the wall clock, which may have been set."""
    patch.setattr("eventstore.paging._IN_ORDER", " ORDER BY wall_us, position LIMIT ?")


@store("eventstore/waking.py", "suite/test_listeners_hear_of_each_commit_of_events")
def commits_told_to_nobody(patch: pytest.MonkeyPatch) -> None:
    """Who follows the log is not woken by a commit."""
    patch.setattr(Listeners, "notify", lambda self, head, types: None)


@store("eventstore/writing.py", "suite/test_verify_counts_everything")
def chain_begun_anew(patch: pytest.MonkeyPatch) -> None:
    """The hash chain does not go on from the event before, so that nobody can tell whether one was exchanged."""
    write = writing.BatchWriter.write

    def unchained(self: Any, begin: Any, batches: Any) -> Any:
        self._ends.chain = b""
        return write(self, begin, batches)

    patch.setattr(writing.BatchWriter, "write", unchained)


@store("eventstore/group.py", "suite/test_a_barrier_stores_what_was_handed_in")
def barrier_waits_for_nothing(patch: pytest.MonkeyPatch) -> None:
    """What was handed in is not stored when somebody waits for all of it."""
    patch.setattr(GroupCommit, "flush", lambda self: None)
