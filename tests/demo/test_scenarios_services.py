"""The scenarios with sockets and a disk: each fault is real, it is recovered from alone, and the log tells how."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from lrm_actors.actors.retry_budget import RetryBudget
from lrm_actors.demo.scenarios import llm_timeout, small_disk, stage
from lrm_actors.demo.scenarios.running import run_scenario
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.checkpointer import StoreCheckpoint
from tests.demo.scenario_kit import recovered, story


def test_a_silent_llm_is_asked_less_and_then_not_at_all(tmp_path: Path) -> None:
    """Retries add at most a fifth to its load; the breaker opens after three timeouts, and a probe closes it."""
    account = recovered("llm-timeout", tmp_path)
    each = re.search(r"([\d.]+) requests for each", account.texts("note")[0])
    assert each is not None
    print(f"{llm_timeout.QUESTIONS} questions to a silent LLM, {each[1]} requests each")
    assert 1.0 <= float(each[1]) <= llm_timeout.MOST_REQUESTS_EACH
    assert "3 timeouts in a row" == account.story[0].began
    assert "a probe of llm succeeded" in story(account)


def test_retries_without_a_budget_are_no_recovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a budget that pays for everything. The scenario fails, and says by how much."""
    monkeypatch.setattr(llm_timeout, "RetryBudget", lambda: RetryBudget(reserve=1e6))
    monkeypatch.setattr(llm_timeout, "QUESTIONS", 50)
    account = run_scenario("llm-timeout", lambda _: None, directory=tmp_path)
    assert not account.ok
    assert "retries make 3.00 requests of each question" in account.trouble


def test_refused_connections_are_tried_again_later(tmp_path: Path) -> None:
    """Twice refused, the second wait longer than half of the first one's bound; then the step is done."""
    account = recovered("network", tmp_path)
    assert 2 == len(account.texts("chosen"))
    assert "Connect call failed" in story(account)
    assert any("step 1 is done" in text for text in account.texts("worked"))


@pytest.mark.parametrize("how", ["a small disk", "a limit on pages"])
def test_a_full_disk_costs_old_checkpoints_only(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Down to the last byte, where this user may mount a disk; and new checkpoints are taken on it."""
    if how == "a limit on pages":
        monkeypatch.setattr(small_disk, "NEEDED_BYTES", 1 << 62)
    account = recovered("disk-full", tmp_path)
    print(account.texts("broken")[0])
    # How many depends on whether the disk was seen to be nearly full before: then half of them were gone already.
    assert re.search(r"\d+ checkpoints? deleted", account.texts("worked")[0])
    assert "disk is full" in story(account)


def test_a_checkpoint_that_waits_for_room_is_no_recovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: what does not fit is tried again for ever. Nothing is noticed, and the scenario says so."""
    monkeypatch.setattr(small_disk, "NEEDED_BYTES", 1 << 62)
    monkeypatch.setattr(StoreCheckpoint, "where_nothing_fits", Command.where_nothing_fits)
    monkeypatch.setattr(stage, "PATIENCE_S", 1.0)
    account = run_scenario("disk-full", lambda _: None, directory=tmp_path)
    assert "no analyzer.failure_recorded within 1 s" == account.trouble
    assert not account.ok


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["int", "term"])
def test_a_signal_ends_everything(number: signal.Signals, code: int) -> None:
    """By Ctrl-C or SIGTERM, once something is broken: no process is left, and the exit code says so."""
    script = """
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from lrm_actors.cli.demo import command
        command(["--scenario", "memory-leak"])
    """
    demo = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if b"broken" in line:
            break
    below = psutil.Process(demo.pid).children(recursive=True)
    os.kill(demo.pid, number)
    _, errors = demo.communicate()
    assert code == demo.returncode, errors
    assert below
    assert [] == psutil.wait_procs(below, timeout=10.0)[1]
