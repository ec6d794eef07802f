"""Names that a reader is asked for, of every store."""

from __future__ import annotations

import pytest

from eventstore.errors import BadRequest
from eventstore.protocol import EventStore
from tests.eventstore.support import Counted, append


def test_one_text_is_not_several_names(store: EventStore) -> None:
    """Its characters would be taken for names, and the answer would be that there is nothing."""
    append(store, "a", Counted(1))
    with pytest.raises(BadRequest, match="types = 'sample.counted': give names in a list"):
        store.read(types="sample.counted")
    with pytest.raises(BadRequest, match="streams = 'a'"):
        store.read(streams="a")
    assert [1] == [record.position for record in store.read(types=["sample.counted"], streams={"a"})]
