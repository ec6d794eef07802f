"""The whole demo, for real but short: sockets, processes, signals, and what is found in the log afterwards."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import psutil
import pytest
from click.testing import CliRunner
from msgspec import structs

from eventstore import EventReader, Record
from lrm_actors.cli.demo import command
from lrm_actors.demo import agent_process
from lrm_actors.demo.compare import CLOSED, Comparison, Explained, compare
from lrm_actors.demo.plan import Kind, make_plan
from lrm_actors.demo.run import Demo, run
from lrm_actors.demo.verdict import Verdict, explain
from lrm_actors.inspect import open_log, why

SHORT = Demo(seed=7, rounds=3, pace_s=0.15)


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """The live lines of the demo below."""
    return []


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> Verdict:
    """One short demo, with all its faults."""
    demo = attrs.evolve(SHORT, directory=tmp_path_factory.mktemp("demo"))
    shown = run(demo, lines.append)
    assert shown.ok, (shown.troubles, shown.comparison.problems, shown.ledger)
    return shown


@pytest.fixture
def reader(verdict: Verdict) -> Iterator[EventReader]:
    """The log that the demo left."""
    opened = open_log(verdict.watched.log)
    yield opened
    opened.close()


def test_every_planned_fault_is_done_noticed_and_recovered_from(verdict: Verdict) -> None:
    """At least three kills, two worker faults and two site faults; each has its row, and nothing was lost."""
    kinds = Counter(fault.kind for fault in verdict.watched.injected)

    assert kinds[Kind.KILL_AGENT] >= 3
    assert kinds[Kind.KILL_WORKER] + kinds[Kind.FREEZE_WORKER] >= 2
    assert kinds[Kind.SITE_HANGS] + kinds[Kind.SITE_FAILS] >= 2
    assert [fault.number for fault in verdict.watched.injected] == [planned.number for planned in verdict.plan]
    assert [match.fault for match in verdict.comparison.matches] == verdict.watched.injected
    assert [row.steps_lost for row in verdict.table] == [0] * len(verdict.plan)
    assert verdict.ledger.acknowledged == 27


def test_the_plan_is_that_of_the_seed(verdict: Verdict) -> None:
    """What was done is what the seed says, in kind and order."""
    assert verdict.plan == make_plan(SHORT.seed, 27)


def test_the_agent_was_really_killed(verdict: Verdict) -> None:
    """Each kill ended a process by signal 9, and the last one ended in order."""
    kills = sum(fault.kind is Kind.KILL_AGENT for fault in verdict.watched.injected)

    assert verdict.watched.exits == [-signal.SIGKILL] * kills + [0]


def test_what_happens_is_told_as_it_happens(verdict: Verdict, lines: list[str]) -> None:
    """A line for each fault, for each start of the agent, and for the rounds."""
    assert len([line for line in lines if "✗" in line]) == len(verdict.plan)
    assert len([line for line in lines if "agent up again" in line]) == len(verdict.watched.exits) - 1
    assert any("round 1 finished: 8 pages" in line for line in lines)


def test_why_ends_at_what_was_seen_of_the_fault(verdict: Verdict, reader: EventReader) -> None:
    """The chain of each restart and opening ends at the observation that the fault shows as."""
    seen = {
        Kind.KILL_AGENT: "exit by signal 9",
        Kind.KILL_WORKER: "exit by signal 9",
        Kind.FREEZE_WORKER: "heartbeat missed",
        Kind.SITE_HANGS: "3 timeouts in a row",
        Kind.SITE_FAILS: "3 status 500",
    }
    for match in verdict.comparison.matches:
        assert seen[match.fault.kind] in why(reader, match.effect.position).observation


class Relinked:
    """A reader of a log in which one record names another cause than it did."""

    def __init__(self, reader: EventReader, position: int, cause: int) -> None:
        self._reader, self._position, self._cause = reader, position, cause

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def get(self, position: int) -> Record:
        return self._altered(self._reader.get(position))

    def read(self, **options: Any) -> Iterator[Record]:
        return map(self._altered, self._reader.read(**options))

    def _altered(self, record: Record) -> Record:
        return structs.replace(record, cause=self._cause) if record.position == self._position else record


def again(verdict: Verdict, reader: Any) -> Comparison:
    """The comparison of this demo, with another reading of its log."""
    return compare(verdict.watched.injected, explain(reader), list(reader.read(types=[CLOSED])))


def test_any_planted_wrong_link_fails_the_comparison(verdict: Verdict, reader: EventReader) -> None:
    """Whichever link between an observation and what followed is bent to another observation, it is found."""
    assert again(verdict, reader).ok
    observations = sorted(match.observation.position for match in verdict.comparison.matches)
    planted = 0
    for match in verdict.comparison.matches:
        links = [link.record.position for link in why(reader, match.effect.position).links[:-1]]
        others = [position for position in observations if position != match.observation.position]
        for link in links:
            for other in others:
                planted += 1
                assert not again(verdict, Relinked(reader, link, other)).ok, (link, other)
    assert planted >= 2 * len(verdict.plan)


def test_a_fault_left_out_or_made_up_fails_the_comparison(verdict: Verdict, reader: EventReader) -> None:
    """The log explains neither more nor less than what was done."""
    faults = verdict.watched.injected
    explained: list[Explained] = explain(reader)
    closings = list(reader.read(types=[CLOSED]))
    for fault in faults:
        assert not compare([one for one in faults if one != fault], explained, closings).ok
        made_up = attrs.evolve(fault, number=99)
        assert not compare([*faults, made_up], explained, closings).ok


def test_the_log_it_leaves_is_sound(reader: EventReader) -> None:
    """After so many kills the log verifies to the last event."""
    assert reader.verify().problems == ()


def test_calm_does_no_harm_and_says_so_in_json() -> None:
    """``--calm --json``: one document, no fault, the report that of the undisturbed run, and nothing kept."""
    result = CliRunner().invoke(command, ["--calm", "--rounds", "1", "--json"])

    document = json.loads(result.stdout)
    assert (result.exit_code, document["schema"], document["ok"]) == (0, "lrm.demo/1", True)
    assert (document["plan"], document["faults"], document["log"]) == ([], [], None)
    assert document["report"]["lines"] == ["round 1: 8 pages"]
    assert "the agent watches" in result.stderr


class OnePage(http.server.BaseHTTPRequestHandler):
    """A site of somebody else's: one page, with a link to another site."""

    def do_GET(self) -> None:
        body = b'<title>Theirs</title><a href="https://example.com/">elsewhere</a>'
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


def test_a_site_of_the_users_own_is_left_alone() -> None:
    """``--url``: only our processes are harmed, and the report equals the one recomputed from the log."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OnePage) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        shown = run(
            Demo(rounds=6, url=f"http://127.0.0.1:{server.server_port}/", interval_s=0.2, pace_s=0.05), lambda _: None
        )
        server.shutdown()
        serving.join()

    assert shown.ok, (shown.troubles, shown.comparison.problems, shown.ledger)
    assert shown.watched.injected
    assert not [planned for planned in shown.plan if planned.kind.of_site]
    assert shown.watched.report is not None
    assert shown.watched.report["pages"] == {"/": "Theirs"}


def test_ctrl_c_ends_everything_with_130() -> None:
    """Interrupted in the middle, no process is left and the exit code says so."""
    # Whoever runs the tests may ignore Ctrl-C, and processes inherit that.
    script = """
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from lrm_actors.cli.demo import command
        command()
    """
    demo = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if b"killed the agent" in line:
            break
    below = psutil.Process(demo.pid).children(recursive=True)

    os.kill(demo.pid, signal.SIGINT)
    _, errors = demo.communicate()

    assert demo.returncode == 130, errors
    gone, alive = psutil.wait_procs(below, timeout=10.0)
    assert alive == []
    assert len(gone) == len(below)


def test_an_agent_that_does_not_stay_up_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not restarted for ever; the verdict says why, with its last words."""
    monkeypatch.setattr(agent_process, "AGENT_MODULE", "lrm_actors.demo.no_such_agent")

    shown = run(Demo(calm=True, rounds=1, directory=tmp_path), lambda _: None)

    assert not shown.ok
    assert shown.watched.exits == [1] * 4
    assert "the agent does not stay up" in shown.troubles
    assert "No module named" in shown.troubles[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rounds", "1"], "8 faults need at least 21 steps, got 9. Try: more rounds, or --calm"),
        (["--keep", "."], "is not empty. Try: a new directory"),
        (["--keep", "/proc/nowhere"], "Try: another directory"),
        (["--url", "ftp://example.com/"], "not an http or https address"),
        (["--url", "http://127.0.0.1:1/"], "cannot be fetched"),
    ],
)
def test_wrong_usage_is_told_at_once(arguments: list[str], said: str) -> None:
    """Before anything is started, with what to try, and exit code 2."""
    result = CliRunner().invoke(command, arguments)

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
