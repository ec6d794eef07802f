"""A commit that nobody else is beside: it spares what a group needs, and nobody is overtaken or forgotten by it."""

from __future__ import annotations

import pytest

from eventstore.errors import WrongVersion
from eventstore.records import Appended
from tests.eventstore.test_group import PATIENCE_S, Callers, Committing


def test_who_comes_meanwhile_leads_next() -> None:
    """Whether what was committed alone was stored or refused."""
    committing = Committing()
    callers = Callers(committing.group)

    def meanwhile(item: str) -> Appended:
        callers.start(f"behind {item}")
        callers.until_queued(1)
        if item == "refused":
            raise WrongVersion("a", 1, 2)
        return Appended(7, 7, {})

    assert Appended(7, 7, {}) == committing.group.commit_alone("stored", meanwhile)
    callers.join()
    with pytest.raises(WrongVersion):
        committing.group.commit_alone("refused", meanwhile)
    callers.join()
    assert [["behind stored"], ["behind refused"]] == committing.groups


def test_where_somebody_waits_or_commits_nothing_is_committed_alone() -> None:
    """It would overtake what was handed in before, or be a second transaction at one time."""
    committing = Committing()
    callers = Callers(committing.group)

    def never(item: str) -> Appended:
        raise AssertionError(item)

    pending = committing.group.hand_in("handed in")
    assert committing.group.commit_alone("x", never) is None
    pending.result()
    committing.hold()
    callers.start("leads")
    assert committing.held.wait(PATIENCE_S)
    assert committing.group.commit_alone("x", never) is None
    committing.go_on.set()
    callers.join()
