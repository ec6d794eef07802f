"""``lrm backup``, ``export``, ``import`` and ``retain``: copies of a log, and what is removed from one."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from eventstore.copying.archive import read_archive
from eventstore.opening import open_reader, open_store
from eventstore.records import Batch, Cursor, NewEvent, StreamWrite
from lrm_actors.cli import exits
from lrm_actors.domain.checkpointer import CheckpointerState
from lrm_actors.domain.journal import JournalOpened, StepBegun, StepCommitted
from lrm_actors.hosting.recovery import choose
from lrm_actors.inspect.folds import open_log
from lrm_actors.inspect.replay import state_at
from tests.cli.conftest import Lived, Lrm
from tests.cli.test_app import ROOT, run
from tests.inspect.logs import LogWriter

# backup


def test_backup_of_a_log(lrm: Lrm, life: Lived, tmp_path: Path) -> None:
    """A file, or the usual name in a directory; what it says is the same in text and JSON."""
    last = life.at["last"]
    done = lrm("backup", tmp_path / "b.db", life.path)
    assert (0, "") == (done.code, done.err)
    assert f"{tmp_path / 'b.db'}: {last} events up to #{last}, " in done.out
    (tmp_path / "there").mkdir()
    document = lrm("backup", tmp_path / "there", life.path, "--json").document
    copy = tmp_path / "there" / "lrm.db"
    assert {
        "schema": "lrm.backup/1",
        "path": str(copy),
        "head": last,
        "events": last,
        "size_bytes": copy.stat().st_size,
        "problems": [],
    } == document
    assert 0 == lrm("verify", copy).code
    assert lrm("log", life.path).out == lrm("log", copy).out


def test_backup_refuses_to_overwrite(lrm: Lrm, life: Lived, tmp_path: Path) -> None:
    """Whatever is there stays."""
    (tmp_path / "b.db").write_text("precious")
    done = lrm("backup", tmp_path / "b.db", life.path, "--json")
    assert (exits.NO_ACCESS, "ES-4008") == (done.code, done.document["error"]["code"])
    assert "precious" == (tmp_path / "b.db").read_text()
    assert exits.NOT_FOUND == lrm("backup", tmp_path / "c.db", tmp_path / "nowhere.db").code


def test_a_target_that_ends_like_a_directory_is_one(lrm: Lrm, life: Lived, tmp_path: Path) -> None:
    """It need not be there."""
    assert 0 == lrm("backup", f"{tmp_path}/monday/", life.path).code
    assert 0 == lrm("verify", tmp_path / "monday" / "lrm.db").code


def test_backup_of_a_log_whose_owner_lives(lrm: Lrm, life: Lived, tmp_path: Path) -> None:
    """Needs no ownership."""
    with open_store(life.path) as store:
        assert 0 == lrm("backup", tmp_path / "b.db", life.path).code
        assert store.head == life.at["last"]


# export and import


def test_export_and_import_give_the_same_log(lrm: Lrm, life: Lived, tmp_path: Path) -> None:
    """And the same bytes again."""
    last = life.at["last"]
    document = lrm("export", tmp_path / "a.jsonl", life.path, "--json").document
    lines = (tmp_path / "a.jsonl").read_bytes()
    assert ("lrm.export/1", str(tmp_path / "a.jsonl"), last, last, lines.count(b"\n")) == tuple(
        document[key] for key in ("schema", "path", "head", "events", "lines")
    )
    assert 0o600 == (tmp_path / "a.jsonl").stat().st_mode & 0o777
    (tmp_path / "new").mkdir()
    made = lrm("import", tmp_path / "a.jsonl", tmp_path / "new", "--json").document
    new = tmp_path / "new" / "lrm.db"
    assert ("lrm.import/1", str(new), document["log_id"], last, last) == tuple(
        made[key] for key in ("schema", "path", "log_id", "head", "events")
    )
    assert 0 == lrm("verify", new).code
    done = lrm("export", tmp_path / "b.jsonl", new)
    assert f"{tmp_path / 'b.jsonl'}: {last} events up to #{last}, {document['lines']} lines\n" == done.out
    assert lines == (tmp_path / "b.jsonl").read_bytes()
    assert f"{tmp_path / 'c.db'}: {last} events" in lrm("import", tmp_path / "a.jsonl", tmp_path / "c.db").out


def test_export_through_a_pipe(life: Lived, tmp_path: Path) -> None:
    """Run for real: lines on stdout and nothing else, a word on stderr, and back from stdin."""
    words = [sys.executable, "-m", "lrm_actors.cli"]
    done = subprocess.run([*words, "export", "-", life.path], cwd=ROOT, capture_output=True, check=True)
    assert b'{"line":"log"' == done.stdout[:13]
    assert f"{life.at['last']} events up to #{life.at['last']}, {len(done.stdout.splitlines())} lines\n" == (
        done.stderr.decode()
    )
    read = [*words, "import", "-", str(tmp_path / "n.db")]
    subprocess.run(read, cwd=ROOT, input=done.stdout, capture_output=True, check=True)
    again = subprocess.run([*words, "export", "-", tmp_path / "n.db"], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout == again.stdout


def test_import_of_what_is_damaged(lrm: Lrm, life: Lived, tmp_path: Path) -> None:
    """Names the line, and leaves nothing."""
    lrm("export", tmp_path / "a.jsonl", life.path)
    lines = (tmp_path / "a.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "a.jsonl").write_bytes(b"".join([*lines[:5], lines[5].replace(b"{", b"[", 1), *lines[6:]]))
    done = lrm("import", tmp_path / "a.jsonl", tmp_path / "n.db")
    assert exits.BROKEN == done.code
    assert "error ES-7001: line 6: " in done.err
    assert [] == list(tmp_path.glob("n.db*"))


def test_export_and_import_used_wrongly(lrm: Lrm, life: Lived, tmp_path: Path) -> None:
    """Each is told what to do instead."""
    assert exits.USAGE == lrm("export", "-", life.path, "--json").code
    assert exits.USAGE == lrm("import", tmp_path / "a.jsonl").code
    assert exits.NOT_FOUND == lrm("import", tmp_path / "none.jsonl", tmp_path / "n.db").code
    assert exits.NO_ACCESS == lrm("export", life.path, life.path).code
    lrm("export", tmp_path / "a.jsonl", life.path)
    assert exits.NO_ACCESS == lrm("import", tmp_path / "a.jsonl", life.path).code


# retain


@pytest.fixture
def snapshots(tmp_path: Path) -> Path:
    """A log of actors all of which have a snapshot, and a consumer that has read ten events."""
    path = tmp_path / "agent" / "lrm.db"
    writer = LogWriter(path)
    for number in range(30):
        writer.add("journal", JournalOpened(number))
    writer.snapshot("journal")
    writer.store.append(Batch(cursors=(Cursor("modes", 10),)))
    writer.store.close()
    return path


def test_retain_says_what_it_did_and_what_kept_the_rest(lrm: Lrm, snapshots: Path) -> None:
    """In text and JSON; a consumer that nobody has any more can be passed over."""
    done = lrm("retain", "--keep-events", 5, snapshots)
    assert 0 == done.code, done.err
    assert done.out.startswith("10 events removed, ")
    assert done.out.endswith("20 events kept, from #11 on: modes has not read it yet\n")
    document = lrm("retain", "--keep-events", 5, "--consumer", "deliveries", snapshots, "--json").document
    assert ("lrm.retain/1", 0, 11, 30, "cursor deliveries", None) == tuple(
        document[key] for key in ("schema", "removed", "first", "head", "held_by", "archive")
    )
    with open_store(snapshots) as store:
        store.append(Batch(cursors=(Cursor("modes", 30),)))
    document = lrm("retain", "--keep-events", 5, snapshots, "--json").document
    assert (15, 26, "policy") == (document["removed"], document["first"], document["held_by"])
    assert document["freed_bytes"] > 0
    assert 0 == lrm("verify", snapshots).code
    assert ["#26", "#30"] == [lrm("log", snapshots).out.splitlines()[n].split()[1] for n in (0, -1)]
    done = lrm("retain", "--keep-events", 0, snapshots)
    assert done.out.endswith("no event kept\n")
    assert 0 == lrm("verify", snapshots).code
    assert 0 == lrm("replay", snapshots).code


def test_retain_by_age_and_into_an_archive(lrm: Lrm, snapshots: Path, tmp_path: Path) -> None:
    """What is older than that goes, and is kept elsewhere."""
    years = (time.time() - 1_700_000_000) / 86_400
    done = lrm("retain", "--older-than", f"{years + 1:.0f}d", snapshots, "--json").document
    assert (0, "policy") == (done["removed"], done["held_by"])
    done = lrm("retain", "--older-than", "12h", "--archive", tmp_path / "old", snapshots, "--json").document
    assert (10, "cursor modes", str(tmp_path / "old")) == (done["removed"], done["held_by"], done["archive"])
    (archive,) = (tmp_path / "old").iterdir()
    assert list(range(1, 11)) == [record.position for record in read_archive(archive, unknown="placeholder")]


def test_retain_keeps_what_recovery_needs(lrm: Lrm, life: Lived) -> None:
    """And says whose it is, unless that is expendable. None of the agent's own actors is: it would not start again."""
    done = lrm("retain", "--keep-events", 0, life.path)
    assert "needs it to be recovered, no snapshot covers it" in done.out
    stream = lrm("retain", "--keep-events", 0, life.path, "--json").document["held_by"].removeprefix("stream ")
    for category in (stream.partition("/")[0], "breaker", "journal"):
        done = lrm("retain", "--keep-events", 0, "--expendable", category, life.path)
        assert (exits.USAGE, True) == (done.code, f"{category}: an agent cannot start again" in done.err)
    path = life.path.parent / "samples" / "lrm.db"
    writer = LogWriter(path)
    writer.add("samples/a", JournalOpened(1))
    writer.store.close()
    assert ": samples/a needs it" in lrm("retain", "--keep-events", 0, path).out
    assert "no event kept" in lrm("retain", "--keep-events", 0, "--expendable", "samples", path).out


@pytest.mark.parametrize("checkpoint", [True, False])
def test_retain_keeps_the_steps_since_the_oldest_checkpoint(lrm: Lrm, tmp_path: Path, checkpoint: bool) -> None:
    """Their results are nowhere else: a snapshot of the journal does not have them."""
    path = tmp_path / "agent" / "lrm.db"
    writer = LogWriter(path)
    for number in range(1, 5):
        if number == 3 and checkpoint:
            writer.checkpoint()
        writer.add("journal", StepBegun(number, "count", 1))
        writer.add("journal", StepCommitted(number, "count", number))
    writer.snapshot("journal")
    if checkpoint:
        writer.snapshot("checkpointer")
    writer.store.close()
    first = 5 if checkpoint else 1
    done = lrm("retain", "--older-than", "0s", path)
    assert f"from #{first} on: to go on from a checkpoint, or without one, needs the steps since" in done.out
    document = lrm("retain", "--keep-events", "0", "--json", path).document
    assert (0, first, "checkpoint") == (document["removed"], document["first"], document["held_by"])
    with open_log(path) as log:
        checkpoints, journal = (state_at(log, name).state for name in ("checkpointer", "journal"))
        steps = choose(log, checkpoints or CheckpointerState(), journal).recovery.steps
    assert ([3, 4] if checkpoint else [1, 2, 3, 4]) == [step.step for step in steps]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--older-than", "30"],
        ["--older-than", "-1d"],
        ["--older-than", "1e3d"],
        ["--keep-events", "-1"],
        ["--keep-events", "1.5"],
    ],
)
def test_retain_used_wrongly(lrm: Lrm, snapshots: Path, words: list[str]) -> None:
    """Removes nothing."""
    assert exits.USAGE == lrm("retain", *words, snapshots).code
    with open_reader(snapshots, unknown="placeholder") as reader:
        assert 1 == reader.first


def test_retain_of_a_log_that_is_owned(lrm: Lrm, snapshots: Path) -> None:
    """Its owner has to do it: told with a hint, and nothing is removed."""
    with open_store(snapshots) as store:
        done = lrm("retain", "--keep-events", 0, snapshots)
        assert exits.LOCKED == done.code
        assert ["error ES-4004", "try"] == [line.partition(":")[0] for line in done.err.splitlines()]
        assert 1 == store.first


def test_an_encrypted_log(lrm: Lrm, tmp_path: Path) -> None:
    """Is copied without its key, and shrunk with it."""
    pytest.importorskip("cryptography")
    (tmp_path / "key").write_bytes(bytes(range(32)))
    (tmp_path / "key").chmod(0o600)
    log = tmp_path / "agent" / "lrm.db"
    with open_store(log, key=bytes(range(32))) as store:
        store.append(Batch((StreamWrite("samples", tuple(NewEvent(JournalOpened(n)) for n in range(5))),)))
    assert 0 == lrm("backup", tmp_path / "b.db", log).code
    assert 0 == lrm("export", tmp_path / "e.jsonl", log).code
    assert 0 == lrm("import", tmp_path / "e.jsonl", tmp_path / "i.db").code
    words = ["retain", "--keep-events", 1, "--expendable", "samples"]
    assert exits.NO_KEY == lrm(*words, log).code
    for one in (log, tmp_path / "b.db", tmp_path / "i.db"):
        with open_reader(one, unknown="placeholder") as reader:
            assert (1, 5, True) == (reader.first, reader.head, reader.locked)
        assert 0 == lrm(*words, one, "--key-file", tmp_path / "key").code
        with open_reader(one, key=bytes(range(32))) as reader:
            assert [JournalOpened(4)] == [record.event for record in reader.read()]


def test_retain_makes_no_log(lrm: Lrm, tmp_path: Path) -> None:
    """Where there is none."""
    assert exits.NOT_FOUND == lrm("retain", "--keep-events", 0, tmp_path / "none.db").code
    assert not (tmp_path / "none.db").exists()


def test_retain_fences_the_owner_before_it(snapshots: Path, lrm: Lrm) -> None:
    """It takes ownership: an owner that comes after it begins with a later epoch."""
    with open_store(snapshots) as store:
        epoch = store.owner_epoch
    lrm("retain", "--keep-events", 0, snapshots)
    with open_store(snapshots) as store:
        assert epoch + 2 == store.owner_epoch
        store.append(Batch((StreamWrite("journal", (NewEvent(JournalOpened(31)),)),)))


# as a process


def test_stdout_is_one_json_document(life: Lived, tmp_path: Path) -> None:
    """Run for real: data on stdout and nothing else."""
    for words in (["backup", "b.db"], ["export", "e.jsonl"], ["retain", "--keep-events", "3"]):
        done = run(*words, "--json", life.path, cwd=tmp_path)
        assert (0, "") == (done.returncode, done.stderr)
        assert f'"lrm.{words[0]}/1"' in done.stdout
