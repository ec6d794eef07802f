"""A long-running mode's actors looked at: by the host, over the socket, and in the health report."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lrm_actors.cli import cli, exits
from lrm_actors.domain import supervisor
from lrm_actors.errors import NotRunning
from lrm_actors.hosting import tracing
from lrm_actors.hosting.owner.asking import ask_owner
from lrm_actors.hosting.owner.errors import NoOwner, RequestFailed
from lrm_actors.hosting.owner.place import SOCKET_NAME
from lrm_actors.mode import LongRunningMode
from lrm_actors.runtime import control
from tests.mode_kit import settings
from tests.runtime.support import eventually

pytestmark = pytest.mark.usefixtures("sampled")


def lrm(*words: object) -> Any:
    """Run a command line."""
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_the_socket_lives_as_long_as_the_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers to path, directory and agent id while the mode runs; afterwards there is nothing, and that is told."""
    monkeypatch.setenv("LRM_CHECKPOINT_DIR", str(tmp_path))
    mode = LongRunningMode(settings(tmp_path))
    log = tmp_path / "default" / "lrm.db"
    with pytest.raises(NotRunning):
        _ = mode.inspection
    for _ in range(2):
        with mode:
            assert (tmp_path / "default" / SOCKET_NAME).exists()
            for words in (["--agent", "default"], [log], [log.parent], ["--log", log]):
                done = lrm("dump", *words)
                assert (done.exit_code, done.stderr) == (0, "")
                assert "agent default" in done.stdout
            told = json.loads(lrm("dump", "--json", log).stdout)
            assert told["agent"]["agent_id"] == "default"
            assert [one["name"] for one in told["actors"]] == list(mode._engine.running.system.shells())  # type: ignore[union-attr]
            assert told["store"]["head"] > 0
            with pytest.raises(RequestFailed, match="dump takes the name of an actor"):
                ask_owner(log, "dump", {"actor": 1})
            assert mode.inspection.get_status("monitor").phase == "running"
        assert not (tmp_path / "default" / SOCKET_NAME).exists()
        with pytest.raises(NoOwner):
            ask_owner(log, "dump")
        assert lrm("dump", log).exit_code == 13
    assert lrm("dump", "--agent", "default", "--log", log).exit_code == 2
    assert lrm("dump", "--agent", "nobody").exit_code == 3


def test_switched_off_there_is_no_socket(tmp_path: Path) -> None:
    """Nor any other file."""
    with LongRunningMode(settings(tmp_path, enable_long_running_mode=False)):
        assert list(tmp_path.iterdir()) == []


def test_a_mode_without_a_place_for_a_socket_runs_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so, and whoever asks is told that nobody answers."""
    (tmp_path / "default").mkdir(mode=0o700)
    (tmp_path / "default" / SOCKET_NAME).mkdir()
    with LongRunningMode(settings(tmp_path)) as mode:
        assert mode.running
        assert "not a socket" in caplog.text
        assert lrm("dump", tmp_path / "default").exit_code == 13


def test_a_suspended_actor_makes_the_health_a_warning(tmp_path: Path) -> None:
    """The report names it, and its phase; resumed, all is well again. It does not count as failed or hung."""
    with LongRunningMode(settings(tmp_path)) as mode:
        eventually(lambda: mode.get_health_report()["health_status"] == "healthy")
        mode.inspection.suspend("analyzer")
        report = mode.get_health_report()
        assert (report["health_status"], report["health_cause"]) == ("warning", "suspended: analyzer")
        assert report["actors"]["analyzer"]["status"] == "suspended"
        assert "analyzer  suspended" in lrm("dump", tmp_path / "default").stdout
        mode.inspection.resume("analyzer")
        eventually(lambda: mode.get_health_report()["health_status"] == "healthy")
        mode.inspection.suspend("monitor")
        assert "the monitor does not run" in mode.get_health_report()["health_cause"]


def test_looking_from_outside_never_holds_up_the_hosts_loop(tmp_path: Path) -> None:
    """While others dump again and again, the loop's own turns go on: no single one waits for a whole dump."""
    log = tmp_path / "default" / "lrm.db"

    async def host() -> tuple[int, int]:
        turns, dumps, over = 0, [0], threading.Event()

        def look() -> None:
            while not over.is_set():
                ask_owner(log, "dump")
                dumps[0] += 1

        async with LongRunningMode(settings(tmp_path)):
            looking = threading.Thread(target=look)
            looking.start()
            while dumps[0] < 10:
                await asyncio.sleep(0)
                turns += 1
            over.set()
            await asyncio.to_thread(looking.join)
        return turns, dumps[0]

    turns, dumps = asyncio.run(host())
    assert turns > dumps


def dumps_while_locked(mode: Any, log: Path) -> bool:
    """Whether a dump comes while the locks of the system and of the mode's life are held by somebody who hangs."""
    running = mode._engine.running
    with running.system._lock, mode._engine.life.lock:
        return bool(lrm("dump", "--timeout", "0.7", log).exit_code == 0)


def test_a_dump_needs_no_lock_that_somebody_may_hang_with(tmp_path: Path) -> None:
    """Whoever stops, starts, moves or adds actors holds one."""
    with LongRunningMode(settings(tmp_path)) as mode:
        assert dumps_while_locked(mode, tmp_path / "default")


def test_planted_a_dump_that_takes_a_lock_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would come late, or never."""
    from lrm_actors.runtime.system import ActorSystem

    shells = ActorSystem.shells

    def locking(system: ActorSystem) -> tuple[str, ...]:
        if threading.current_thread().name == "lrm-socket-command":
            with system._lock:
                return shells(system)
        return shells(system)

    with LongRunningMode(settings(tmp_path)) as mode:
        monkeypatch.setattr(ActorSystem, "shells", locking)
        assert not dumps_while_locked(mode, tmp_path / "default")


def test_a_trace_is_followed_from_outside_and_ends_with_its_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the actors asked for, in order; one at a time; and one whose reader was killed ends by itself."""
    log = tmp_path / "default" / "lrm.db"
    with LongRunningMode(settings(tmp_path)) as mode:

        def work() -> None:
            eventually(lambda: mode.inspection.tracing)
            assert lrm("trace", log).exit_code == 1
            with mode.step("fetch"):
                pass
            mode.inspection.stop_trace()

        beside = threading.Thread(target=work)
        beside.start()
        done = lrm("trace", "--json", "--actor", "journal", "--seconds", "60", log)
        beside.join()
        entries = [json.loads(line) for line in done.stdout.splitlines()]
        assert {one["actor"] for one in entries} == {"journal"}
        assert {one["schema"] for one in entries} == {"lrm.trace/1"}
        assert [one["type"] for one in entries if one["kind"] == "event"] == [
            "journal.step_begun",
            "journal.step_committed",
        ]
        assert {one["body"] for one in entries} == {None}
        assert not mode.inspection.tracing
        monkeypatch.setattr(tracing, "LEASE_S", 0.02)
        ask_owner(log, "trace", {"do": "start", "actors": None, "bodies": True})
        eventually(lambda: not mode.inspection.tracing)
        for refused in ({}, {"do": "start"}, {"do": "read", "after": "x"}, {"do": 1}):
            with pytest.raises(RequestFailed, match="trace takes"):
                ask_owner(log, "trace", refused)
        assert lrm("trace", "--seconds", "0", log).exit_code == 0
    assert lrm("trace", log).exit_code == 13


def test_planted_a_trace_that_outlives_its_reader_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lease it would be on for ever."""
    monkeypatch.setattr(tracing.RemoteTrace, "_renew", lambda self: None)
    monkeypatch.setattr(tracing, "LEASE_S", 0.02)
    log = tmp_path / "default" / "lrm.db"
    with LongRunningMode(settings(tmp_path)) as mode:
        ask_owner(log, "trace", {"do": "start", "actors": None, "bodies": True})
        assert not threading.Event().wait(0.1)
        assert mode.inspection.tracing


@pytest.mark.parametrize(
    ("child", "status", "code"),
    [
        ("actor:journal", "failing", exits.FAILING),
        ("actor:checkpointer", "failing", exits.FAILING),
        ("actor:monitor", "failing", exits.FAILING),
        ("component:browser", "critical", exits.CRITICAL),
    ],
)
def test_whoever_was_given_up_is_in_the_health(tmp_path: Path, child: str, status: str, code: int) -> None:
    """By name, with why and with what to do: in the living mode's report, and in the one that is read from its log."""
    mine = LongRunningMode(settings(tmp_path))
    name = child.partition(":")[2]
    with mine as mode:
        mode.register_component("browser", restart=lambda: None)
        eventually(lambda: mode.get_health_report()["health_status"] == "healthy")
        system = mine._engine.running.system  # type: ignore[union-attr]
        system.tell("supervisor", supervisor.Configure(supervisor.RestartPolicy(intensity=0)))
        system.tell("supervisor", supervisor.ReportFailure(child, "OSError", "no disk"))
        eventually(lambda: f"{name} was given up at " in mode.get_health_report()["health_cause"])
        report = mode.get_health_report()
        assert (status, True) == (report["health_status"], ": OSError: no disk; 'lrm why " in report["health_cause"])
        done = lrm("health", tmp_path / "default")
        assert (done.exit_code, report["health_cause"] in done.stdout) == (code, True)
        if name in report["components"]:
            told = report["components"][name]["given_up"]
            assert ("OSError", "no disk", 0, 60.0) == tuple(
                told[k] for k in ("error", "message", "restarts", "period_s")
            )
            assert "no disk" in lrm("why", str(told["position"]), tmp_path / "default").stdout
        assert "start the process again" in done.stdout
        assert "try: lrm why health" not in done.stdout


def test_an_actor_that_failed_is_in_the_health_until_it_is_back(tmp_path: Path) -> None:
    """Also while nobody has decided yet what becomes of it."""
    mine = LongRunningMode(settings(tmp_path))
    with mine as mode:
        eventually(lambda: mode.get_health_report()["health_status"] == "healthy")
        system = mine._engine.running.system  # type: ignore[union-attr]
        shell = system._shells["journal"]
        shell.phase = control.FAILED
        report = mode.get_health_report()
        assert (report["health_status"], report["health_cause"]) == (
            "critical",
            "journal failed and waits for its restart",
        )
        shell.phase = control.RUNNING
        eventually(lambda: mode.get_health_report()["health_status"] == "healthy")
