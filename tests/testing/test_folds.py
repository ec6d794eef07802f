"""A log against its actors, where the store itself answers wrongly: the check ends, and accuses it."""

from __future__ import annotations

from typing import Any

import pytest

from eventstore.codec import encode_state
from eventstore.memory import MemoryStore
from eventstore.records import Batch, NewEvent, Snapshot, StreamWrite
from lrm_actors.testing.checks import CheckFailed
from lrm_actors.testing.folds import check_log, snapshots
from tests.runtime.support import Added, counter


class Careless(MemoryStore):
    """Gives the newest snapshot, whatever version it was asked for."""

    def snapshot(self, stream: str, **asked: Any) -> Snapshot | None:
        """Forget one thing that was asked for."""
        return super().snapshot(stream, **{**asked, "up_to": None})


def filled(store: MemoryStore) -> MemoryStore:
    """Three events and two snapshots of them."""
    spec = counter()
    state = spec.initial
    for version in (1, 2, 3):
        state = spec.evolve(state, Added(1))
        kept = Snapshot(spec.name, version, spec.state_schema, encode_state(state))
        write = StreamWrite(spec.name, (NewEvent(Added(1)),))
        store.append(Batch((write,), snapshots=(kept,) if version > 1 else ()))
    return store


def test_every_kept_snapshot_is_compared_with_the_events() -> None:
    """Newest first, and nothing is wrong with any."""
    store = filled(MemoryStore())
    assert [3, 2] == [version for version, _ in snapshots(store, counter())]
    assert 4 == check_log(store, counter())


def test_a_store_that_gives_another_snapshot_than_was_asked_for_is_accused() -> None:
    """The next older one is asked for until there is none: such a store would be asked for ever."""
    with pytest.raises(CheckFailed, match="at most, the store gives that of version 3"):
        check_log(filled(Careless()), counter())
