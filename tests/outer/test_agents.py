"""Real agents below ``lrm run``: whatever is done to their process, they go on where they were."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lrm_actors.cli import cli
from lrm_actors.domain.journal import StepAbandoned, StepCommitted, StepInDoubt
from lrm_actors.inspect.folds import open_log
from tests.outer.agents import agent, blocking
from tests.outer.watched import Watched, waited, watching

HEARTBEATS = ("--heartbeat-timeout", "1.5", "--stop-timeout", "7")
CRASH, KILL, BLOCK, BUSY, STOP = (
    'if n == 2 and once("harmed"): raise RuntimeError("broken")',
    'if n == 3 and once("harmed"): os.kill(os.getpid(), signal.SIGKILL)',
    'if n == 2 and once("harmed"): time.sleep(600)',
    'if n == 2 and once("harmed"):\n    while True: pass',
    'if n == 4 and once("stopped"): os.kill(os.getpid(), signal.SIGSTOP)',
)


def effects(one: Watched) -> list[int]:
    """What the agent wrote down, step by step."""
    return [int(line) for line in one.file("effects").read_text().split()]


def reasons(one: Watched) -> list[str]:
    """Why each of its processes ended."""
    return [event.why for event in one.events("process_exited")]


def starts(one: Watched) -> list[str]:
    """What the agent's own log says of how the process before ended, for each that was started again."""
    with open_log(one.directory / "agent" / "lrm.db") as reader:
        return [record.event.description for record in reader.read(types=("supervisor.process_exit_observed",))]


HARMS = (
    ("killed and stopped", f"{KILL}\n{STOP}", ["exit", "hang"]),
    ("crashed", CRASH, ["exit"]),
    ("blocked loop", BLOCK, ["hang"]),
    ("busy loop", BUSY, ["hang"]),
)
TOLD = {
    "killed and stopped": ["exit by signal 9 (SIGKILL)", "exit by signal 15 (SIGTERM)"],
    "crashed": ["exit status 1"],
}
HUNG = ["exit by signal 15 (SIGTERM)"]
DEEDS = ("time.sleep(600)", "exec('while True: pass')", "lock.acquire(); lock.acquire()")


def test_an_agent_goes_on_where_it_was(tmp_path: Path, release: bool) -> None:
    """No committed step is done again, none is left out, and its log says how the process before it ended."""
    for name, harm, whys in HARMS if release else HARMS[:1]:
        directory = tmp_path / name
        directory.mkdir()
        with watching(directory, *HEARTBEATS, program=agent(harm)) as one:
            assert (name, 0) == (name, one.ended()[0])
            assert [*whys, "exit"] == reasons(one)
            check_steps(one, last=6)
            assert "6\n" == one.file("finished").read_text()
            assert TOLD.get(name, HUNG) == starts(one)
            check_story(one, whys)
            last = one.told()[-4:]
            assert ["heartbeats_began", "heartbeats_ended", "process_exited", "watch_ended"] == last


def check_steps(one: Watched, last: int) -> None:
    """Each step is committed once; only what was not committed when its process ended is done again."""
    with open_log(one.directory / "agent" / "lrm.db") as reader:
        steps = [event for record in reader.read(streams=("journal",)) for event in record.events]
    assert list(range(1, last + 1)) == [event.result["n"] for event in steps if isinstance(event, StepCommitted)]
    times = Counter(effects(one))
    assert list(range(1, last + 1)) == sorted(times)
    unfinished = Counter(event.name for event in steps if isinstance(event, StepInDoubt | StepAbandoned))
    assert [] == [n for n, count in times.items() if count > 1 + unfinished[f"step {n - 1}"]]


def check_story(one: Watched, whys: list[str]) -> None:
    """``lrm why``, ``lrm log`` and ``lrm health`` read the agent's log and the watchdog's as one."""
    chain = lrm(one, "why", "restart", "--json")
    types = [link["type"] for link in chain["links"]]
    begun = ["supervisor.process_started", "supervisor.process_exit_observed", "outer.start_begun"]
    ended = ["outer.restart_scheduled", "outer.process_exited"]
    seen = ["outer.ending_begun", "outer.heartbeat_missed"] if whys[-1] == "hang" else []
    assert [*begun, *ended, *seen] == types
    assert ["agent"] * 2 + ["outer"] * (len(types) - 2) == [link["log"] for link in chain["links"]]
    assert chain["ends_at_observation"]
    told = [json.loads(line) for line in run_lrm(one, "log", "--json").splitlines()]
    assert {"agent", "outer"} == {line["log"] for line in told}
    assert sorted(line["time"] for line in told) == [line["time"] for line in told]
    for log in ("agent", "outer"):
        own = [line["position"] for line in told if line["log"] == log]
        assert list(range(1, len(own) + 1)) == own
    assert ["watch_ended"] == [line["type"].partition(".")[2] for line in told[-1:]]
    health = lrm(one, "health", "--json", code=13)["watchdog"]
    assert (False, "over", len(whys), len(whys) + 1, "exit status 0") == tuple(
        health[key] for key in ("alive", "status", "restarts", "starts", "last_end")
    )


def run_lrm(one: Watched, *words: str, code: int = 0) -> str:
    """What ``lrm`` says of the agent's log."""
    done = CliRunner().invoke(cli, [*words, "--log", str(one.directory / "agent")], catch_exceptions=False)
    assert (code, "") == (done.exit_code, done.stderr)
    return done.stdout


def lrm(one: Watched, *words: str, code: int = 0) -> Any:
    """The same as the one JSON document that it is."""
    return json.loads(run_lrm(one, *words, code=code))


def test_a_host_without_a_loop_hangs_in_its_step(tmp_path: Path, release: bool) -> None:
    """Whether it waits, turns or locks itself out: a step that says nothing for too long is no sign of life."""
    if not release:
        pytest.skip("takes seconds; what proves that such a host goes on is tested by itself")
    for number, deed in enumerate(DEEDS):
        directory = tmp_path / str(number)
        directory.mkdir()
        words = ("--heartbeat-timeout", "0.8", "--step-timeout", "0.8", "--stop-timeout", "7")
        with watching(directory, *words, program=blocking(deed)) as one:
            assert 0 == one.ended()[0]
            assert ["hang", "exit"] == reasons(one)
            assert "1\n" == one.file("finished").read_text()


def test_a_graceful_stop_takes_an_emergency_checkpoint(tmp_path: Path) -> None:
    """On SIGTERM to the watchdog, which ends as the agent does."""
    with watching(tmp_path, *HEARTBEATS, program=agent("pass", last=10_000)) as one:
        one.wait_for("heartbeats_began")
        waited(lambda: one.file("effects").exists(), "a step")
        one.send(signal.SIGTERM)
        assert 143 == one.ended()[0]
        assert ["stop"] == reasons(one)
    with open_log(tmp_path / "agent" / "lrm.db") as reader:
        taken = [record.event.checkpoint.kind for record in reader.read(types=("checkpointer.taken",))]
    assert "emergency" in taken


def test_an_agent_survives_a_kill_at_any_moment(tmp_path: Path, release: bool) -> None:
    """Again and again, until it has done all of its steps."""
    if not release:
        pytest.skip("takes a minute; one kill is above")
    kills = 12
    words = ("--max-restarts", "40", "--max-backoff", "0.1")
    with watching(tmp_path, *words, program=agent("time.sleep(0.03)", last=60)) as one:
        for number in range(kills):
            pid = one.pid(number + 1)
            before = len(effects(one)) if one.file("effects").exists() else 0
            waited(
                lambda before=before: one.file("effects").exists() and len(effects(one)) > before + 1,  # type: ignore[misc]
                "some more steps",
            )
            os.kill(pid, signal.SIGKILL)
        assert 0 == one.ended()[0]
        assert "60\n" == one.file("finished").read_text()
        check_steps(one, last=60)
    print(f"{kills} kills, {len(effects(one))} effects of 60 steps")
