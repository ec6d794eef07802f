"""``lrm checkpoints`` and ``lrm recover``: on a log that nobody owns, and on that of a living agent."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.opening import open_reader, open_store
from eventstore.records import Attachment, Batch, NewEvent, StreamWrite
from lrm_actors.cli import exits
from lrm_actors.cli.checkpoint_output import sizes
from lrm_actors.domain import checkpointer, journal
from lrm_actors.domain.checkpointer import CheckpointInfo, attachment_key
from lrm_actors.inspect.json_form import from_json_form
from lrm_actors.mode import LongRunningMode
from tests.cli.conftest import Lrm
from tests.hosting.chain_log import ChainLog
from tests.mode_kit import settings

DOCUMENT = ("checkpoint_id", "timestamp", "agent_state", "browser_state", "recovery_hints")


def state(step: int) -> dict[str, Any]:
    """Of an agent and its browser."""
    return {
        "agent_state": {"n_steps": step, "history": [{"page": n} for n in range(step)], "seen": {1: "a"}},
        "browser_state": {"picture": bytes([step, 255])},
    }


@attrs.frozen
class Kept:
    """A log of three steps with a checkpoint after each, and one step that was begun."""

    path: Path
    ids: list[str]

    def change(self, checkpoint_id: str) -> None:
        """Have other bytes in its place, with a checksum that is right."""
        with open_store(self.path, unknown="placeholder") as store:
            data = bytearray(store.attachment(attachment_key(checkpoint_id)).data)
            data[-3] ^= 1
            store.append(Batch(attachments=(Attachment(attachment_key(checkpoint_id), bytes(data)),)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A log with checkpoints, to be copied."""
    path = tmp_path_factory.mktemp("made") / "lrm.db"
    with open_store(path) as store:
        log = ChainLog(store)
        for step in (1, 2, 3):
            log.step(step, f"order {step}")
            log.take(state(step))
        log.step(4, "order 4")
        log.say("journal", journal.StepBegun(5, "order 5", 1))
    return Kept(path, log.ids)


@pytest.fixture
def kept(made: Kept, tmp_path: Path) -> Kept:
    """The same, for one test, owned by no process."""
    path = tmp_path / "logs" / "shop" / "lrm.db"
    shutil.copytree(made.path.parent, path.parent)
    return attrs.evolve(made, path=path)


def parts(document: dict[str, Any]) -> dict[str, Any]:
    """The five keys of the document, as they were captured."""
    return {key: from_json_form(document[key]) for key in DOCUMENT}


def test_the_list_says_how_each_is_stored(lrm: Lrm, kept: Kept) -> None:
    """Newest first, in text and as data."""
    lines = lrm("checkpoints", kept.path).out.splitlines()
    assert "3 checkpoints" == lines[-1]
    assert [line.split()[0] for line in lines[:-1]] == kept.ids[::-1]
    assert " in " in lines[0]
    listed = lrm("checkpoints", "list", "--json", kept.path).document["checkpoints"]
    assert [(one["checkpoint_id"], one["parent"]) for one in listed] == [
        (kept.ids[2], kept.ids[1]),
        (kept.ids[1], kept.ids[0]),
        (kept.ids[0], ""),
    ]
    assert all(one["stored_bytes"] > 0 and not one["pinned"] for one in listed)


@pytest.mark.parametrize("given", ["latest", "3_abcd0123", "whole"])
def test_one_is_shown_as_the_document_that_a_recovery_gives(lrm: Lrm, kept: Kept, given: str) -> None:
    """With the five keys, nothing lost; named by its id, the end of it, or as the latest."""
    given = kept.ids[2] if given == "whole" else given
    shown = lrm("checkpoints", "show", given, kept.path, "--json").document
    assert "lrm.checkpoints.show/1" == shown["schema"]
    assert {"checkpoint_id": kept.ids[2], "timestamp": 0.003, "recovery_hints": ["by hand"], **state(3)} == parts(shown)
    assert (kept.ids[2], kept.ids[1]) == (shown["record"]["checkpoint_id"], shown["record"]["parent"])
    text = lrm("checkpoints", "show", given, kept.path).out
    assert f"builds on  {kept.ids[1]}" in text
    assert '"picture": "<2 bytes>"' in text


def test_what_is_meant_has_to_be_one(lrm: Lrm, kept: Kept) -> None:
    """An end that several have is none."""
    for given in ("abcd0123", "3", "nobody"):
        assert exits.NOT_FOUND == lrm("checkpoints", "show", given, kept.path).code


def test_what_changed_from_one_to_another_is_told(lrm: Lrm, kept: Kept) -> None:
    """With paths; bounded, and it says that there is more."""
    told = lrm("checkpoints", "diff", kept.ids[0], "latest", kept.path, "--json").document
    changes = {change["where"]: change["kind"] for change in told["changes"]}
    assert {
        "agent_state.n_steps": "changed",
        "agent_state.history[1]": "added",
        "agent_state.history[2]": "added",
        "browser_state.picture": "changed",
    } == changes
    assert ("lrm.checkpoints.diff/1", kept.ids[0], kept.ids[2], False) == (
        told["schema"],
        told["before"],
        told["after"],
        told["more"],
    )
    lines = lrm("checkpoints", "diff", kept.ids[0], "latest", kept.path, "--limit", "1").out.splitlines()
    assert ["~ agent_state.n_steps  1 -> 3", "1 change, and more"] == lines


def test_one_is_exported_to_a_file_of_its_own(lrm: Lrm, kept: Kept, tmp_path: Path) -> None:
    """That only its owner may read, and that nothing is overwritten for; or to standard output."""
    file = tmp_path / "out" / "checkpoint.json"
    assert exits.OK == lrm("checkpoints", "export", "latest", file, kept.path).code
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    written = json.loads(file.read_text(encoding="utf-8"))
    assert "lrm.checkpoint/1" == written["schema"]
    assert state(3)["browser_state"] == parts(written)["browser_state"]
    assert exits.NO_ACCESS == lrm("checkpoints", "export", "latest", file, kept.path).code
    assert written == lrm("checkpoints", "export", "latest", "-", kept.path).document
    for directory in (".", "/", "..", ""):
        refused = lrm("checkpoints", "export", "latest", directory, kept.path)
        assert (exits.NO_ACCESS, True) == (refused.code, "is there already" in refused.err), refused.err


def test_a_damaged_one_is_told_and_no_traceback(lrm: Lrm, kept: Kept) -> None:
    """By every command that reads it."""
    kept.change(kept.ids[1])
    for words in (["show", "latest"], ["diff", kept.ids[0], "latest"], ["export", "latest", "-"]):
        done = lrm("checkpoints", *words, kept.path)
        assert (exits.BROKEN, "") == (done.code, done.out)
        assert f"checkpoint '{kept.ids[2]}' is damaged" in done.err


def test_damage_that_is_known_is_told_by_the_health(lrm: Lrm, kept: Kept) -> None:
    """The newest that it speaks of is one that can be used."""
    with open_store(kept.path, unknown="placeholder") as store:
        found = NewEvent(checkpointer.DamageFound(kept.ids[2], "its checksum is wrong"))
        store.append(Batch(writes=(StreamWrite("checkpointer", (found,)),)))
    told = lrm("health", "--json", kept.path).document["checkpoints"]
    assert (3, 1, kept.ids[1]) == (told["count"], told["damaged"], told["latest"])
    assert f"3 kept, 1 of them damaged, the newest {kept.ids[1]}" in lrm("health", kept.path).out


def test_the_end_of_several_ids_is_told_to_be_that(lrm: Lrm, kept: Kept) -> None:
    """It is not said that there is none."""
    assert "3 end so" in lrm("checkpoints", "show", "abcd0123", kept.path).err


def test_what_was_stored_beside_the_state_is_counted() -> None:
    """Large binary parts are not in the bytes of the change, and may be most of what was written."""
    info = CheckpointInfo("c", "manual", 0.0, 1, 2_000_000, "", "why", stored_bytes=388, added=("a", "b"))
    assert "2.0 MB in 388 B + 2 blobs" == sizes(info)


def test_that_fewer_are_kept_since_the_disk_was_full_is_told(lrm: Lrm, kept: Kept) -> None:
    """Nobody would know why retention goes by another number than that of the settings."""
    listed = lrm("checkpoints", kept.path)
    assert (None, "") == (lrm("checkpoints", kept.path, "--json").document["at_most"], listed.err)
    with open_store(kept.path, unknown="placeholder") as store:
        ChainLog(store).say("checkpointer", checkpointer.CheckpointsPruned((kept.ids[0],), checkpointer.CLEANED_UP))
    assert 3 == lrm("checkpoints", kept.path, "--json").document["at_most"]
    assert "the disk was full: no more than 3 are kept" in lrm("checkpoints", kept.path).err


# --- pinning and pruning ------------------------------------------------------------------------------------------


def test_one_is_pinned_where_nobody_owns_the_log(lrm: Lrm, kept: Kept) -> None:
    """By a new owner of it; what is pinned outlives every rule, and can be let go of."""
    with open_reader(kept.path, unknown="placeholder") as reader:
        before = reader.head
    done = lrm("checkpoints", "pin", kept.ids[0], "--reason", "for the audit", kept.path, "--json")
    assert {"schema": "lrm.checkpoints.pin/1", "checkpoint_id": kept.ids[0], "pinned": True} == done.document
    assert "pinned" in lrm("checkpoints", kept.path).out.splitlines()[2]
    assert "for the audit" in lrm("log", "--since", before + 1, kept.path).out
    pruned = lrm("checkpoints", "prune", "--keep", "1", "--yes", "--json", kept.path).document
    assert ("lrm.checkpoints.prune/1", [kept.ids[1]], False) == tuple(
        pruned[key] for key in ("schema", "removed", "dry_run")
    )
    assert pruned["freed_bytes"] >= 0
    for words in (["checkpoints", "show"], ["checkpoints", "pin"], ["recover"]):
        for given in (kept.ids[1], kept.ids[1].removeprefix("checkpoint_")):
            gone = lrm(*words, given, "--log", kept.path)
            assert exits.NOT_FOUND == gone.code
            assert "it was removed at #" in gone.err
    assert "removed" not in lrm("checkpoints", "show", "nobody", kept.path).err
    assert exits.OK == lrm("verify", kept.path).code
    assert "left to the rules" in lrm("checkpoints", "unpin", kept.ids[0], kept.path).out
    assert lrm("checkpoints", "unpin", kept.ids[0], kept.path).out.endswith("retention (it was before)\n")
    assert state(3)["agent_state"] == from_json_form(
        lrm("checkpoints", "show", "latest", kept.path, "--json").document["agent_state"]
    )


def test_pruning_is_tried_before_it_is_done(lrm: Lrm, kept: Kept) -> None:
    """Without the word that it is meant, nothing changes."""
    with open_reader(kept.path, unknown="placeholder") as reader:
        before = reader.head
    tried = lrm("checkpoints", "prune", "--keep", "1", "--json", kept.path).document
    assert {"schema": "lrm.checkpoints.prune/1", "would_remove": kept.ids[:2], "dry_run": True} == tried
    text = lrm("checkpoints", "prune", "--keep", "2", kept.path).out
    assert kept.ids[0] in text
    assert "1 checkpoint of " in text
    assert "no checkpoint would go\n" == lrm("checkpoints", "prune", kept.path).out
    with open_reader(kept.path, unknown="placeholder") as reader:
        assert before == reader.head
    assert exits.USAGE == lrm("checkpoints", "prune", "--keep", "0", kept.path).code


@pytest.fixture
def living(tmp_path: Path) -> Iterator[LongRunningMode]:
    """A running agent with three checkpoints."""
    mode = LongRunningMode(settings(tmp_path))
    done: list[int] = []
    mode.capture_with(lambda: {"done": done})
    with mode as blocking:
        for number in (1, 2, 3):
            with blocking.step(f"order {number}"):
                done.append(number)
            blocking.take_checkpoint()
        yield mode


@pytest.mark.usefixtures("sampled")
def test_a_living_agent_is_asked(lrm: Lrm, living: LongRunningMode) -> None:
    """It owns its log: it pins and removes, and this process writes nothing."""
    log = living.settings.log_path
    ids = living.blocking.checkpointer.list_checkpoints()
    assert exits.OK == lrm("checkpoints", "pin", ids[2], log).code
    assert living.blocking.checkpointer.describe(ids[2]).pinned
    assert [ids[1]] == lrm("checkpoints", "prune", "--keep", "1", "--json", log).document["would_remove"]
    assert [ids[1]] == lrm("checkpoints", "prune", "--keep", "1", "--yes", "--json", log).document["removed"]
    assert [ids[0], ids[2]] == living.blocking.checkpointer.list_checkpoints()
    recovered = lrm("recover", "--json", log).document
    assert (ids[0], None) == (recovered["checkpoint_id"], recovered["in_doubt"])
    assert {"done": [1]} == lrm("checkpoints", "show", ids[2], "--json", log).document["agent_state"]


# --- recovering ---------------------------------------------------------------------------------------------------


def test_what_a_recovery_would_give_is_told(lrm: Lrm, kept: Kept) -> None:
    """From which checkpoint and why, what comes after it, and which step nobody knows of."""
    told = lrm("recover", kept.path, "--json").document
    assert ("lrm.recover/1", kept.ids[2], [], None) == tuple(
        told[key] for key in ("schema", "checkpoint_id", "passed_over", "output")
    )
    assert told["why"].startswith("it is the newest, at #")
    assert [(4, "order 4", 4)] == [(step["step"], step["name"], step["result"]) for step in told["steps"]]
    assert ({"step": 5, "name": "order 5", "attempt": 1}, False) == (told["in_doubt"], told["steps_removed"])
    text = lrm("recover", kept.path).out
    assert f"a recovery goes on from {kept.ids[2]}" in text
    assert "in doubt     step 5  order 5  attempt 1" in text
    older = lrm("recover", kept.ids[0], kept.path, "--json").document
    assert ("it was asked for", [2, 3, 4]) == (older["why"], [step["step"] for step in older["steps"]])


def test_a_step_that_is_in_a_checkpoint_in_part_is_told_with_what_became_of_it(lrm: Lrm, tmp_path: Path) -> None:
    """It is begun again; or it was committed later, and then only who asks for the checkpoint gets it."""
    path = tmp_path / "logs" / "shop" / "lrm.db"
    path.parent.mkdir(parents=True)
    with open_store(path) as store:
        log = ChainLog(store)
        log.say("journal", journal.StepBegun(1, "order 1", 1))
        log.take(state(1), kind="emergency")
    assert "what step 1 had changed, which was not committed, is in it" in lrm("recover", path).out
    with open_store(path) as store:
        store.append(Batch((StreamWrite("journal", (NewEvent(journal.StepCommitted(1, "order 1", 1)),)),)))
    assert "no checkpoint" in lrm("recover", path).out
    assert "what step 1 had changed, which was committed later, is in it" in lrm("recover", log.ids[0], path).out


def test_what_is_passed_over_is_told_with_the_reason(lrm: Lrm, kept: Kept) -> None:
    """And the next good one is taken; asked for by its id, the damaged one is refused."""
    kept.change(kept.ids[1])
    told = lrm("recover", kept.path, "--json").document
    assert kept.ids[0] == told["checkpoint_id"]
    assert [kept.ids[2], kept.ids[1]] == [one["checkpoint_id"] for one in told["passed_over"]]
    assert "it is the newest of those that can be used" in told["why"]
    assert exits.OK == lrm("recover", kept.path).code
    assert exits.BROKEN == lrm("recover", kept.ids[2], kept.path).code
    assert exits.NOT_FOUND == lrm("recover", "nobody", kept.path).code


def test_a_check_fails_when_the_newest_cannot_be_restored(lrm: Lrm, kept: Kept) -> None:
    """And only then: so a script learns of it before the night does."""
    done = lrm("recover", "--check", kept.path)
    assert (exits.OK, "3 checkpoints read, 3 can be restored, the newest one too") == (
        done.code,
        done.out.splitlines()[-1],
    )
    kept.change(kept.ids[2])
    done = lrm("recover", "--check", kept.path)
    assert (exits.BROKEN, "3 checkpoints read, 2 can be restored, and not the newest one") == (
        done.code,
        done.out.splitlines()[-1],
    )
    checked = lrm("recover", "--check", "--json", kept.path).document["checked"]
    assert [True, True, False] == [not one["why"] for one in checked]


def test_without_a_checkpoint_the_steps_run_from_the_beginning(lrm: Lrm, tmp_path: Path) -> None:
    """That is said, and by the exit code too; where all are damaged, that."""
    path = tmp_path / "lrm.db"
    with open_store(path) as store:
        log = ChainLog(store)
        log.step(1, "order 1")
    for words in ([], ["--check"]):
        done = lrm("recover", *words, path)
        assert exits.NOT_FOUND == done.code
        assert done.out.startswith("no checkpoint: the steps run from the beginning")
    with open_store(path, unknown="placeholder") as store:
        log = ChainLog(store)
        log.take(state(1))
        store.append(Batch(discard=(attachment_key(log.ids[0]),)))
    done = lrm("recover", path, "--json")
    assert (exits.BROKEN, None) == (done.code, done.document["checkpoint_id"])
    assert "its bytes are not there" == done.document["passed_over"][0]["why"]


def test_the_state_is_written_where_it_is_asked_for(lrm: Lrm, kept: Kept, tmp_path: Path) -> None:
    """The document of the checkpoint that is chosen."""
    file = tmp_path / "state.json"
    assert exits.OK == lrm("recover", "--output", file, kept.path).code
    assert state(3)["agent_state"] == parts(json.loads(file.read_text(encoding="utf-8")))["agent_state"]
    assert kept.ids[0] == lrm("recover", kept.ids[0], "--output", "-", kept.path).document["checkpoint_id"]
    assert exits.NO_ACCESS == lrm("recover", "--output", file, kept.path).code
