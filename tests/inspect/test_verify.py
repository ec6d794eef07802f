from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventstore.codec import encode_state
from eventstore.errors import CorruptAttachment
from eventstore.protocol import EventReader
from eventstore.records import Attachment, Batch, Retention, Snapshot
from lrm_actors.domain import checkpointer, journal, supervisor
from lrm_actors.domain.checkpointer import CheckpointInfo, attachment_key
from lrm_actors.domain.journal import JournalState
from lrm_actors.hosting.checking import checked
from lrm_actors.inspect import Folds, open_log, verify_log
from lrm_actors.inspect.verify import LogVerification
from tests.actors.checkpoints.alone import encode_checkpoint
from tests.inspect.conftest import Lived
from tests.inspect.logs import CHECKPOINT, LogWriter
from tests.inspect.test_replay import TALLIES, Added, Tally


def check(log: LogWriter, folds: Folds | None = None) -> LogVerification:
    """Verify a log that is still open."""
    return verify_log(log.store, folds=folds, check_checkpoints=checked)


def details(result: LogVerification) -> list[tuple[str, int | None]]:
    """What was found, and where."""
    return [(problem.what, problem.position) for problem in result.problems]


def test_a_sound_log_is_sound(life: Lived) -> None:
    """Everything was looked at: events, snapshots and checkpoints."""
    result = verify_log(life.reader, check_checkpoints=checked)
    assert (True, ()) == (result.ok, result.problems)
    assert (life.at["last"], 1, 1) == (result.store.events, result.snapshots_folded, result.checkpoints)


def test_an_empty_log_is_sound(writer: LogWriter) -> None:
    """There is nothing to be wrong."""
    assert check(writer).ok


def test_a_planted_snapshot_that_its_events_do_not_add_up_to_is_found(writer: LogWriter) -> None:
    """Its checksum is right, and its state is not: rule 2 of the architecture."""
    for start in (1, 2, 3):
        writer.add("journal", journal.JournalOpened(start))
        writer.snapshot("journal")
    assert check(writer).ok
    writer.add("journal", journal.JournalOpened(4))
    writer.snapshot("journal", JournalState(committed=7, start=4))
    result = check(writer)
    assert ["snapshot of 'journal' at version 4 is not what its events add up to"] == [
        problem.detail for problem in result.problems
    ]
    assert 3 == result.snapshots_folded  # the newest three are kept


def test_a_snapshot_that_makes_no_state_is_found(writer: LogWriter) -> None:
    """Of the right form by its name, and of another inside."""
    writer.add("supervisor", supervisor.ProcessStarted(1, 4, restarted=False))
    writer.snapshot("supervisor", 5)
    assert [("snapshot", None)] == details(check(writer))


def test_snapshots_of_others_are_compared_where_it_is_known_how(writer: LogWriter) -> None:
    """With a function for them they are, without one they are left out."""
    writer.add("tally", Added(4))
    writer.store.append(Batch(snapshots=(_tally_snapshot(Tally(5, (5,))),)))
    assert check(writer).ok
    result = check(writer, TALLIES)
    assert [("snapshot", None)] == details(result)


def test_a_function_that_fails_is_a_problem_at_its_position(writer: LogWriter) -> None:
    """And no traceback."""
    at = writer.add("tally", Added(13))
    writer.store.append(Batch(snapshots=(_tally_snapshot(Tally(13, (13,))),)))
    assert [("snapshot", at)] == details(check(writer, TALLIES))


def _tally_snapshot(state: Tally) -> Snapshot:
    return Snapshot("tally", 1, "tally/1", encode_state(state))


def test_a_planted_missing_checkpoint_is_found(writer: LogWriter) -> None:
    """It is on record as kept, and its bytes are gone."""
    writer.checkpoint()
    assert check(writer).ok
    writer.store.append(Batch(discard=(attachment_key(CHECKPOINT),)))
    (problem,) = check(writer).problems
    assert ("checkpoint", f"{CHECKPOINT}: its bytes are not there") == (problem.what, problem.detail)


def test_a_checkpoint_that_is_deleted_meanwhile_is_no_problem(writer: LogWriter) -> None:
    """A living agent deletes old ones, on the record, while its log is verified."""
    older = "checkpoint_1700000000000_00000000"
    writer.checkpoint(older)
    writer.checkpoint()

    def delete_the_other(reader: EventReader, kept: checkpointer.CheckpointerState) -> Iterator[tuple[str, str]]:
        if len(kept.kept) > 1:
            gone = checkpointer.CheckpointsPruned((CHECKPOINT,), "newer ones took their place")
            writer.add("checkpointer", gone, discard=(attachment_key(CHECKPOINT),))
        return checked(reader, kept)

    result = verify_log(writer.store, check_checkpoints=delete_the_other)
    assert (True, 1) == (result.ok, result.checkpoints)


@pytest.mark.parametrize("planted", ["digest", "bytes"])
def test_a_planted_wrong_checkpoint_is_found(writer: LogWriter, planted: str) -> None:
    """Bytes that are as stored, but not the state that the log names; or no checkpoint at all."""
    encoded = encode_checkpoint({"n": 1}, checkpoint_id=CHECKPOINT)
    other = (
        encode_checkpoint({"n": 2}, checkpoint_id=CHECKPOINT).data if planted == "digest" else b"nothing of the kind"
    )
    info = CheckpointInfo(CHECKPOINT, "periodic", 1.0, 0, 9, encoded.digest, "interval")
    attachments = (Attachment(attachment_key(CHECKPOINT), other),)
    writer.add("checkpointer", checkpointer.CheckpointTaken(info), attachments=attachments)
    assert [("checkpoint", None)] == details(check(writer))
    assert verify_log(writer.store).ok  # without the function that reads them, only the store's checksum is known


def test_a_checkpoint_known_to_be_damaged_is_no_news(writer: LogWriter) -> None:
    """It is on record, and will be passed over; neither is a deleted one looked for."""
    writer.checkpoint()
    writer.store.append(Batch(discard=(attachment_key(CHECKPOINT),)))
    writer.add("checkpointer", checkpointer.DamageFound(CHECKPOINT, "x"))
    assert check(writer).ok


def _damage(sql: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with sqlite3.connect(path) as log:
            log.execute(sql)
        log.close()

    return damage


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE events SET cause = 19 WHERE position = 17", {("checksum", 17), ("cause", 17)}),
        ("UPDATE events SET cause = 17 WHERE position = 17", {("checksum", 17), ("cause", 17)}),
        ("UPDATE events SET data = x'7b7d' WHERE position = 17", {("checksum", 17)}),
        ("DELETE FROM events WHERE position = 18", {("gap", 18)}),
        ("UPDATE attachments SET data = x'00'", {("attachment", None), ("checkpoint", None)}),
    ],
)
def test_planted_damage_in_the_file_is_found(life: Lived, damage: str, found: set[tuple[str, int | None]]) -> None:
    """What somebody changed in the file behind our back, and what follows from it; each told, none raised."""
    _damage(damage)(life.path)
    with open_log(life.path) as reader:
        result = verify_log(reader, check_checkpoints=checked)
    assert found <= set(details(result))
    assert not result.ok


def test_a_cause_of_zero_is_no_problem(life: Lived) -> None:
    """An older release stored what is refused today: nothing can mend it, and nothing is lost by it."""
    _damage("UPDATE events SET cause = 0 WHERE position = 17")(life.path)
    with open_log(life.path) as reader:
        result = verify_log(reader, check_checkpoints=checked)
    assert ("cause", 17) not in details(result)


def test_the_store_itself_refuses_a_damaged_attachment(life: Lived) -> None:
    """Verifying is not the only time that it is noticed."""
    _damage("UPDATE attachments SET data = x'00'")(life.path)
    with pytest.raises(CorruptAttachment):
        life.reader.attachment(attachment_key(CHECKPOINT))


def test_a_log_whose_beginning_was_removed_is_sound(writer: LogWriter) -> None:
    """A snapshot is where what is left begins; a checkpoint on record only there is read all the same."""
    writer.checkpoint()
    writer.add("journal", journal.JournalOpened(1))
    for stream in ("checkpointer", "journal"):
        writer.snapshot(stream)
    writer.add("journal", journal.JournalOpened(2))
    assert 2 == writer.store.retain(Retention(max_events=0)).removed
    result = check(writer)
    assert (True, (), 1, 1) == (result.ok, result.problems, result.store.events, result.checkpoints)
    writer.snapshot("journal", JournalState(committed=7, start=4))
    assert [("snapshot", None)] == details(check(writer))
