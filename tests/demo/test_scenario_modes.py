"""The scenario of the modes: every change there is comes about under real pressure, and one that does not is told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import permutations
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from eventstore.records import Instant
from lrm_actors.actors.sampling import sampler
from lrm_actors.cli.demo import command
from lrm_actors.demo.scenarios import deeds, hogs, running, small_disk, stage, walk
from lrm_actors.demo.scenarios import modes as scenario
from lrm_actors.demo.scenarios.modes import PHASES, Pace
from lrm_actors.demo.scenarios.own import OwnSampler
from lrm_actors.demo.scenarios.small_disk import MIB, Space
from lrm_actors.domain import health, modes
from lrm_actors.domain.behavior import Context
from lrm_actors.domain.monitoring import status as statuses
from lrm_actors.hosting import configuration
from tests.demo.scenario_kit import recovered, story

QUICK = Pace(interval_s=0.02, checkpoint_s=0.2, heartbeat_timeout_s=None, leak_bytes=8 * MIB, checkpoints=1)
Hooked = Callable[..., None]


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> Hooked:
    """Have the scenario run in haste: some phases of it, and with hardly any patience after a line that says so."""
    monkeypatch.setattr(sampler, "SETTLE_S", 0.02)
    monkeypatch.setattr(configuration, "HEARTBEAT_CHECK_S", 0.05)

    def hurry(*phases: str, hopeless_after: str = "") -> None:
        async def run(directory: Path, say: Callable[[str], None]) -> Any:
            def heard(line: str) -> None:
                say(line)
                if hopeless_after and hopeless_after in line:
                    monkeypatch.setattr(stage, "PATIENCE_S", 0.3)

            return await scenario.run(directory, heard, QUICK, phases or PHASES)

        monkeypatch.setitem(running.SCENARIOS, "modes", attrs.evolve(running.SCENARIOS["modes"], run=run))

    return hurry


def possible() -> Iterator[tuple[tuple[str, str], bool]]:
    """Every change of mode that the code can make, and whether the health alone leads to it."""
    ctx = Context(Instant(0.0, 0.0, "boot"), "", "")
    for status, mode in modes.MODE_FOR_HEALTH.items():
        state = modes.ModesState(mode=mode, health=status)
        for target in health.STATUSES:
            step = health.step_towards(status, target)
            for one in modes.decide(state, modes.ConsiderHealth(step, "so"), ctx).events:
                if isinstance(one, modes.ModeChanged):
                    yield (one.previous, one.mode), True
        for pin in modes.PROFILES:
            for one in modes.decide(state, modes.Pin(pin), ctx).events:
                if isinstance(one, modes.ModeChanged):
                    yield (one.previous, one.mode), False


def test_the_scenario_knows_every_change_that_the_code_can_make() -> None:
    """Nine by the health, up any number of modes and down one at a time; and the three others by hand."""
    changes = list(possible())
    by_health = {pair for pair, of_health in changes if of_health}
    assert by_health == set(walk.BY_PRESSURE)
    assert {pair for pair, _ in changes} - by_health == set(walk.BY_HAND)
    assert set(permutations(modes.PROFILES, 2)) == {*walk.BY_PRESSURE, *walk.BY_HAND}
    assert {mode: modes.RUNS[mode] for mode in deeds.MODES} == {
        mode: frozenset(deeds.KINDS) - set(deeds.LEFT_OUT[mode]) for mode in deeds.MODES
    }


def test_every_change_comes_about_under_pressure(quickly: Hooked, tmp_path: Path, *, release: bool) -> None:
    """CPU, memory, a disk that fills, killed processes: each change is seen, for its reason, and each mode acts."""
    if not release:
        quickly()
    account = recovered("modes", tmp_path, times=6)
    changes, acts = account.sheets
    print(f"{len(changes.rows)} changes of mode in {account.duration_s:.1f} s")
    reasons = {row[0]: row[3] for row in changes.rows}
    assert len(walk.BY_PRESSURE) + len(walk.BY_HAND) == len(reasons)
    assert "disk" in reasons["normal -> minimal"]
    assert all("components failed" in reasons[f"{mode} -> recovery"] for mode in ("normal", "degraded", "minimal"))
    worse = " ".join(account.texts("noticed"))
    assert all(re.search(rf"health \w+: .*{what}", worse) for what in ("cpu", "memory", "disk", "components"))
    checkpoints = {row[0]: row[3] for row in acts.rows}
    assert "periodic" not in checkpoints["minimal"]
    assert "emergency" in checkpoints["minimal"]
    assert re.search(r"resources: cpu [^,]+, memory [^,]+, .*disk 9[0-9.]+ % full", story(account))
    if release:
        every_s = {row[0]: float(row[2].removesuffix(" s")) for row in acts.rows}
        print(f"a sample every {every_s}")
        assert every_s["normal"] < every_s["degraded"] < every_s["minimal"]


def test_a_disk_that_is_not_looked_at_again_is_no_tour(
    quickly: Hooked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: a sampler that reads the disk once. Exit code 1, and the table tells what was not seen."""

    class Blind(OwnSampler):
        def sample(self) -> Any:
            seen = super().sample()
            if seen is not None:
                first = vars(self).setdefault("first", (seen.disk_percent, seen.disk_free_bytes))
                return attrs.evolve(seen, disk_percent=first[0], disk_free_bytes=first[1])
            return seen

    monkeypatch.setattr(stage, "OwnSampler", Blind)
    quickly("disk", hopeless_after="fills the disk")
    result = CliRunner().invoke(command, ["--scenario", "modes", "--keep", str(tmp_path / "kept")])
    assert 1 == result.exit_code, result.output
    assert "trouble: the mode is normal, and does not become minimal for its disk" in result.stdout
    assert re.search(r"normal -> minimal +not seen", result.stdout)
    assert "NOT RECOVERED" in result.stdout


def test_a_mode_that_never_gets_better_is_no_tour(
    quickly: Hooked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: a health that gets worse only. The disk, whose files are counted here, is seen to fill all the same."""
    monkeypatch.setattr(small_disk, "NEEDED_BYTES", 1 << 62)
    monkeypatch.setattr(statuses, "step_towards", lambda now, target: max(now, target, key=health.STATUSES.index))
    quickly("disk", hopeless_after="can be started again")
    account = running.run_scenario("modes", lambda _: None, directory=tmp_path)
    assert not account.ok
    assert "the mode is recovery, and does not become minimal" in account.trouble
    seen = {row[0]: row[2] for row in account.sheets[0].rows}
    assert {"normal -> minimal", "minimal -> recovery", "minimal -> normal"} == {
        name for name, at in seen.items() if at != "not seen"
    }


class Nothing:
    """A mode that is asked nothing."""


class TestWhatAModeMustDo:
    """It is judged by what must be, and not by what the code says must be."""

    @staticmethod
    def well() -> tuple[deeds.Stays, deeds.Work]:
        """All as it ought to be."""
        mode: Any = Nothing()
        work = deeds.Work(mode)
        for name in deeds.MODES:
            for kind in deeds.KINDS:
                (work.left_out if kind in deeds.LEFT_OUT[name] else work.done)[name, kind] = 3
        done: Future[object] = Future()
        done.set_result(None)
        work.put_off_until_later.append(done)
        checkpoints = {name: [("periodic", 0.0)] for name in deeds.MODES} | {"minimal": [("emergency", 0.0)]}
        return deeds.Stays({}, {name: [] for name in deeds.MODES}, checkpoints), work

    def test_all_is_well(self) -> None:
        """Then nothing is wrong."""
        assert [] == deeds.wrong(*self.well())

    def test_a_periodic_checkpoint_in_minimal_mode(self) -> None:
        """There, emergencies only."""
        stays, work = self.well()
        stays.checkpoints["minimal"].append(("periodic", 1.0))
        assert ["1 periodic checkpoints in minimal mode"] == deeds.wrong(stays, work)

    def test_no_checkpoint_where_there_must_be_one(self) -> None:
        """An emergency in minimal mode, a periodic one in recovery mode."""
        stays, work = self.well()
        stays.checkpoints["minimal"].clear()
        stays.checkpoints["recovery"].clear()
        wrong = deeds.wrong(stays, work)
        assert ["no emergency checkpoint in minimal mode", "no periodic checkpoint in recovery mode"] == wrong

    def test_work_that_is_done_and_must_not_be(self) -> None:
        """And work that is left out and must not be."""
        stays, work = self.well()
        work.done["degraded", "sheddable"] += 1
        work.left_out["recovery", "critical"] += 1
        degraded, recovery = deeds.wrong(stays, work)
        assert "degraded: of sheddable work 1 pieces were done and 3 left out" == degraded
        assert "recovery: of critical work 3 pieces were done and 1 left out" == recovery

    def test_work_that_is_put_off_for_ever(self) -> None:
        """It has to be done once the mode allows it."""
        stays, work = self.well()
        work.put_off_until_later.append(Future())
        assert ["of 2 pieces of work that were put off 1 were done"] == deeds.wrong(stays, work)


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "by writing"])
def test_the_other_file_takes_what_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, at_once: bool
) -> None:
    """And gives it back; the files of the folder are counted. Not every system can take space at once."""
    if not at_once:
        monkeypatch.delattr(os, "posix_fallocate")
    space = Space(tmp_path, 64 * MIB)
    (tmp_path / "log").write_bytes(b"x" * MIB)
    for percent in (50.0, 98.0, 90.0):
        taken = space.take(percent)
        assert abs(space.used()[0] - percent) <= 100.0 / 64
        assert taken == (tmp_path / small_disk.BALLAST).stat().st_size
    space.close()
    assert [tmp_path / "log"] == list(tmp_path.iterdir())


def test_a_hog_ends_at_an_order_that_it_does_not_understand() -> None:
    """It would not hear of anything any more, and compute for ever."""
    ordered = subprocess.run(
        [sys.executable, "-m", hogs.MODULE, "cpu"], input=b"share much\n", capture_output=True, timeout=60, check=False
    )
    assert 1 == ordered.returncode
