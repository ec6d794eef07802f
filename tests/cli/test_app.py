from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import eventstore.errors as store_errors
import lrm_actors.errors as our_errors
from eventstore.opening import open_store
from eventstore.records import Batch, NewEvent, StreamWrite
from lrm_actors import __version__
from lrm_actors.cli import cli, exits, output
from lrm_actors.cli.app import COMMANDS
from lrm_actors.domain.journal import JournalOpened
from lrm_actors.inspect.errors import BadTarget, LoadFailed, TargetNotFound
from tests.cli.conftest import Lived, Lrm

ROOT = Path(__file__).parents[2]
ON_A_LOG = ["log", "show 1", "why restart", "replay", "health", "checkpoints list", "checkpoints show latest", "verify"]
FORBIDDEN = {"sqlite3", "psutil", "pykka", "sqlite_utils", "asyncio", "msgspec", "attr", "pip"}


def run(*words: object, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("LRM_")}
    return subprocess.run(
        [sys.executable, "-m", "lrm_actors.cli", *map(str, words)],
        cwd=cwd,
        env={**surroundings, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# The table of commands


def walk(command: click.Command, name: str) -> list[tuple[str, click.Command]]:
    """A command and those below it."""
    found = [(name, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for sub in command.list_commands(context):
            below = command.get_command(context, sub)
            assert below is not None
            found += walk(below, f"{name} {sub}")
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_loaded_and_has_help(lrm: Lrm, name: str) -> None:
    """Each command of the table, and each below it, tells what it and its options are for."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    for full, each in walk(command, name):
        assert each.get_short_help_str(), full
        for parameter in each.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{full} {parameter.name}"
        done = lrm(*full.split(), "--help")
        assert (0, True) == (done.code, "Usage: lrm" in done.out)


def test_help_lists_every_command_with_what_it_is_for(lrm: Lrm) -> None:
    """And the exit codes."""
    out = " ".join(lrm("--help").out.split())
    for name, summary in COMMANDS.items():
        assert f"{name} {summary}" in out
    assert "13 stale" in out


def test_nothing_slow_is_loaded_for_help() -> None:
    """``lrm --help`` feels instant: no command's module, and nothing that reads a log, is imported for it."""
    code = (
        "import sys\nfrom lrm_actors.cli import main\nsys.argv = ['lrm', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print('loaded:', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.rpartition("loaded:")[2].split())
    assert set() == FORBIDDEN & loaded
    assert set() == {f"lrm_actors.cli.{name}" for name in COMMANDS} & loaded
    assert "lrm_actors.cli.app" in loaded


def test_version(lrm: Lrm) -> None:
    """The package's."""
    assert f"lrm {__version__}\n" == lrm("--version").out


def test_a_command_that_there_is_not(lrm: Lrm) -> None:
    """Wrong usage, said on stderr; so is no command at all."""
    done = lrm("explode")
    assert (exits.USAGE, "", True) == (done.code, done.out, "No such command 'explode'" in done.err)
    slip = lrm("healt")
    assert (exits.USAGE, True) == (slip.code, "Did you mean 'health'?" in slip.err)
    assert exits.USAGE == lrm().code


# Which log


@pytest.mark.parametrize("words", ON_A_LOG)
@pytest.mark.parametrize("place", ["before", "option", "argument", "directory", "above", "variable"])
def test_a_log_can_be_named_in_every_way(
    lrm: Lrm, life: Lived, monkeypatch: pytest.MonkeyPatch, words: str, place: str
) -> None:
    """Before the command, after it, as its last word, by its directory or one above, and by a variable: the same."""
    expected = lrm(*words.split(), life.path)
    agent = life.path.parent
    if place == "variable":
        monkeypatch.setenv("LRM_LOG", str(agent))
    ways: dict[str, list[object]] = {
        "before": ["--log", life.path, *words.split()],
        "option": [*words.split(), "--log", life.path],
        "argument": [*words.split(), life.path],
        "directory": [*words.split(), agent],
        "above": [*words.split(), agent.parent],
        "variable": [*words.split()],
    }
    done = lrm(*ways[place])
    assert expected.code == done.code
    if not words.startswith("health"):  # its ages differ
        assert expected.out == done.out
    assert (f"reading {life.path} (from LRM_LOG)\n" if place == "variable" else "") == done.err


def test_json_can_be_asked_for_before_and_after_the_command(lrm: Lrm, life: Lived) -> None:
    """The same document."""
    assert lrm("--json", "verify", life.path).document == lrm("verify", "--json", life.path).document


def test_a_log_named_twice_is_wrong_usage(lrm: Lrm, life: Lived) -> None:
    """Unless it is the same."""
    assert exits.USAGE == lrm("verify", life.path, "--log", "other").code
    assert 0 == lrm("verify", life.path, "--log", life.path).code


def test_without_a_name_the_settings_say_which(lrm: Lrm, tmp_path: Path) -> None:
    """Those in force here; and it is said which it is."""
    open_store(tmp_path / "state" / "crawler" / "lrm.db").close()
    (tmp_path / "lrm.toml").write_text("checkpoint_dir = 'state'\nagent_id = 'crawler'\n")
    done = lrm("log")
    assert (0, "reading state/crawler/lrm.db (from the settings)\n") == (done.code, done.err)


def test_without_a_name_or_settings_the_default_agent_is_meant(lrm: Lrm, tmp_path: Path) -> None:
    """``.lrm/default``."""
    open_store(tmp_path / ".lrm" / "default" / "lrm.db").close()
    open_store(tmp_path / ".lrm" / "other" / "lrm.db").close()
    assert "reading .lrm/default/lrm.db (from the settings)\n" == lrm("log").err


def test_without_anything_the_log_written_last_is_meant(lrm: Lrm, tmp_path: Path) -> None:
    """Below ``.lrm``, and it is said which it is."""
    for age, name in ((30, "old"), (10, "new"), (20, "middle")):
        log = tmp_path / ".lrm" / name / "lrm.db"
        open_store(log).close()
        os.utime(log, (1_700_000_000 - age, 1_700_000_000 - age))
    assert "reading .lrm/new/lrm.db (the one written last)\n" == lrm("log").err


def test_of_several_logs_in_a_directory_it_is_said_which_one_is_meant(lrm: Lrm, tmp_path: Path) -> None:
    """Nobody shall look at another agent than he thinks, or change its log."""
    for age, name in ((30, "main"), (10, "sub")):
        log = tmp_path / "state" / name / "lrm.db"
        open_store(log).close()
        os.utime(log, (1_700_000_000 - age, 1_700_000_000 - age))
    assert "reading state/sub/lrm.db (the one written last of 2)\n" == lrm("log", "--log", "state").err
    assert "" == lrm("log", "--log", "state/main").err
    shutil.rmtree(tmp_path / "state" / "sub")
    assert "" == lrm("log", "--log", "state").err


def test_no_log_at_all(lrm: Lrm) -> None:
    """Not found, with how one is named."""
    done = lrm("log")
    assert (exits.NOT_FOUND, "") == (done.code, done.out)
    assert done.err.startswith("error ES-4001: there is no log at .lrm/default/lrm.db")
    assert "try: name one with --log PATH or LRM_LOG" in done.err


def test_wrong_settings_are_told_where_they_would_name_the_log(lrm: Lrm, life: Lived, tmp_path: Path) -> None:
    """Wrong usage; and no obstacle where the log is named."""
    (tmp_path / "lrm.toml").write_text("agent_id = '../x'\n")
    done = lrm("log")
    assert (exits.USAGE, True) == (done.code, done.err.startswith("error LRM-1001: agent_id = '../x'"))
    assert 0 == lrm("log", life.path).code


# What is no log


def _text(path: Path) -> None:
    path.write_text("not a database, and longer than a database's header " * 40)


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as log:
        log.execute("CREATE TABLE t (x)")
    log.close()


def _newer(path: Path) -> None:
    open_store(path).close()
    with sqlite3.connect(path) as log:
        log.execute("PRAGMA user_version = 99")
    log.close()


def _missing(path: Path) -> None:
    assert not path.exists()


def _empty(path: Path) -> None:
    path.touch()


NO_LOGS: list[tuple[Callable[[Path], None], str, int]] = [
    (_missing, "ES-4001", exits.NOT_FOUND),
    (Path.mkdir, "ES-4001", exits.NOT_FOUND),
    (_empty, "ES-4002", exits.BROKEN),
    (_text, "ES-4002", exits.BROKEN),
    (_foreign, "ES-4002", exits.BROKEN),
    (_newer, "ES-4003", exits.TOO_NEW),
]


@pytest.mark.parametrize("words", [*ON_A_LOG, "checkpoints"])
@pytest.mark.parametrize("case", NO_LOGS, ids=lambda case: case[0].__name__)
def test_what_is_no_log_is_told_by_every_command(
    lrm: Lrm, tmp_path: Path, words: str, case: tuple[Callable[[Path], None], str, int]
) -> None:
    """Two lines on stderr and an exit code; with ``--json`` a document besides; never a traceback."""
    make, code, exit_code = case
    path = tmp_path / "it.db"
    make(path)
    done = lrm(*words.split(), "--log", path)
    assert (exit_code, "") == (done.code, done.out)
    error, hint = done.err.splitlines()
    assert error.startswith(f"error {code}: ")
    assert hint.startswith("try: ")
    told = lrm(*words.split(), "--log", path, "--json")
    document = told.document
    assert ("lrm.error/1", code, exit_code) == (
        document["schema"],
        document["error"]["code"],
        document["error"]["exit_code"],
    )
    assert (done.err, hint) == (told.err, f"try: {document['error']['hint']}")


def test_every_error_has_an_exit_code_that_is_documented() -> None:
    """Those of a log that cannot be read, and of a question that has no answer, have codes of their own."""
    expected: dict[int, list[Exception]] = {
        exits.USAGE: [
            our_errors.SettingsError("f", 1, "x"),
            our_errors.UnknownSetting("f"),
            BadTarget("t", "x"),
            LoadFailed("m", "x"),
        ],
        exits.NOT_FOUND: [
            store_errors.LogNotFound("p", "m"),
            store_errors.PositionNotFound(1, 1, 1),
            store_errors.AttachmentNotFound("k"),
            our_errors.CheckpointNotFound("c"),
            TargetNotFound("t", "x"),
        ],
        exits.BROKEN: [
            store_errors.NotALog("p", "m"),
            store_errors.CorruptEvent(1, "r"),
            store_errors.CorruptLog("r"),
            store_errors.CorruptAttachment("k", "r"),
            our_errors.CheckpointDamaged("c", "r"),
        ],
        exits.LOCKED: [store_errors.LogLocked("p", "m")],
        exits.TOO_NEW: [store_errors.LogTooNew("p", 2, 1)],
        exits.NO_ACCESS: [
            store_errors.LogNotWritable("p", "m"),
            store_errors.LogNotReadable("p", "m"),
            store_errors.ReadFailed("r"),
        ],
        exits.FAILURE: [store_errors.StoreClosed("x"), our_errors.NotRunning("x"), ValueError("x")],
    }
    for code, errors in expected.items():
        assert {code} == {exits.code_of(error) for error in errors}, code
        assert code in exits.MEANINGS


# As a process


@pytest.mark.parametrize(
    "words", [["verify"], ["health"], ["why", "restart"], ["show", "3"], ["replay"], ["checkpoints"]]
)
def test_stdout_is_one_json_document(life: Lived, tmp_path: Path, words: list[str]) -> None:
    """Run for real: data on stdout and nothing else, talk on stderr, an exit code of the table."""
    done = run(*words, "--json", cwd=tmp_path, LRM_LOG=str(life.path))
    assert f"lrm.{words[0]}/1" == json.loads(done.stdout)["schema"]
    assert f"reading {life.path} (from LRM_LOG)\n" == done.stderr
    assert (exits.STALE if words == ["health"] else 0) == done.returncode


def test_an_error_is_two_lines_and_an_exit_code(tmp_path: Path) -> None:
    """Run for real, too."""
    done = run("verify", "nowhere.db", cwd=tmp_path)
    assert (exits.NOT_FOUND, "") == (done.returncode, done.stdout)
    assert ["error ES-4001", "try"] == [line.partition(":")[0] for line in done.stderr.splitlines()]


def test_a_reader_that_has_seen_enough_is_no_error(life: Lived, tmp_path: Path) -> None:
    """``lrm log | head -1`` ends quietly, and well."""
    with subprocess.Popen(
        [sys.executable, "-m", "lrm_actors.cli", "log", "-f", "--json", str(life.path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert 1 == json.loads(process.stdout.readline())["position"]
        process.stdout.close()
        with open_store(life.path) as store:  # so that there is more to print
            store.append(Batch(writes=(StreamWrite("journal", (NewEvent(JournalOpened(9)),)),)))
        assert b"" == process.stderr.read()
        assert exits.OK == process.wait(30)


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_are_for_terminals_that_want_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """On a terminal, and not with ``NO_COLOR`` or a dumb one."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    output.say(output.paint("name", "name"))
    assert "\x1b[1mname\x1b[0m\n" == capsys.readouterr().out
    monkeypatch.setenv(variable, value)
    assert "name" == output.paint("name", "name")


def test_no_colours_go_into_a_file(life: Lived, tmp_path: Path) -> None:
    """What is piped is plain."""
    assert "\x1b" not in run("log", life.path, cwd=tmp_path, TERM="xterm").stdout


def test_a_terminal_without_the_characters_shows_others(life: Lived, tmp_path: Path) -> None:
    """A Latin-1 terminal is no reason to fail."""
    done = run("why", "restart", life.path, cwd=tmp_path, PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    assert (0, True) == (done.returncode, "? because #16" in done.stdout)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.04, "0.0 s"),
        (9.9, "9.9 s"),
        (12.3, "12 s"),
        (60, "1m00s"),
        (3_599, "59m59s"),
        (3_600, "1h00m"),
        (90_061, "1d01h"),
    ],
)
def test_durations_are_told_as_people_do(seconds: float, told: str) -> None:
    """The two units that matter."""
    assert told == output.duration(seconds)


@pytest.mark.parametrize(("count", "told"), [(0, "0 B"), (999, "999 B"), (1_400_000, "1.4 MB"), (5e12, "5000.0 GB")])
def test_sizes_are_told_as_people_do(count: float, told: str) -> None:
    """Down to what matters."""
    assert told == output.size(count)
