"""``lrm dead-letters``: listed for people and programs, and sent again through the owner or at the next start."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventstore.opening import open_store
from eventstore.records import Batch, NewEvent, StreamWrite
from lrm_actors.domain.dead_letters import STREAM, DeadLetterAdded
from lrm_actors.domain.deliveries import DeliverySkipped
from lrm_actors.inspect.dead_letters import dead_letters
from lrm_actors.inspect.folds import open_log
from lrm_actors.mode import LongRunningMode
from tests.cli.conftest import Lrm
from tests.mode_kit import settings


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log with two letters, of which one can be sent again, and a skipped delivery."""
    path = tmp_path / "default" / "lrm.db"
    path.parent.mkdir()
    whole = DeadLetterAdded(
        "a-1", "modes", "SetMode", "failed again and again", "ValueError", "no", 3, "", "SetMode('normal')"
    )
    body = '{"enabled":true}'
    again = DeadLetterAdded("a-2", "modes", "Configure", "stopped", "", "", 0, body, "Configure(enabled=True)")
    with open_store(path) as store:
        for stream, fact in (
            (STREAM, whole),
            (STREAM, again),
            ("deliveries", DeliverySkipped("modes", 1, "monitor.sampled", 3, "failed again and again")),
        ):
            store.append(Batch(writes=(StreamWrite(stream, (NewEvent(fact),)),)))
    return path


def test_letters_are_listed(path: Path, lrm: Lrm) -> None:
    """In a table, and as one document."""
    listed = lrm("dead-letters", path)
    assert 0 == listed.code
    assert "a-1" in listed.out
    assert "text only" in listed.out
    assert "modes went on without monitor.sampled #1" in listed.out
    document = lrm("dead-letters", path, "--json").document
    assert "lrm.dead-letters/1" == document["schema"]
    assert [("a-1", False), ("a-2", True)] == [(one["letter"], one["can_be_resent"]) for one in document["letters"]]
    assert ["modes"] == [one["consumer"] for one in document["skipped"]]


def test_a_letter_is_asked_for_while_nobody_runs_and_sent_at_the_next_start(path: Path, lrm: Lrm) -> None:
    """What is wanted stands in the log; asking twice is refused."""
    asked = lrm("dead-letters", "resend", "a-2", path)
    assert (0, "a-2 is sent again at the next start\n") == (asked.code, asked.out)
    assert 1 == lrm("dead-letters", "resend", "a-2", path).code
    with LongRunningMode(settings(path.parent.parent)):
        pass
    with open_log(path) as reader:
        assert {"a-1": "kept", "a-2": "resent"} == {
            one.letter.letter: one.letter.status for one in dead_letters(reader, every=True).letters
        }


def test_the_running_agent_is_asked_to_send_it(path: Path, lrm: Lrm) -> None:
    """Its owner does it at once."""
    with LongRunningMode(settings(path.parent.parent)):
        asked = lrm("dead-letters", "resend", "a-2", path)
        assert (0, "a-2 is sent again now\n") == (asked.code, asked.out)
    with open_log(path) as reader:
        assert ["a-1"] == [one.letter.letter for one in dead_letters(reader).letters]


def test_what_cannot_be_sent_again_says_why(path: Path, lrm: Lrm) -> None:
    """With an exit code for scripts."""
    assert 3 == lrm("dead-letters", "resend", "none", path).code
    refused = lrm("dead-letters", "resend", "a-1", path)
    assert 1 == refused.code
    assert "only its text is kept" in refused.err


def test_a_log_without_any_says_so(tmp_path: Path, lrm: Lrm) -> None:
    """Nothing is not an empty screen."""
    path = tmp_path / "lrm.db"
    open_store(path).close()
    assert "no dead letters\n" == lrm("dead-letters", path).out
