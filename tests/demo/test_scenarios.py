"""The scenarios with processes and threads: each fault is real, it is recovered from alone, and the log tells how."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lrm_actors.cli.demo import command
from lrm_actors.demo.scenarios import deadlock, running, stage
from lrm_actors.demo.scenarios.account import Account
from lrm_actors.demo.scenarios.running import SCENARIOS, run_scenario
from tests.demo.scenario_kit import recovered, story


def test_every_row_of_the_failure_table_has_its_scenario() -> None:
    """Seven of them and the tour of the modes; ``--scenario list`` tells which, what is broken, and what is done."""
    result = CliRunner().invoke(command, ["--chaos", "--scenario", "list"])

    names = {"browser-crash", "llm-timeout", "memory-leak", "cpu-overload", "network", "deadlock", "disk-full", "modes"}
    assert names == set(SCENARIOS) == {line.split()[0] for line in result.stdout.splitlines()}
    assert 0 == result.exit_code
    listed = json.loads(CliRunner().invoke(command, ["--scenario", "list", "--json"]).stdout)
    assert names == {one["name"] for one in listed["scenarios"]}


def test_a_killed_browser_is_replaced() -> None:
    """By the command, as a JSON document: killed by signal 9, seen, restarted, and a page is fetched by another pid."""
    result = CliRunner().invoke(command, ["--chaos", "--scenario", "browser-crash", "--json"])

    document = json.loads(result.stdout)
    assert (0, "lrm.scenario/1", True, None) == (result.exit_code, document["schema"], document["ok"], document["log"])
    assert "exit by signal 9 (SIGKILL)" == document["story"][0]["began"]
    assert ["broken", "noticed", "chosen", "worked", "worked"] == [entry["what"] for entry in document["entries"]]
    assert "browser was killed" in result.stderr


def test_all_of_them_are_shown_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """``all``: an account of each, and exit code 1 if one was not recovered from."""
    shown: list[str] = []

    def run(name: str, say: Any, *, directory: Path | None = None) -> Account:
        shown.append(name)
        return Account(name, (), (), "" if name != "network" else "no answer", "log", 1.0)

    monkeypatch.setattr(running, "run_scenario", run)
    result = CliRunner().invoke(command, ["--scenario", "all", "--json"])
    assert (1, list(SCENARIOS)) == (result.exit_code, shown)
    document = json.loads(result.stdout)
    assert ("lrm.scenario-runs/1", False) == (document["schema"], document["ok"])
    assert shown == [one["scenario"] for one in document["runs"]]
    assert "0 of 8 recovered from" in CliRunner().invoke(command, ["--scenario", "all"]).stdout


def test_a_leaking_process_is_restarted(tmp_path: Path) -> None:
    """Memory is short, caches are cleared in vain, the process is restarted, and the mode is normal again."""
    account = recovered("memory-leak", tmp_path)
    assert any("health went from healthy to" in text and "memory" in text for text in account.texts("noticed"))
    assert ["clear_caches", "restart_component"] == [text.partition(",")[0] for text in account.texts("chosen")]
    assert "clear_caches did not help" in story(account)
    assert "the component tab was restarted" in story(account)


def test_an_overloaded_machine_makes_the_agent_slower(tmp_path: Path) -> None:
    """Busy loops on every CPU: the mode is degraded at least, the agent computes less, and it is normal again."""
    account = recovered("cpu-overload", tmp_path)
    assert "the mode went from normal to" in account.texts("chosen")[0]
    assert "to normal" in account.texts("worked")[0]
    assert "cpu" in story(account)


def test_a_held_lock_costs_the_thread_that_waits_for_it(tmp_path: Path) -> None:
    """Its heartbeats are missed, and another thread works on with another lock."""
    account = recovered("deadlock", tmp_path)
    assert "heartbeat missed" in account.story[0].began
    assert "deadlock" in account.texts("chosen")[0]


class TestNothingIsMadeUp:
    """What is not recovered from is not said to be."""

    def test_a_recovery_that_nobody_chooses(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With recoveries switched off: exit code 1, what did not come, and the log is kept."""
        monkeypatch.setattr(stage, "PATIENCE_S", 1.0)
        monkeypatch.setattr(deadlock, "Stage", functools.partial(stage.Stage, enable_auto_recovery=False))
        result = CliRunner().invoke(command, ["--scenario", "deadlock", "--keep", str(tmp_path / "kept")])
        assert 1 == result.exit_code, result.output
        assert "trouble: no " in result.stdout
        assert "NOT RECOVERED" in result.stdout
        assert (tmp_path / "kept" / "deadlock" / "lrm.db").exists()

    def test_a_story_that_leads_elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Planted: an account whose fault was noticed at a position that its story never comes to."""

        async def elsewhere(self: stage.Stage, kind: str, where: Any = None) -> Any:
            record = await self.seen(kind, where)
            self.noticed_at.append(1)
            self._enter("noticed", "something", record)
            return record

        monkeypatch.setattr(stage.Stage, "noticed", elsewhere)
        account = run_scenario("deadlock", lambda _: None, directory=tmp_path)
        assert (False, False, "") == (account.ok, account.told, account.trouble)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scenario", "earthquake"], "Try one of: browser-crash, llm-timeout"),
        (["--scenario", "deadlock", "--rounds", "3"], "--rounds is not for a single scenario"),
        (["--scenario", "deadlock", "--calm"], "--calm does no harm"),
        (["--chaos", "--calm"], "--calm does no harm"),
        (["--scenario", "deadlock", "--keep", "."], "is not empty. Try: a new directory"),
    ],
)
def test_wrong_usage_is_told_at_once(arguments: list[str], said: str) -> None:
    """Before anything is broken, with what to try, and exit code 2."""
    result = CliRunner().invoke(command, arguments)
    assert 2 == result.exit_code
    assert said in " ".join(result.stderr.split())
