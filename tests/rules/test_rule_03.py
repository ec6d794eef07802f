"""Rule 3: replay runs no effect and touches neither clock, network nor file, other than the log it reads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eventstore.protocol import EventReader
from lrm_actors.domain.behavior import Spec
from lrm_actors.runtime.recovery import Recovered, recover_from
from tests.machines.story import tell_story
from tests.machines.world import World
from tests.rules.replay_process import plants
from tests.rules.support import PROCESS_PATIENCE_S, ROOT, system_on_disk
from tests.runtime.support import Add, Shout, ShoutLoud, counter, eventually

Replays = dict[str, tuple[int, list[str]]]


@pytest.fixture(scope="module")
def replays(tmp_path_factory: pytest.TempPathFactory) -> Replays:
    """What a process touches while it replays a log in which everything has happened: as it is, and with each plant."""
    directory = tmp_path_factory.mktemp("rule-03")
    world = World(directory, snapshot_every=10)
    try:
        tell_story(world)
    finally:
        world.close()
    command = [sys.executable, "-m", "tests.rules.replay_process", str(directory / "lrm.db"), "none", *plants()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PROCESS_PATIENCE_S, check=True)
    found: Replays = json.loads(done.stdout)
    return found


def touched(replays: Replays, plant: str) -> list[str]:
    """What one replay touched."""
    folded, what = replays[plant]
    assert folded > 100, "too little was folded to prove anything"
    return what


def test_rule_03_holds_replay_touches_nothing_but_the_log(replays: Replays) -> None:
    """A real process under an audit hook and a profiler: no file, socket, process, thread, import, clock or chance."""
    assert [] == touched(replays, "none")


@pytest.mark.parametrize("plant", plants())
def test_rule_03_planted_an_impure_fold_is_caught(plant: str, replays: Replays) -> None:
    """A fold that reads a clock, a file, the network or chance, or starts a process, is seen to do so."""
    assert touched(replays, plant)


# --- effects ------------------------------------------------------------------------------------------------------


def carried_out_by_replay(directory: Path) -> list[str]:
    """What is carried out again by a restart in place and by a next process."""
    shouted: list[str] = []

    def shout(effect: Shout) -> None:
        shouted.append(effect.text)

    options: dict[str, Any] = {"handlers": {Shout: shout}}
    SHOUTED.append(shouted)
    with system_on_disk(directory, counter(snapshot_every=2), **options) as system:
        for number in range(5):
            system.ask_blocking("counter", ShoutLoud(f"shout {number}"))
        eventually(lambda: len(shouted) == 5)
        first, shouted[:] = sorted(shouted), []
        assert [f"shout {number}" for number in range(5)] == first
        system.restart_actor("counter")
        system.ask_blocking("counter", Add(1))
    with system_on_disk(directory, counter(snapshot_every=0), **options) as system:
        system.ask_blocking("counter", Add(1))
        assert [f"shout {number}" for number in range(5)] == list(system.state("counter").notes)
    return shouted


SHOUTED: list[list[str]] = []


def test_rule_03_holds_effects_are_carried_out_once(tmp_path: Path) -> None:
    """Neither a restart in place nor a next process carries out what the log says was decided before."""
    assert [] == carried_out_by_replay(tmp_path)


def test_rule_03_planted_a_recovery_that_acts_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recovery that takes a stored event for a reason to act is seen to act."""

    def acting(reader: EventReader, spec: Spec[Any]) -> Recovered:
        SHOUTED[-1].extend(record.event.text for record in reader.read_stream(spec.name) if "noted" in record.type)
        return recover_from(reader, spec)

    monkeypatch.setattr("lrm_actors.runtime.shell.recover_from", acting)
    assert carried_out_by_replay(tmp_path)
