"""What is asked over the socket, or of a log that nobody owns, is checked before anything is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eventstore.errors import Fenced
from eventstore.opening import open_reader, open_store
from eventstore.records import Batch, NewEvent, StreamWrite
from lrm_actors.domain import checkpointer
from lrm_actors.domain.checkpointer import PinCheckpoint, Prune
from lrm_actors.errors import CommandRefused
from lrm_actors.hosting.checkpoint_commands import pin_of, prune_of
from lrm_actors.hosting.owner.errors import RequestRefused
from lrm_actors.hosting.ownerless import decide_alone
from lrm_actors.inspect.replay import state_at
from tests.hosting.chain_log import ChainLog


def test_a_request_becomes_the_command_that_it_stands_for() -> None:
    """With every rule that is given, and no other."""
    assert PinCheckpoint("a", True, "why") == pin_of({"checkpoint_id": "a", "pinned": True, "reason": "why"})
    rules = {"max_checkpoints": 3, "max_age_s": 1.5, "keep_daily_days": None, "reason": "why"}
    assert Prune(max_checkpoints=3, max_age_s=1.5, reason="why") == prune_of(rules)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"checkpoint_id": 7, "pinned": True, "reason": "x"},
        {"checkpoint_id": "a", "pinned": 1, "reason": "x"},
        {"checkpoint_id": "a", "pinned": True, "reason": ""},
        {"checkpoint_id": "a", "pinned": True, "reason": "x" * 501},
        {"checkpoint_id": "a", "pinned": True, "reason": "x", "more": 1},
    ],
)
def test_a_pin_that_makes_no_sense_is_refused(arguments: dict[str, Any]) -> None:
    """Whoever sent it."""
    with pytest.raises(RequestRefused):
        pin_of(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"reason": "x", "max_checkpoints": True},
        {"reason": "x", "max_checkpoints": 1.5},
        {"reason": "x", "max_age_s": "1"},
        {"reason": "x", "max_emergency": -1},
        {"reason": "x", "keep_hourly_h": 10**10},
        {"reason": "x", "max_age_s": float("nan")},
        {"reason": "x", "checkpoint_id": "a"},
    ],
)
def test_a_rule_that_cannot_be_is_refused(arguments: dict[str, Any]) -> None:
    """Whoever sent it."""
    with pytest.raises(RequestRefused):
        prune_of(arguments)


def test_a_decision_without_an_owner_is_one_transaction_of_a_new_epoch(tmp_path: Path) -> None:
    """What goes, goes with its event; who owned the stream before can write to it no more."""
    with open_store(tmp_path / "lrm.db") as store:
        log = ChainLog(store)
        for step in range(3):
            log.take({"step": step}, whole=True)
        before = store.acquire(checkpointer.NAME)
        removed = decide_alone(store, checkpointer.spec(), Prune(max_checkpoints=1, reason="by hand"))
        assert log.ids[:2] == list(removed)
        assert [checkpointer.attachment_key(log.ids[2])] == list(store.attachment_keys())
        assert [log.ids[2]] == [info.checkpoint_id for info in state_at(store, checkpointer.NAME).state.kept]
        with pytest.raises(Fenced):
            pinned = NewEvent(checkpointer.CheckpointPinned(log.ids[2], True, "late"))
            store.append(Batch(writes=(StreamWrite(checkpointer.NAME, (pinned,), epoch=before.epoch),)))


def test_a_refused_decision_changes_nothing(tmp_path: Path) -> None:
    """And says why in the actor's own words; one with nothing to do puts nothing on record."""
    path = tmp_path / "lrm.db"
    with open_store(path) as store:
        log = ChainLog(store)
        log.take({"step": 1})
        head = store.head
        with pytest.raises(CommandRefused, match="there is no checkpoint 'nobody'"):
            decide_alone(store, checkpointer.spec(), PinCheckpoint("nobody"))
        assert [] == decide_alone(store, checkpointer.spec(), Prune(reason="by hand"))
    with open_reader(path) as reader:
        assert head == reader.head
