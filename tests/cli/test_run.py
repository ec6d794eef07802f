"""``lrm run`` as it is given on the command line, and what ``lrm`` says of a process that is no agent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from eventstore.opening import open_store, system_instant
from eventstore.records import Batch, NewEvent, StreamWrite
from lrm_actors.domain import outer
from lrm_actors.domain.behavior import Context
from lrm_actors.inspect.folds import open_log
from lrm_actors.inspect.health import Owner
from lrm_actors.inspect.outer import watch_health
from tests.cli.conftest import Lrm


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the watchdog is given in place of being run."""
    given: list[Any] = []

    def watch(options: Any) -> int:
        given.append(options)
        return 42

    monkeypatch.setattr("lrm_actors.outer.watching.watch", watch)
    return given


def test_every_option_reaches_the_watchdog(lrm: Lrm, asked: list[Any], tmp_path: Path) -> None:
    """As it was given, with its unit; the exit code is what the watchdog says."""
    words = "--restart always --heartbeat-timeout 90s --start-timeout 2m --step-timeout 1h --memory-limit 1.5GiB"
    more = "--max-restarts 3 --within 1h --backoff 0.5 --max-backoff 2m --stop-timeout 9 --stderr-lines 0 --fresh-env"
    done = lrm("run", *words.split(), *more.split(), "--keep-orphans", "--", "agent", "--json", "-x")
    assert (42, "") == (done.code, done.out)
    (options,) = asked
    assert (("agent", "--json", "-x"), True, 0) == (options.command, options.fresh_env, options.stderr_lines)
    assert tmp_path / ".lrm/default/outer/outer.db" == options.log
    policy = outer.Policy("always", 90.0, 120.0, 3600.0, 3 * 2**29, 3, 3600.0, 0.5, 120.0, 9.0, keep_orphans=True)
    assert policy == options.policy


@pytest.mark.parametrize(
    ("words", "log", "variables"),
    [
        (("--agent-id", "a"), ".lrm/a/outer/outer.db", {"LRM_AGENT_ID": "a"}),
        (("--log", "logs/b"), "logs/b/outer/outer.db", {"LRM_AGENT_ID": "b", "LRM_CHECKPOINT_DIR": "{}/logs"}),
        (("--log", "logs/b/lrm.db"), "logs/b/outer/outer.db", {"LRM_AGENT_ID": "b", "LRM_CHECKPOINT_DIR": "{}/logs"}),
    ],
)
def test_the_log_lies_beside_the_agents(
    lrm: Lrm, asked: list[Any], *, tmp_path: Path, words: tuple[str, ...], log: str, variables: dict[str, str]
) -> None:
    """Which is told what makes it so."""
    lrm("run", *words, "agent")
    assert tmp_path / log == asked[0].log
    assert {name: value.format(tmp_path) for name, value in variables.items()} == asked[0].settings


def test_a_function_is_called_in_a_python_of_its_own(lrm: Lrm, asked: list[Any]) -> None:
    """By its name, and what follows is its arguments."""
    lrm("run", "my.module:main", "-v")
    called = (sys.executable, "-m", "lrm_actors.outer.calling", "my.module:main", "-v")
    assert (called, ("my.module:main", "-v")) == (asked[0].command, asked[0].shown)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--memory-limit", "0", "x"),
        ("--memory-limit", "much", "x"),
        ("--within", "0", "x"),
        ("--max-restarts", "-1", "x"),
        ("--restart", "sometimes", "x"),
        ("--log", "a", "--agent-id", "b", "x"),
        ("--backoff", "10", "--max-backoff", "1", "x"),
        ("--backoff", "2m", "x"),
    ],
)
def test_what_makes_no_sense_is_refused(lrm: Lrm, asked: list[Any], words: tuple[str, ...]) -> None:
    """Before anything is started."""
    assert (2, []) == (lrm("run", *words).code, asked)


# --- what is said of a process that is no agent -------------------------------------------------------------------


def watched(directory: Path, *commands: Any) -> Path:
    """The log of a watchdog that was told this much, and is gone."""
    path = directory / "watched" / "outer" / "outer.db"
    state = outer.OuterState()
    with open_store(path) as store:
        epoch = store.acquire("outer").epoch
        for command in (outer.BeginWatch(1, outer.Policy(), ("agent",)), *commands):
            decision = outer.decide(state, command, Context(system_instant(), "", ""))
            for event in decision.events:
                state = outer.evolve(state, event)
            if decision.events:
                events = tuple(NewEvent(event) for event in decision.events)
                store.append(Batch((StreamWrite("outer", events, epoch=epoch),)))
    return path.parent.parent


UP = outer.NoteStarted(1, 7, 3.5)


def test_a_log_of_a_watchdog_alone_is_found(lrm: Lrm, tmp_path: Path) -> None:
    """By the agent's directory, though there is no agent in it."""
    place = watched(tmp_path, UP, outer.NoteExit(1, -9, "last words"), outer.NoteCleared(0))
    lines = lrm("log", "--json", place).lines
    assert "outer.restart_scheduled" == lines[-1]["type"]
    assert {"outer"} == {line["log"] for line in lines}
    chain = lrm("why", "restart", place, "--json").document
    assert ("outer.restart_scheduled", "outer") == (chain["links"][0]["type"], chain["links"][0]["log"])
    assert {"outer#1", "#1"} == {lrm("show", at, place).out.split()[0] for at in ("outer#1", "#1")}
    assert lrm("why", "outer#1", place).out == lrm("why", "1", place).out
    assert lines == lrm("log", "--json", "--only", "outer", place).lines
    assert 3 == lrm("log", "--only", "agent", place).code
    document = lrm("health", place, "--json")
    assert (13, "backing_off", "exit by signal 9 (SIGKILL)") == (
        document.code,
        document.document["watchdog"]["status"],
        document.document["watchdog"]["last_end"],
    )
    assert "is dead, and did not end in order, 1 restart" in lrm("health", place).out


@pytest.mark.parametrize(
    ("commands", "well", "said"),
    [
        ((UP,), True, "keeps process 7 alive, which sends no heartbeats, up "),
        ((UP, outer.NoteFirstHeartbeat(0.1)), True, "keeps process 7 alive, up "),
        ((UP, outer.NoteExit(1, 1), outer.NoteCleared(0)), False, "starts the process again in "),
        ((UP, outer.NoteSignal(15)), False, "ending, 0 restarts"),
    ],
)
def test_what_a_living_one_is_at(tmp_path: Path, commands: tuple[Any, ...], well: bool, said: str) -> None:
    """In words, and whether all is well."""
    from lrm_actors.cli import exits
    from lrm_actors.cli.health import _watchdog, code_of_watch

    place = watched(tmp_path, *commands) / "outer" / "outer.db"
    with open_log(place) as reader:
        found = watch_health(reader, now=system_instant(), owner=Owner(alive=True, pid=1))
    assert well == found.is_well
    assert _watchdog(found).startswith(said)
    assert (exits.OK if well else exits.WARNING, exits.OK) == (code_of_watch(found), code_of_watch(found, alive=True))


def test_a_probe_asks_whether_anything_is_said_at_all(lrm: Lrm, tmp_path: Path) -> None:
    """Of an agent whose newest event is too old nobody knows how it is."""
    from lrm_actors import LongRunningMode, LongRunningSettings

    settings = LongRunningSettings(enable_long_running_mode=True, agent_id="a", checkpoint_dir=tmp_path)
    with LongRunningMode(settings):
        assert 0 == lrm("health", "--alive", "--max-age", "1h", tmp_path / "a").code
        old = lrm("health", "--alive", "--max-age", "0.000001s", tmp_path / "a")
        assert (13, True) == (old.code, "its newest event is" in old.out)
    assert 13 == lrm("health", "--alive", tmp_path / "a").code
