"""Every checkpoint is checked through its chain, each row read once, and what is said of it is what a restore says."""

from __future__ import annotations

from typing import cast

import hypothesis
import hypothesis.strategies as st
import pytest

from eventstore.protocol import EventReader
from eventstore.records import Attachment, Batch
from lrm_actors.domain.checkpointing.chains import blob_key
from lrm_actors.errors import CheckpointDamaged
from lrm_actors.hosting import checking
from lrm_actors.hosting.checking import check_checkpoints
from lrm_actors.hosting.reading import CheckpointReader
from tests.hosting.chain_log import ChainLog


def log_of(bases: list[int]) -> ChainLog:
    """A log with chains of so many checkpoints each; every third has a picture of its own."""
    log = ChainLog()
    for chain, count in enumerate(bases):
        for at in range(count):
            picture = bytes([chain, at // 3]) * 10_000
            log.take({"n": [chain, at], "words": "word " * 500, "picture": picture}, whole=at == 0)
    return log


def whys(log: ChainLog) -> dict[str, str]:
    """What is said of each."""
    found = check_checkpoints(cast("EventReader", log.reader), log.state)
    assert log.ids == [one.checkpoint_id for one in found]
    return {one.checkpoint_id: one.why for one in found}


def test_whole_ones_are_read_once_and_nothing_is_said_of_them() -> None:
    """However many build on a row, and however many hold a picture."""
    log = log_of([4, 1, 7])
    assert dict.fromkeys(log.ids, "") == whys(log)
    assert {1} == set(log.reader.reads.values())
    assert len(log.store.attachment_keys()) == len(log.reader.reads)


def test_damage_is_told_of_all_that_build_on_it_and_of_no_other() -> None:
    """With the row that it is in."""
    log = log_of([3, 4])
    log.damage(log.ids[4])
    assert {
        **dict.fromkeys(log.ids[:4], ""),
        log.ids[4]: "its checksum is wrong",
        log.ids[5]: f"it builds on {log.ids[4]}: its checksum is wrong",
        log.ids[6]: f"it builds on {log.ids[4]}: its checksum is wrong",
    } == whys(log)


def test_a_picture_that_is_gone_is_told_of_those_that_hold_it() -> None:
    """And not of one that only builds on them."""
    log = log_of([7])
    (digest,) = log.kept[0].added
    log.store.append(Batch(discard=(blob_key(digest),)))
    gone = f"the blob {digest} is not there"
    assert {**dict.fromkeys(log.ids[:3], gone), **dict.fromkeys(log.ids[3:], "")} == whys(log)


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=15, deadline=None)
def test_it_says_what_a_restore_says(data: st.DataObject) -> None:
    """Whatever is damaged, exchanged or gone: of each checkpoint both say yes, or both say no."""
    log = log_of(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    keys = list(log.store.attachment_keys())
    for key in data.draw(st.lists(st.sampled_from(keys), max_size=2, unique=True)):
        match data.draw(st.sampled_from(["damaged", "torn", "gone", "exchanged"])):
            case "damaged":
                log.reader.damaged.add(key)
            case "torn":
                log.reader.torn.add(key)
            case "gone":
                log.store.append(Batch(discard=(key,)))
            case "exchanged":
                other = log.store.attachment(data.draw(st.sampled_from(list(log.store.attachment_keys())))).data
                log.store.append(Batch(attachments=(Attachment(key, other),)))
    said = {checkpoint_id for checkpoint_id, why in whys(log).items() if why}
    refused = set()
    checkpoints = CheckpointReader(cast("EventReader", log.reader), log.state)
    for checkpoint_id in log.ids:
        try:
            checkpoints.restore(checkpoint_id)
        except CheckpointDamaged:
            refused.add(checkpoint_id)
    assert refused == said


def test_a_check_that_leaves_something_out_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that looks at no picture, and one that reads a row for each that builds on it: by the tests above."""
    monkeypatch.setattr(checking._Walk, "_blob", lambda self, digest: "")
    with pytest.raises(AssertionError):
        test_a_picture_that_is_gone_is_told_of_those_that_hold_it()
    monkeypatch.undo()
    monkeypatch.setattr(checking._Walk, "_compared", lambda self, row, read, document: "")
    with pytest.raises(AssertionError):
        test_it_says_what_a_restore_says()
