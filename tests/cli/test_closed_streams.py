"""With standard input, output or error closed, every command ends as it would otherwise: only its words are lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import pytest

from eventstore.locking import LOCK_NAME
from lrm_actors.cli.app import COMMANDS
from tests.cli.conftest import Lived

ROOT = Path(__file__).parents[2]
RESERVE = shutil.ignore_patterns("*-reserve")
IMPORTED = (
    "eventstore.copying.backups",
    "eventstore.damage.salvaging",
    "lrm_actors.demo.scenarios.running",
    "lrm_actors.domain.watching",
    "lrm_actors.inspect.health",
    "lrm_actors.inspect.outer",
    "lrm_actors.inspect.replay",
    "lrm_actors.outer.watching",
)
"""Of what commands import, what takes long."""
EVERY: list[tuple[int, ...]] = [closed for count in (1, 2, 3) for closed in combinations(range(3), count)]
CASES = {
    "run --log kept -- /bin/sh -c 'exit 0'": 0,
    "run --log gone --restart never -- /bin/sh -c 'echo words; echo more >&2; exit 7'": 7,
    "log": 0,
    "--json log": 0,
    "show 1": 0,
    "show 99999": 3,
    "why restart": 0,
    "replay": 0,
    "health": 13,
    "dump": 13,
    "mode normal": 13,
    "dead-letters": 0,
    "trace": 13,
    "checkpoints list": 0,
    "effects": 0,
    "recover": 0,
    "verify": 0,
    "doctor": 0,
    "salvage lrm.db new/lrm.db": 0,
    "accept": 0,
    "backup copy.db": 0,
    "export lines.jsonl": 0,
    "export -": 0,
    "import none.jsonl new/lrm.db": 3,
    "import - new/lrm.db": 4,
    "retain --keep-events 1": 0,
    "rekey": 2,
    "demo --scenario list": 0,
    "no-such-command": 2,
    "--help": 0,
}
"""Every command, and what it ends with for the log of an agent that is dead."""
DRIVER = """
import importlib, json, os, shlex, sys
from lrm_actors import cli
import lrm_actors.cli.app
from lrm_actors.cli.app import COMMANDS
# What commands import is imported once: each of them does so first of all, and that is most of its time.
for name in [*("lrm_actors.cli." + name.replace("-", "_") for name in COMMANDS), *sys.argv[2:]]:
    importlib.import_module(name)
ended = []
for place, words, closed, as_it_was in json.loads(sys.argv[1]):
    pid = os.fork()
    if not pid:
        code = 199
        try:
            os.chdir(place)
            sys.argv = ["lrm", *shlex.split(words)]
            for number in closed:  # as a process is started: closed, and Python has no stream for it
                os.close(number)
                setattr(sys, ("stdin", "stdout", "stderr")[number], None)
            if as_it_was:
                cli.app.open_standard_streams = lambda: None
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            os._exit(code)
    ended.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
with open("ended", "w") as file:
    json.dump(ended, file)
"""


def ended(
    life: Lived, place: Path, ways: list[tuple[int, ...]], planted: Iterable[str]
) -> dict[tuple[str, tuple[int, ...], bool], int]:
    """What each of the commands ended with, run in a copy of the log's directory with these descriptors closed.

    Some are run once more as they were, with all of them closed and nothing in their place.
    """
    runs = [(words, closed, False) for words in CASES for closed in ways]
    runs += [(words, (0, 1, 2), True) for words in planted]
    told = []
    for number, (words, closed, as_it_was) in enumerate(runs):
        shutil.copytree(life.path.parent, directory := place / str(number) / "agent-1", ignore=RESERVE)
        told.append((str(directory), words, closed, as_it_was))
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(told), *IMPORTED],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LRM_LOG": "lrm.db"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert 0 == done.returncode, done.stderr
    return dict(zip(runs, json.loads((place / "ended").read_text()), strict=True))


def test_every_command_ends_as_it_would_otherwise(life: Lived, tmp_path: Path, release: bool) -> None:
    """With nothing closed, with all of them closed, and in the release profile with every other choice of them.

    Planted: a command that leaves them closed ends otherwise where it was to read or print.
    """
    (tmp_path / "runs").mkdir()
    assert {words.split()[0] for words in CASES} >= set(COMMANDS)
    ways: list[tuple[int, ...]] = [(), *EVERY] if release else [(0, 1, 2)]
    found = ended(life, tmp_path / "runs", ways, CASES if release else ["export -", "log"])
    planted = {words: found.pop((words, closed, True)) for words, closed, as_it_was in [*found] if as_it_was}
    assert {run: CASES[run[0]] for run in found} == found
    wrong = [words for words, code in planted.items() if code != CASES[words]]
    assert wrong
    print(f"{len(CASES)} commands, {len(ways)} choices of closed descriptors: {len(found)} runs; planted {wrong}")


def shut(closed: str, *words: str, cwd: Path) -> int:
    """The command as a shell starts it with descriptors closed; gives its exit code."""
    command = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "lrm_actors.cli", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=env, check=False, timeout=60, capture_output=True).returncode


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", pytest.param("2>&-"), pytest.param(">&-")])
def test_what_a_watched_process_says_is_in_no_file(tmp_path: Path, release: bool, closed: str) -> None:
    """The lock says which process holds it and nothing else, and the process has standard streams of its own."""
    if not release and closed == ">&-":
        pytest.skip("the release profile has this one too")
    words = "echo words && echo more >&2 && readlink /proc/$$/fd/0 > found && cp kept/outer/lrm.lock lock && exit 5"
    code = shut(closed, "run", "--log", "kept", "--restart", "never", "--", "/bin/sh", "-c", words, cwd=tmp_path)
    assert 5 == code
    pid, name, *rest = (tmp_path / "lock").read_text().split("\n")
    assert (True, "outer.db", [""]) == (pid.isdigit(), name, rest)
    assert (tmp_path / "found").read_text()
    assert (tmp_path / "kept" / "outer" / LOCK_NAME).read_text().startswith(f"{pid}\n")


def test_where_nobody_can_be_told_what_was_wrong_the_exit_status_says_it(life: Lived) -> None:
    """Standard error on a full disk is as good as closed."""
    assert 3 == shut("2>/dev/full", "show", "99999", "--log", str(life.path), cwd=life.path.parent)
