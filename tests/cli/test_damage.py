"""``lrm doctor``, ``salvage`` and ``accept``: what is wrong with a log, and how to go on with it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from eventstore.errors import TailMissing
from eventstore.mark import mark_path
from eventstore.opening import open_reader, open_store
from lrm_actors.cli import exits
from tests.cli.conftest import Lived, Lrm
from tests.eventstore.support import Counted, append


def change(log: Path, sql: str) -> None:
    """What somebody does to the file behind our back."""
    with closing(sqlite3.connect(log, isolation_level=None)) as connection:
        connection.execute(sql)


def test_doctor_prints_a_line_for_each_finding(lrm: Lrm, life: Lived) -> None:
    """In text and in JSON; a sound log ends with 0, and with nothing on stderr."""
    done = lrm("doctor", life.path)
    assert (0, "") == (done.code, done.err)
    document = lrm("doctor", "--json", life.path).document
    assert ("lrm.doctor/1", str(life.path)) == (document["schema"], document["path"])
    for finding in document["findings"]:
        assert {"code", "level", "what", "advice"} == set(finding)
        varies = finding["code"] in {"disk-space", "inodes"}  # others use this disk meanwhile
        assert f"{finding['code']}: {'' if varies else finding['what']}" in done.out


def test_doctor_ends_with_4_when_there_is_a_problem(lrm: Lrm, life: Lived) -> None:
    """And says what to try."""
    change(life.path, f"DELETE FROM events WHERE position = {life.at['last']}")
    done = lrm("doctor", life.path)
    assert exits.BROKEN == done.code
    assert "its tail is missing" in done.out
    assert "try: keep a copy" in done.out
    assert exits.NOT_FOUND == lrm("doctor", life.path.parent / "none.db").code


def test_verify_says_how_far_a_log_was_acknowledged(lrm: Lrm, life: Lived) -> None:
    """Head and mark, in text and in JSON."""
    last = life.at["last"]
    assert f"up to #{last}, acknowledged up to #{last} at least\n" in lrm("verify", life.path).out
    mark_path(life.path).unlink()
    assert f"up to #{last}, with no mark beside it\n" in lrm("verify", life.path).out
    assert (last, None) == tuple(lrm("verify", "--json", life.path).document[key] for key in ("head", "marked"))


def test_a_damaged_log_in_use_is_copied_and_salvaged(lrm: Lrm, life: Lived, tmp_path: Path) -> None:
    """Each refusal names the command that comes next."""
    change(life.path, "UPDATE events SET data = x'7b7d' WHERE position = 3")
    copy, new = tmp_path / "copy.db", tmp_path / "new.db"
    with closing(open_store(life.path)):
        done = lrm("salvage", life.path, new)
        assert (True, True) == (done.code != 0, "lrm backup --even-damaged" in done.err)
        done = lrm("backup", copy, life.path)
        assert (True, True) == (done.code != 0, "lrm backup --even-damaged" in done.err)
        done = lrm("backup", "--even-damaged", "--json", copy, life.path)
        assert (exits.BROKEN, [3]) == (done.code, [one["position"] for one in done.document["problems"]])
        copy.unlink()
        done = lrm("backup", "--even-damaged", copy, life.path)
    assert exits.BROKEN == done.code
    assert "damaged: checksum at position 3: " in done.out
    assert f"lrm salvage {copy} NEW" in done.out
    assert "lost: #3" in lrm("salvage", copy, new).out


def test_salvage_makes_a_new_log(lrm: Lrm, life: Lived, tmp_path: Path) -> None:
    """It says what came back and what is lost, and the damaged one stays as it is."""
    last = life.at["last"]
    target = tmp_path / "new.db"
    done = lrm("salvage", life.path, target)
    assert (0, "") == (done.code, done.err)
    assert f"{target}: {last} events up to #{last}, " in done.out
    assert done.out.endswith("no event is lost\n")
    assert lrm("log", life.path).out == lrm("log", target).out
    change(life.path, "UPDATE events SET depth = 9 WHERE position IN (3, 4, 7)")
    before = life.path.read_bytes()
    done = lrm("salvage", life.path.parent, tmp_path / "other.db")
    assert (exits.BROKEN, ["lost: #3 to #4", "lost: #7"]) == (done.code, done.out.splitlines()[1:])
    (tmp_path / "there").mkdir()
    document = lrm("salvage", "--json", life.path, tmp_path / "there").document
    assert ([[3, 4], [7, 7]], last - 3) == (document["lost"], document["events"])
    assert (tmp_path / "there" / "lrm.db").exists()
    assert before == life.path.read_bytes()
    assert exits.NO_ACCESS == lrm("salvage", life.path, target).code


def test_salvage_leaves_a_live_log_alone(lrm: Lrm, life: Lived, tmp_path: Path) -> None:
    """Its owner is alive."""
    with open_store(life.path):
        assert exits.LOCKED == lrm("salvage", life.path, tmp_path / "new.db").code


def test_accept_goes_on_without_a_missing_tail(lrm: Lrm, life: Lived) -> None:
    """A copy of what there was is kept, and then it can be owned again."""
    last = life.at["last"]
    change(life.path, f"DELETE FROM events WHERE position = {last}")
    with pytest.raises(TailMissing):
        open_store(life.path)
    done = lrm("accept", "--json", life.path)
    assert (0, last - 1) == (done.code, done.document["head"])
    kept = Path(done.document["kept"])
    with open_reader(kept, unknown="placeholder") as reader:
        assert ["tail"] == [problem.what for problem in reader.verify().problems]
    open_store(life.path).close()
    assert 0 == lrm("verify", life.path).code or "tail" not in lrm("verify", life.path).out


def test_accept_does_nothing_where_nothing_is_missing(lrm: Lrm, life: Lived) -> None:
    """No copy, no new owner."""
    before = life.path.read_bytes()
    done = lrm("accept", life.path)
    assert (0, True) == (done.code, "misses nothing" in done.out)
    assert (before, []) == (life.path.read_bytes(), list(life.path.parent.glob("*-before-*")))
    assert None is lrm("accept", "--json", life.path).document["kept"]


def test_a_log_that_was_all_in_a_lost_wal_is_told_and_accepted(lrm: Lrm, tmp_path: Path) -> None:
    """Nothing is left of it but its mark. It is not taken for a new one, and not for something else."""
    log = tmp_path / "lrm.db"
    with open_store(tmp_path / "other.db") as store:
        append(store, "a", Counted(1))
    shutil.copy(mark_path(tmp_path / "other.db"), mark_path(log))
    log.touch()
    for command in ("log", "verify", "retain --keep-events 1"):
        done = lrm(*command.split(), "--log", log)
        assert (exits.BROKEN, True) == (done.code, "position 1 was acknowledged" in done.err)
    assert "its tail is missing" in lrm("doctor", log).out
    done = lrm("accept", log)
    assert (0, f"{log} goes on from #0") == (done.code, done.out.partition(";")[0])
    assert 0 == lrm("verify", log).code
