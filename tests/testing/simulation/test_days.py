"""Days of a whole agent: every actor of a running mode, a sample each 30 s, and one fault a day."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from benchmarks.simulated_days import DAY_S, FAULTS, live
from eventstore import export_log
from lrm_actors.domain import monitor, supervisor
from lrm_actors.domain.behavior import NOTHING, Command, Context, Decision
from lrm_actors.hosting.running import SPECS
from lrm_actors.testing import SimulatedAgent, Simulation, search
from tests.docs.markdown import ROOT

DAYS = 30


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Days of faults on purpose would fill the captured log."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_a_whole_agent_lives_through_a_fault_a_day(release: bool) -> None:
    """After each day all is healthy, every actor is the fold of its events, and the log explains the fault.

    By default every kind of fault comes once, in days that end an hour after it is over.
    """
    days = DAYS if release else len(FAULTS)
    found = live(days, day_s=DAY_S if release else 0.0)
    print(
        f"simulated days: {found.days}, faults: {len(found.faults)} of {len(set(found.faults))} kinds,"
        f" samples: {found.samples}, events: {found.events}, restarts: {found.restarts}, steps: {found.turns}"
    )
    assert [] == found.unexplained
    assert days == found.days == len(found.faults)
    assert found.processes == found.faults.count("kill -9")
    if release:
        assert (
            found.samples >= DAYS * (DAY_S - 7 * 3600) / 45
        )  # some hours in slower modes, suspended or without a disk


def test_a_fault_that_nobody_repairs_is_noticed() -> None:
    """Planted: a supervisor that does not hear of failures leaves the crashed actor down, and the day does not pass."""

    def deaf(state: Any, command: Command, ctx: Context) -> Decision:
        return NOTHING if isinstance(command, supervisor.ReportFailure) else supervisor.decide(state, command, ctx)

    specs = [attrs.evolve(spec, decide=deaf) if spec.name == "supervisor" else spec for spec in SPECS]
    with pytest.raises(AssertionError, match="analyzer is failed"):
        live(1, day_s=0.0, specs=specs)


def test_a_fault_that_the_log_does_not_explain_is_noticed() -> None:
    """Planted: a monitor that says nothing of a component that is gone."""

    def blind(state: Any, command: Command, ctx: Context) -> Decision:
        return NOTHING if isinstance(command, monitor.RecordObservations) else monitor.decide(state, command, ctx)

    specs = [attrs.evolve(spec, decide=blind) if spec.name == "monitor" else spec for spec in SPECS]
    assert ["day 1: a process exits"] == live(2, day_s=0.0, specs=specs).unexplained


def a_while(path: Path, seed: int) -> str:
    """An agent for a while, on disk, with faults by seed: what its log is worth, exported."""
    with Simulation(seed, path=path) as sim:
        agent = SimulatedAgent(sim, heartbeat_check_s=10.0)
        agent.start()
        for _ in range(4):
            agent.step(f"step {sim.chance.random()}")
            match sim.chance.randrange(5):
                case 0:
                    sim.crash(sim.chance.choice(agent.system.shells()))
                case 1:
                    agent.components["browser"].exit_status = 1
                case 2:
                    sim.kill(reboot=sim.chance.random() < 0.5)
                    agent.start()
                case 3:
                    sim.jump_wall(-100.0 * sim.chance.random())
                case 4:
                    sim.suspend(300.0)
            sim.run(300.0)
        sim.check()
        exported = io.BytesIO()
        export_log(path, exported)
    return hashlib.sha256(exported.getvalue()).hexdigest()


_A_WHILE = """
import logging, sys
from pathlib import Path
from tests.testing.simulation.test_days import a_while
logging.disable(logging.CRITICAL)
print(a_while(Path(sys.argv[1]), int(sys.argv[2])))
"""


def test_the_same_seed_gives_the_same_log_byte_for_byte(tmp_path: Path) -> None:
    """In processes whose hashes differ: ids, times, epochs, snapshots, receipts and checkpoints, all exported."""

    def elsewhere(seed: int, hashing: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", _A_WHILE, str(tmp_path / hashing / "lrm.db"), str(seed)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hashing},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    here = a_while(tmp_path / "lrm.db", 3)
    assert here == elsewhere(3, "1") == elsewhere(3, "2")
    assert here != a_while(tmp_path / "other.db", 4)


def test_the_whole_agent_comes_through_faults_under_any_schedule(release: bool) -> None:
    """Crashes, exits and kills while everything happens in another order each time."""

    def run(sim: Simulation) -> None:
        agent = SimulatedAgent(sim, heartbeat_check_s=30.0)
        agent.start()
        sim.crash(sim.chance.choice(agent.system.shells()))
        agent.components["worker"].exit_status = 1
        sim.run(60.0)
        sim.kill()
        agent.start()
        agent.step()
        sim.run(120.0)
        sim.check()
        assert all(agent.system.phase(name) == "running" for name in agent.system.shells())

    schedules = 2_000 if release else 25
    search(run, schedules=schedules).expect_none()
    print(f"schedules of a whole agent with faults: {schedules}")
