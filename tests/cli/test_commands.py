from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from eventstore.opening import open_store, system_instant
from eventstore.reader import SqliteReader
from eventstore.records import Batch, NewEvent, StreamWrite
from lrm_actors.cli import app, exits
from lrm_actors.domain import journal, monitor, sleeps
from lrm_actors.domain.deadlines import deadline
from lrm_actors.domain.journal import JournalOpened, StepCommitted
from lrm_actors.domain.metrics import Metrics
from tests.cli.conftest import Lived, Lrm
from tests.inspect.logs import CHECKPOINT, STATE, LogWriter

# log


def test_log_prints_a_line_for_each_event(lrm: Lrm, life: Lived) -> None:
    """Time, position, actor, what happened, and its cause; nothing on stderr when the log was named."""
    done = lrm("log", life.path)
    lines = done.out.splitlines()
    assert (0, "", life.at["last"]) == (done.code, done.err, len(lines))
    expected = "#5 supervisor process_exit_observed the process before this one ended: exit by signal 9 (SIGKILL)"
    assert expected == " ".join(lines[life.at["exit"] - 1].split()[1:])
    assert lines[life.at["breaker"] - 1].endswith(
        f"the breaker of site opened: 3 timeouts in a row  └ #{life.at['timeouts']}"
    )


def test_log_prints_json_lines(lrm: Lrm, life: Lived) -> None:
    """Each is one document with everything that is stored of the event."""
    done = lrm("log", "--json", life.path)
    lines = done.lines
    assert list(range(1, life.at["last"] + 1)) == [line["position"] for line in lines]
    opened = lines[life.at["breaker"] - 1]
    assert ("lrm.log/1", "breaker/site", "breaker.opened", life.at["timeouts"], "c1") == tuple(
        opened[key] for key in ("schema", "stream", "type", "cause", "correlation_id")
    )
    assert "3 timeouts in a row" == opened["data"]["reason"]
    assert opened["time"].startswith("2023-11-14T22:13:")


@pytest.mark.parametrize(
    ("options", "positions"),
    [
        (["--actor", "breaker"], [18, 19]),
        (["--actor", "breaker/site"], [18, 19]),
        (["--actor", "break"], []),
        (["--actor", "monitor", "--actor", "modes"], [7, 8, 9, 10, 11]),
        (["--type", "breaker."], [18, 19]),
        (["--type", "breaker.opened", "--type", "modes.changed"], [10, 19]),
        (["--type", "breaker.open"], []),
        (["--actor", "breaker", "--type", "breaker.opened"], [19]),
        (["--since", "20"], [20, 21]),
        (["--since", "#20"], [20, 21]),
        (["--limit", "3"], [19, 20, 21]),
        (["--limit", "0"], []),
        (["--limit", "1", "--actor", "breaker"], [19]),
        (["--since", "999"], []),
    ],
)
def test_log_prints_what_was_asked_for(lrm: Lrm, life: Lived, options: list[str], positions: list[int]) -> None:
    """By actor, by type, from a position, only the newest; together they all must hold."""
    done = lrm("log", "--json", *options, life.path)
    assert (0, positions) == (done.code, [line["position"] for line in done.lines])


@pytest.mark.parametrize("options", [["--actor", "moniter"], ["--type", "no.such"], ["--since", "999"]])
def test_log_says_that_nothing_fits(lrm: Lrm, life: Lived, options: list[str]) -> None:
    """An empty answer to a mistyped name is no riddle: standard error says so, and which actors there are."""
    done = lrm("log", *options, life.path)
    assert (0, "") == (done.code, done.out)
    assert "none of its 21 events fits" in done.err
    assert ("its actors are analyzer, " in done.err) == ("--actor" in options)
    assert ("or 'monitor.' for all that begin so: analyzer., " in done.err) == ("--type" in options)


def test_log_follows_what_is_appended(lrm: Lrm, life: Lived, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there, then what comes, as it comes; Ctrl-C ends it."""
    tail = SqliteReader.tail

    def tail_until_idle(self: SqliteReader, *, after: int = 0, **how: Any) -> Any:
        log = LogWriter(life.path)
        log.add("journal", StepCommitted(2, "think", None))
        log.store.close()
        yield next(iter(tail(self, after=after, **how)))
        raise KeyboardInterrupt

    monkeypatch.setattr(SqliteReader, "tail", tail_until_idle)
    done = lrm("log", "--json", "-f", "--since", "20", life.path)
    assert (exits.INTERRUPTED, [20, 21, 22]) == (done.code, [line["position"] for line in done.lines])


# show


def test_show_tells_everything_of_an_event(lrm: Lrm, life: Lived) -> None:
    """What led to it, what is in it, and what it led to."""
    done = lrm("show", f"#{life.at['failure']}", life.path)
    assert 0 == done.code
    assert done.out.startswith("#12  22:13:32.000  analyzer.failure_recorded  browser failed: component_exit")
    assert '"observation": "component_exited"' in done.out
    assert "└ because #11  22:13:31.000  monitor.component_exited" in done.out
    assert "→ led to #13  22:13:33.000  analyzer.recovery_chosen" in done.out


def test_show_as_a_document(lrm: Lrm, life: Lived) -> None:
    """One, with the positions of what it led to."""
    document = lrm("show", life.at["health"], life.path, "--json").document
    assert ("lrm.show/1", life.at["sample"], [9]) == (
        document["schema"],
        document["event"]["cause"],
        document["effects"],
    )


def test_show_of_an_effect_tells_what_it_had_come_to_before(lrm: Lrm, tmp_path: Path) -> None:
    """The host calls for each of these, so none has a cause."""
    with open_store(tmp_path / "lrm.db") as store:
        begun, doubted = journal.StepBegun(1, "buy", 1), journal.EffectUnfinished(1, "pay", 1, 1, "ask", "no answer")
        store.append(Batch((StreamWrite("journal", (NewEvent(begun), NewEvent(doubted))),)))
    assert "└ after #1  " in lrm("show", 2, tmp_path).out
    assert 1 == lrm("show", 2, tmp_path, "--json").document["before"]
    assert "before" not in lrm("show", 1, tmp_path, "--json").document


@pytest.mark.parametrize(
    ("words", "bounds"),
    [
        (("effects", "forget"), "1<=x<=1000000000000"),
        (("effects", "--step"), "1<=x<=1000000000000"),
        (("log", "--limit"), "0<=x<=1000000000"),
        (("retain", "--keep-events"), "0<=x<=1000000000000000000"),
    ],
)
def test_a_number_that_is_too_large_is_told_both_bounds(
    lrm: Lrm, life: Lived, words: tuple[str, ...], bounds: str
) -> None:
    """As wrong usage: none of them ends in a traceback."""
    done = lrm(*words, 10**25, "--log", life.path)
    assert (exits.USAGE, True) == (done.code, bounds in done.err), done.err


def test_no_range_of_numbers_has_one_end() -> None:
    """Planted: one that has, is found."""
    assert [] == [str(found) for found in boundless(app.cli)]
    planted = click.Command("planted", params=[click.Option(["--many"], type=click.IntRange(1))])
    assert ["--many"] == [found.opts[0] for found in boundless(planted)]


def boundless(command: click.Command) -> Iterator[click.Parameter]:
    """The numbers of a command, and of those below it, that have a least value or a largest, and not both."""
    for param in command.params:
        if isinstance(param.type, click.IntRange | click.FloatRange):
            yield from [param] if None in (param.type.min, param.type.max) else []
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from boundless(below)


@pytest.mark.parametrize("position", ["0", "999", "#22"])
def test_show_of_nothing(lrm: Lrm, life: Lived, position: str) -> None:
    """Not found, and which positions there are."""
    done = lrm("show", position, life.path)
    assert (exits.NOT_FOUND, "") == (done.code, done.out)
    assert done.err.startswith("error ES-2001: no event at position")
    assert "try: " in done.err


@pytest.mark.parametrize("position", ["x", "-1", "1.5", "", "9" * 5_000], ids=lambda one: one[:3])
def test_show_of_no_position(lrm: Lrm, life: Lived, position: str) -> None:
    """Wrong usage."""
    assert exits.USAGE == lrm("show", "--log", life.path, "--", position).code


@pytest.mark.parametrize(
    ("words", "asked"),
    [(("show", "outer#1"), "outer#1"), (("log", "--only", "outer"), "--only outer"), (("why", "outer#1"), "outer#1")],
)
def test_a_watchdog_that_is_not_there_has_no_events(lrm: Lrm, life: Lived, words: tuple[str, ...], asked: str) -> None:
    """The agent's own are no answer, whatever their positions."""
    done = lrm(*words, "--log", life.path)
    assert (exits.NOT_FOUND, "") == (done.code, done.out)
    assert f"error LRM-4001: {asked}: {life.path} has no log of 'lrm run' beside it" in done.err
    assert "try: " in done.err


# why


def test_why_prints_the_chain(lrm: Lrm, life: Lived) -> None:
    """Each link under the one it led to, down to what was seen."""
    done = lrm("why", "breaker", life.path)
    assert 0 == done.code
    failures = "3 calls of site failed in a row: timeout: 1; timeout: 2; timeout: 3"
    assert done.out.splitlines() == [
        "#19  22:13:39.000  breaker.opened  the breaker of site opened: 3 timeouts in a row",
        f"└ because #18  22:13:38.000  breaker.failures_observed  {failures}",
        "It began with what was seen: 3 timeouts in a row",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["restart:browser"],
        ["restart", "browser"],
        ["restart:component:browser"],
        ["#17"],
        ["supervisor.child_restarted"],
    ],
)
def test_why_understands_a_target_in_many_forms(lrm: Lrm, life: Lived, words: list[str]) -> None:
    """With the name after a colon or as a word of its own."""
    document = lrm("why", "--json", *words, "--log", life.path).document
    assert ("lrm.why/1", ":".join(words)) == (document["schema"], document["target"])
    assert [17, 16, 15, 14, 13, 12, 11] == [link["position"] for link in document["links"]]
    assert (11, "observation", True, "exit by signal 9", "") == tuple(
        document[key] for key in ("root", "began", "ends_at_observation", "observation", "problem")
    )


def test_why_takes_the_log_as_its_last_word(lrm: Lrm, life: Lived, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a target, or after a target and a name; a file and a directory."""
    for words in (["restart"], ["restart", "browser"]):
        for path in (life.path, life.path.parent):
            done = lrm("why", *words, path)
            assert (0, "#17") == (done.code, done.out.partition(" ")[0])
    monkeypatch.chdir(life.path.parent.parent)
    assert 0 == lrm("why", "restart", "agent-1").code


def test_why_takes_what_an_effect_is_called_for_no_log(lrm: Lrm, life: Lived, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a slash in it, as in a path."""
    monkeypatch.setenv("LRM_CHECKPOINT_DIR", str(life.path.parent.parent))
    monkeypatch.setenv("LRM_AGENT_ID", life.path.parent.name)
    done = lrm("why", "effect", "order 4712/pay#1")
    assert (exits.NOT_FOUND, True) == (done.code, "of order 4712/pay#1" in done.err)


def test_why_of_a_call_from_outside(lrm: Lrm, life: Lived) -> None:
    """Sound, and not an observation."""
    done = lrm("why", life.at["commit"], life.path)
    assert (0, "It began with a call from outside, a timer, or a recovery.") == (done.code, done.out.splitlines()[-1])


def test_why_reports_a_planted_wrong_link(lrm: Lrm, life: Lived) -> None:
    """In words, in JSON, and by its exit code."""
    with sqlite3.connect(life.path) as log:
        log.execute("UPDATE events SET cause = 19 WHERE position = 15")
    log.close()
    done = lrm("why", "restart", life.path)
    assert (exits.BROKEN, "The chain is broken: #15 names #19 as its cause, which is not before it") == (
        done.code,
        done.out.splitlines()[-1],
    )
    done = lrm("why", "restart", life.path, "--json")
    assert (exits.BROKEN, "broken", False) == (done.code, done.document["began"], done.document["ends_at_observation"])


# replay


def test_replay_shows_every_actor_at_a_position(lrm: Lrm, life: Lived) -> None:
    """As it was right after it, and nothing of what came later."""
    before = lrm("replay", "--to", life.at["health"], life.path, "--json").document
    after = lrm("replay", "--to", life.at["mode"], life.path, "--json").document
    assert ("lrm.replay/1", life.at["health"]) == (before["schema"], before["position"])
    assert "modes" not in before["actors"]
    assert ("degraded", True) == (after["actors"]["modes"]["state"]["mode"], after["actors"]["modes"]["folded"])
    text = lrm("replay", "--to", f"#{life.at['mode']}", life.path)
    assert text.out.startswith(f"after #{life.at['mode']} of #{life.at['last']}\n")
    assert re.search(r'^  mode +"degraded"$', text.out, re.MULTILINE)


def test_replay_with_and_without_snapshots_is_the_same(lrm: Lrm, life: Lived) -> None:
    """A snapshot is a shortcut, no other truth."""
    with_them = lrm("replay", "--json", "--actor", "supervisor", life.path).document["actors"]["supervisor"]
    without = lrm("replay", "--json", "--actor", "supervisor", "--no-snapshots", life.path).document["actors"][
        "supervisor"
    ]
    assert (7, 0) == (with_them["from_snapshot"], without["from_snapshot"])
    assert with_them["state"] == without["state"]


def test_replay_before_the_first_event(lrm: Lrm, life: Lived) -> None:
    """Nobody is there yet."""
    assert {} == lrm("replay", "--to", "0", "--json", life.path).document["actors"]


@pytest.mark.parametrize(
    ("options", "code"),
    [(["--to", "999"], "ES-2001"), (["--actor", "nobody"], "LRM-4001"), (["--load", "no_such"], "LRM-4003")],
)
def test_replay_of_what_is_not_there(lrm: Lrm, life: Lived, options: list[str], code: str) -> None:
    """A position, an actor or a module: typed, with what to try."""
    done = lrm("replay", *options, life.path)
    assert done.err.startswith(f"error {code}: ")
    assert "\ntry: " in done.err
    assert (exits.USAGE if code == "LRM-4003" else exits.NOT_FOUND) == done.code


SHOP = """
import attrs
from eventstore import event
from lrm_actors import Spec

@event("shop_{n}.sold", 1)
class Sold:
    price: int

@attrs.frozen
class Till:
    total: int = 0

SPECS = [Spec("shop_{n}", Till(), print, lambda till, sold: Till(till.total + sold.price))]
"""


def test_replay_of_an_actor_of_others(lrm: Lrm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its events without its module, and it is said so; its state with it, found where the command is run."""
    (tmp_path / "shop_one.py").write_text(SHOP.replace("{n}", "one"))
    code = (
        "from shop_one import Sold\nfrom eventstore import open_store, Batch, StreamWrite, NewEvent\n"
        "with open_store('x/lrm.db') as store:\n"
        "    store.append(Batch(writes=(StreamWrite('shop_one', (NewEvent(Sold(3)), NewEvent(Sold(4)))),)))\n"
    )
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PYTHONPATH": f"{root}:{tmp_path}"})

    done = lrm("replay", "x")
    assert "how it is folded is not known here, --load tells: its events" in done.out
    assert "price 4" in done.out
    assert {"price": 3} == lrm("replay", "--json", "x").document["actors"]["shop_one"]["events"][0]["data"]
    monkeypatch.setattr(sys, "path", list(sys.path))
    done = lrm("replay", "--json", "--load", "shop_one", "x")
    assert {"total": 7} == done.document["actors"]["shop_one"]["state"]
    assert "total  7" in lrm("replay", "--load", "shop_one", "x").out


# health


def test_health_of_a_dead_agent(lrm: Lrm, life: Lived) -> None:
    """How it was, that it is dead, and an exit code of its own."""
    done = lrm("health", life.path)
    assert exits.STALE == done.code
    first, second, *_ = done.out.splitlines()
    assert "agent-1  no process is alive, was up 16 s  was warning, mode degraded (memory 83.2 % >= 80.0 %)" == first
    assert "  no process is alive, and it did not stop in order" == second
    assert "breakers     site open, 3 failures" in done.out
    assert "steps        1 done, step 2 in doubt, 0 repeated" in done.out
    told = lrm("health", life.path, "--json")
    document = told.document
    assert ("lrm.health/1", "agent-1", False) == (
        document["schema"],
        document["agent_id"],
        document["process"]["alive"],
    )
    assert 1 == told.out.count(document["process"]["stale"])


def test_health_tells_of_an_agent_that_sleeps(lrm: Lrm, tmp_path: Path) -> None:
    """What it sleeps for, and how much longer: nobody has to wonder why it does nothing. The next ones first."""
    now = system_instant()
    asleep = [
        sleeps.SleepBegun(1, f"nap {hours}", inside=False, occurrence=1, until=deadline(now, hours * 3600.0 + 30))
        for hours in (5, 2, 4, 3)
    ]
    with open_store(tmp_path / "a" / "lrm.db") as store:
        events = tuple(NewEvent(one) for one in (JournalOpened(1), *asleep))
        store.append(Batch(writes=(StreamWrite("journal", events),)))
        done = lrm("health", tmp_path / "a")
        told = "sleeps for 2h00m more: nap 2; sleeps for 3h00m more: nap 3; sleeps for 4h00m more: nap 4"
        assert f"steps        0 done, none in doubt, 0 repeated; {told}; and 1 other sleep" in done.out
        left_s = lrm("health", tmp_path / "a", "--json").document["steps"]["sleeping"]["nap 5"]
        assert 5 * 3600 < left_s <= 5 * 3600 + 30


@pytest.mark.parametrize(
    ("status", "code"),
    [("healthy", exits.OK), ("warning", exits.WARNING), ("critical", exits.CRITICAL), ("failing", exits.FAILING)],
)
def test_health_of_a_living_agent_is_its_exit_code(lrm: Lrm, tmp_path: Path, status: str, code: int) -> None:
    """For scripts and probes."""
    sample = monitor.Sampled(Metrics(cpu_percent=1.0, memory_percent=2.0), time.monotonic())
    changed = monitor.HealthChanged("healthy", status, "as planted")
    with open_store(tmp_path / "a" / "lrm.db") as store:
        store.append(Batch(writes=(StreamWrite("monitor", (NewEvent(sample), NewEvent(changed))),)))
        done = lrm("health", tmp_path / "a")
        assert (code, status, True) == (done.code, done.out.split("  ")[2].split(",")[0], "is alive" in done.out)
        assert ("try: lrm why health" in done.out) is (status != "healthy")


def test_health_that_nobody_measured_is_not_healthy(lrm: Lrm, tmp_path: Path) -> None:
    """A living process without a sample: unknown is a warning at least."""
    with open_store(tmp_path / "a" / "lrm.db"):
        done = lrm("health", tmp_path / "a")
    assert exits.WARNING == done.code
    assert "cpu_percent: no sample yet" in done.out


# checkpoints


def test_checkpoints_are_listed(lrm: Lrm, life: Lived) -> None:
    """By the group and by its command alike."""
    expected = f"{CHECKPOINT}  periodic  2023-11-14 22:13:30  #19  18 B    interval\n1 checkpoint\n"
    assert expected == lrm("checkpoints", "--log", life.path).out
    assert expected == lrm("checkpoints", "list", life.path).out
    document = lrm("checkpoints", "--json", "--log", life.path).document
    assert ("lrm.checkpoints/1", CHECKPOINT) == (document["schema"], document["checkpoints"][0]["checkpoint_id"])


@pytest.mark.parametrize("checkpoint_id", [CHECKPOINT, "latest"])
def test_a_checkpoint_is_shown(lrm: Lrm, life: Lived, checkpoint_id: str) -> None:
    """With the agent's state as it was captured."""
    document = lrm("checkpoints", "show", checkpoint_id, life.path, "--json").document
    assert ("lrm.checkpoints.show/1", STATE) == (document["schema"], document["agent_state"])
    assert CHECKPOINT == document["checkpoint_id"] == document["record"]["checkpoint_id"]
    text = lrm("checkpoints", "show", checkpoint_id, life.path).out
    assert '"pages": 3' in text
    assert "hints     calm" in text


def test_a_checkpoint_that_json_cannot_hold_is_shown_all_the_same(lrm: Lrm, tmp_path: Path) -> None:
    """Bytes, numbers beyond JSON, keys that are no text."""
    log = LogWriter(tmp_path / "a" / "lrm.db")
    log.checkpoint(state={"bytes": b"\x00", "never": float("nan"), 3: None, "big": 10**40})
    log.store.close()
    contents = lrm("checkpoints", "show", "latest", "a", "--json").document["agent_state"]
    expected = [["bytes", {"$bytes": "AA=="}], ["never", {"$float": "nan"}], [3, None], ["big", 10**40]]
    assert {"$map": expected} == contents
    assert '"bytes": "<1 byte>"' in lrm("checkpoints", "show", "latest", "a").out


def test_a_checkpoint_that_is_not_there(lrm: Lrm, life: Lived) -> None:
    """Not found, with what to do in the words of the command line."""
    done = lrm("checkpoints", "show", "checkpoint_1", life.path)
    assert (exits.NOT_FOUND, True) == (done.code, done.err.startswith("error LRM-3002: "))
    assert "try: `lrm checkpoints` lists those there are" in done.err


def test_checkpoints_take_the_log_as_their_last_word(lrm: Lrm, life: Lived) -> None:
    """As every other command does; a word that is neither a log nor a command is still wrong usage."""
    assert lrm("checkpoints", "list", life.path) == lrm("checkpoints", life.path) != lrm("checkpoints", "lost")
    assert lrm("checkpoints", "list", "--json", life.path) == lrm("checkpoints", "--json", life.path.parent)
    assert exits.USAGE == lrm("checkpoints", "lost").code


def test_a_log_without_checkpoints(lrm: Lrm, tmp_path: Path) -> None:
    """An empty list is no error; the latest of none is."""
    open_store(tmp_path / "a" / "lrm.db").close()
    assert (0, "0 checkpoints\n") == (lrm("checkpoints", "list", "a").code, lrm("checkpoints", "list", "a").out)
    assert exits.NOT_FOUND == lrm("checkpoints", "show", "latest", "a").code


def test_a_damaged_checkpoint_is_told(lrm: Lrm, life: Lived) -> None:
    """Broken, and no traceback."""
    with sqlite3.connect(life.path) as log:
        log.execute("UPDATE attachments SET data = x'00'")
    log.close()
    done = lrm("checkpoints", "show", "latest", life.path)
    assert (exits.BROKEN, True) == (done.code, done.err.startswith("error LRM-3003: "))


# verify


def test_verify_of_a_sound_log(lrm: Lrm, life: Lived) -> None:
    """Says what was looked at."""
    done = lrm("verify", life.path)
    assert (0, "ok: all is as it was written") == (done.code, done.out.splitlines()[-1])
    document = lrm("verify", life.path, "--json").document
    assert ("lrm.verify/1", True, 21, 1, []) == tuple(
        document[key] for key in ("schema", "ok", "events", "checkpoints", "problems")
    )


def test_verify_of_a_planted_change(lrm: Lrm, life: Lived) -> None:
    """Says what is wrong and where, and ends with a code of its own."""
    with sqlite3.connect(life.path) as log:
        log.execute("UPDATE events SET cause = 17 WHERE position = 17")
    log.close()
    done = lrm("verify", life.path)
    assert exits.BROKEN == done.code
    assert "cause at #17: #17 names #17 as its cause, which is not before it" in done.out
    assert done.out.splitlines()[-1].endswith(" problems")
    document = lrm("verify", life.path, "--json").document
    assert (False, {"checksum", "cause"}) == (document["ok"], {problem["what"] for problem in document["problems"]})
