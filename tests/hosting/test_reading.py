"""Checkpoints that build on each other are restored past damage, and no row of the log is read twice for it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from eventstore.errors import AttachmentNotFound, CorruptAttachment, ReadFailed
from eventstore.protocol import EventReader
from eventstore.records import Attachment, Batch
from lrm_actors.domain import journal
from lrm_actors.domain.checkpointer import CheckpointerState, attachment_key
from lrm_actors.domain.checkpointing.chains import blob_key
from lrm_actors.errors import CheckpointDamaged, CheckpointNotFound
from lrm_actors.hosting import reading
from lrm_actors.hosting.reading import CheckpointReader, ReadOnce, steadily
from lrm_actors.hosting.recovery import Choice, choose
from tests.hosting.chain_log import ChainLog


def agent(step: int) -> dict[str, Any]:
    """A state large enough that what changed is a small part of it."""
    return {
        "agent_state": {"task": "look", "n_steps": step, "history": [{"page": f"{n:04}" * 50} for n in range(40)]},
        "browser_state": {"tabs": step},
    }


def log_of(count: int) -> ChainLog:
    """A log with so many checkpoints on one base."""
    log = ChainLog()
    for step in range(count):
        log.take(agent(step))
    assert [""] == [info.parent for info in log.kept if not info.parent]
    return log


def chosen(log: ChainLog, checkpoint_id: str | None = None) -> Choice:
    """What a recovery from it goes on from."""
    return choose(cast("EventReader", log.reader), log.state, journal.JournalState(), checkpoint_id)


def test_any_of_a_chain_comes_back_whole() -> None:
    """Its document and its state are what was captured."""
    log = log_of(5)
    checkpoints = CheckpointReader(cast("EventReader", log.reader), log.state)
    for step, checkpoint_id in enumerate(log.ids):
        restored = checkpoints.restore(checkpoint_id)
        assert agent(step) == restored.state
        assert {
            "checkpoint_id": checkpoint_id,
            "timestamp": (step + 1) / 1000,
            **agent(step),
            "recovery_hints": ["by hand"],
        } == restored.document
    assert dict.fromkeys(log.ids, 1) == log.rows_read()
    with pytest.raises(CheckpointNotFound):
        checkpoints.restore("checkpoint_9_nobody")


def test_a_damaged_base_damages_all_above_it_and_is_read_once() -> None:
    """The next good one is of the chain before; the chain is not read again for each."""
    log = log_of(3)
    good = log.ids[-1]
    base = log.take(agent(10), whole=True)
    above = [log.take(agent(11)), log.take(agent(12))]
    log.damage(base)

    choice = chosen(log)

    assert good == choice.recovery.checkpoint_id
    assert agent(2) == choice.recovery.state
    assert (above[1], above[0], base) == choice.recovery.passed_over
    assert f"it builds on {base}: its checksum is wrong" == choice.recovery.reasons[above[1]]
    assert "its checksum is wrong" == choice.recovery.reasons[base]
    assert [above[1], above[0], base] == [damage.checkpoint_id for damage in choice.damaged]
    assert dict.fromkeys(log.ids, 1) == log.rows_read()


def test_one_below_the_damage_is_still_good() -> None:
    """It is of the same chain, whose rows are not read again."""
    log = log_of(6)
    log.damage(log.ids[3])
    choice = chosen(log)
    assert log.ids[2] == choice.recovery.checkpoint_id
    assert agent(2) == choice.recovery.state
    assert tuple(log.ids[:2:-1]) == choice.recovery.passed_over
    assert dict.fromkeys(log.ids, 1) == log.rows_read()


def test_bytes_that_are_gone_are_damage() -> None:
    """Of a row, and of a large part."""
    log = log_of(2)
    picture = bytes(range(256)) * 100
    with_picture = log.take({**agent(2), "browser_state": {"picture": picture}})
    assert picture == chosen(log, with_picture).recovery.browser_state["picture"]
    (digest,) = log.kept[-1].added
    log.store.append(Batch(discard=(blob_key(digest),)))
    assert log.ids[1] == chosen(log).recovery.checkpoint_id
    log.store.append(Batch(discard=(attachment_key(log.ids[0]),)))
    choice = chosen(log)
    assert choice.recovery.checkpoint_id is None
    assert "none of the checkpoints can be used" == choice.recovery.why
    assert "its bytes are not there" == choice.recovery.reasons[log.ids[0]]
    with pytest.raises(CheckpointDamaged, match="it builds on"):
        chosen(log, with_picture)


def test_pages_that_cannot_be_read_hide_no_other_row() -> None:
    """What is read together is then read one by one, and what is torn is damage."""
    log = log_of(4)
    log.reader.torn.add(attachment_key(log.ids[2]))
    choice = chosen(log)
    assert log.ids[1] == choice.recovery.checkpoint_id
    assert log.ids[3:1:-1] == [damage.checkpoint_id for damage in choice.damaged]


def test_storage_that_does_not_answer_says_nothing_of_a_checkpoint() -> None:
    """It is passed over, and nothing is put on record of it; who asked for just this one is told."""
    log = log_of(2)
    whole = log.take(agent(5), whole=True)
    log.reader.unread.add(attachment_key(whole))
    choice = chosen(log)
    assert log.ids[1] == choice.recovery.checkpoint_id
    assert () == choice.damaged
    assert "not now: the log cannot be read: disk I/O error" == choice.recovery.reasons[whole]
    assert (f"{whole} is passed over now: the log cannot be read: disk I/O error",) == choice.unsound
    with pytest.raises(ReadFailed):
        chosen(log, whole)


def test_why_one_is_chosen_is_said() -> None:
    """The newest; an emergency one before a periodic one of the same position; or the one asked for."""
    log = log_of(2)
    assert "it is the newest, at #0" == chosen(log).recovery.why
    assert "it was asked for" == chosen(log, log.ids[0]).recovery.why
    log.take(agent(7), kind="emergency")
    log.take(agent(8))
    recovery = chosen(log).recovery
    assert log.ids[2] == recovery.checkpoint_id
    assert (
        "it is the newest, at #0, and an emergency one comes before a periodic one of the same position" == recovery.why
    )
    log.damage(log.ids[2])
    assert "it is the newest of those that can be used, at #0" == chosen(log).recovery.why


def test_what_was_stored_anew_meanwhile_is_no_damage() -> None:
    """A chain that is read as it was a moment ago: it is read once more as it is now, and nothing put on record."""
    log = log_of(3)
    stale = log.state
    now = ChainLog(log.store)
    now.reader = log.reader
    for step in range(3):
        now.take(agent(step), whole=step == 2)  # the same ids, stored otherwise
    states = iter([stale, now.state, now.state])
    assert choose(cast("EventReader", log.reader), stale, journal.JournalState()).damaged

    choice = steadily(
        lambda: next(states),
        lambda kept: choose(cast("EventReader", log.reader), kept, journal.JournalState()),
        found=lambda choice: bool(choice.damaged),
    )

    assert ((), agent(2)) == (choice.damaged, choice.recovery.state)
    assert next(states, None) is not None


def test_what_stays_damaged_is_damage() -> None:
    """It is told once nothing changes any more, or after a few tries."""
    log = log_of(2)
    log.damage(log.ids[1])

    def read(kept: CheckpointerState) -> Choice:
        return choose(cast("EventReader", log.reader), kept, journal.JournalState(), log.ids[1])

    with pytest.raises(CheckpointDamaged):
        steadily(lambda: log.state, read, found=lambda _: False)
    tries = [log.state, CheckpointerState(kept=(*log.kept, *log.kept))] * 10
    with pytest.raises(CheckpointDamaged):
        steadily(tries.pop, read, found=lambda _: False)
    assert 20 - reading.TRIES - 1 == len(tries)


def test_a_reader_that_reads_once_gives_what_the_one_behind_it_gives() -> None:
    """In order, with the same errors, each time."""
    log = log_of(1)
    log.store.append(Batch(attachments=(Attachment("k", b"1"), Attachment("l", b"2"))))
    log.reader.damaged.add("l")
    once = ReadOnce(cast("EventReader", log.reader))
    for _ in range(2):
        found = once.attachments(["k", "l", "none", "k"])
        assert b"1" == next(found).data
        with pytest.raises(CorruptAttachment, match="its checksum is wrong"):
            next(found)
        with pytest.raises(AttachmentNotFound):
            next(found)
        assert [b"1"] == [one.data for one in found]
        with pytest.raises(CorruptAttachment):
            once.attachment("l")
    assert log.store.head == once.head
    assert {"k": 1, "l": 1} == {key: log.reader.reads[key] for key in ("k", "l")}


def test_a_reader_that_takes_damage_for_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that reads a chain for each of its checkpoints: by the tests above."""
    monkeypatch.setattr(ReadOnce, "trouble", lambda self, key: None)
    with pytest.raises(AssertionError):
        test_a_damaged_base_damages_all_above_it_and_is_read_once()
    monkeypatch.undo()
    monkeypatch.setattr(reading, "ReadOnce", _Eager)
    with pytest.raises(AssertionError):
        test_one_below_the_damage_is_still_good()


class _Eager(ReadOnce):
    def fetch(self, keys: Any) -> None:
        self.forget()
        super().fetch(keys)
