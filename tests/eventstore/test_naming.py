"""Names that a reader is asked for, of every store."""

from __future__ import annotations

from typing import Any

import pytest

from eventstore.errors import BadRequest
from eventstore.protocol import EventStore
from eventstore.records import Retention
from tests.eventstore.support import Counted, append


def test_one_text_is_not_several_names(store: EventStore) -> None:
    """Its characters would be taken for names, and the answer would be that there is nothing."""
    append(store, "a", Counted(1))
    with pytest.raises(BadRequest, match="types = 'sample.counted': it is one text"):
        store.read(types="sample.counted")
    with pytest.raises(BadRequest, match="streams = 'a'"):
        store.read(streams="a")
    with pytest.raises(BadRequest, match="keys = 'k'"):
        store.attachments("k")
    wrong: Any = "abc"
    for retention in (Retention(max_events=0, expendable=wrong), Retention(max_events=0, consumers=wrong)):
        with pytest.raises(BadRequest, match="= 'abc': it is one text"):
            store.retain(retention)
    wrong = None
    with pytest.raises(BadRequest, match="retention = None"):
        store.retain(wrong)
    assert [1] == [record.position for record in store.read(types=["sample.counted"], streams={"a"})]
