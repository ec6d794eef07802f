"""How far the agent is: said by its steps, shown by the health report of the living process and by its log."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from lrm_actors.cli import cli
from lrm_actors.effects import Ask
from lrm_actors.errors import EffectInDoubt, SettingsError
from lrm_actors.mode import LongRunningMode
from tests.mode_kit import settings

pytestmark = pytest.mark.usefixtures("sampled")


def told(log: Path) -> str:
    """The line of ``lrm health`` about the steps."""
    output = CliRunner().invoke(cli, ["health", "--log", str(log)]).output
    (line,) = [line for line in output.splitlines() if line.strip().startswith("steps")]
    return line.strip().removeprefix("steps").strip()


def test_a_step_says_how_far_the_agent_is(tmp_path: Path) -> None:
    """Which of how many, in words too, and what became of its effects; the last one stays when it is over."""

    def late() -> None:
        raise TimeoutError("no answer")

    with LongRunningMode(settings(tmp_path)) as mode:
        with mode.step("plan", of=12) as step:
            step.progress = "a plan of 12 steps"
        report = mode.get_health_report()["steps"]
        assert {"step": 1, "name": "plan", "at": None, "of": 12, "progress": "a plan of 12 steps"} == report["last"]
        assert report["now"] is None
        with pytest.raises(TimeoutError), mode.step("fetch news", of=12) as step:
            step.progress = "page 3 of 9"
            for _ in range(3):
                mode.effect("fetch", lambda: "page")
            now = mode.get_health_report()["steps"]["now"]
            assert ("open", 2, 12, "page 3 of 9") == (now["state"], now["step"], now["of"], now["progress"])
            assert (3, 0, 0) == tuple(now["effects"][key] for key in ("done", "in_doubt", "under_way"))
            log = mode.reader().path  # type: ignore[attr-defined]  # of a log that is a file
            assert "step 2 of 12: fetch news, 3 effects done" in told(log)
            mode.effect("mail", late, policy=Ask())
        assert [
            "1 done, none in doubt, 0 repeated",
            "step 2 of 12: fetch news, abandoned, 3 effects done, 1 in doubt",
        ] == (told(log).split("; "))
        with pytest.raises(EffectInDoubt), mode.step("fetch news", of=12):
            for _ in range(3):
                mode.effect("fetch", lambda: "page")
            mode.effect("mail", late, policy=Ask())


@pytest.mark.parametrize(("at", "of"), [(0, 5), (6, 5), (3, None), (None, 0), (True, 5), (1, 2.0)])
def test_numbers_that_tell_nothing_are_refused(tmp_path: Path, at: object, of: object) -> None:
    """Before anything is begun."""
    mode = LongRunningMode(settings(tmp_path)).blocking
    with pytest.raises(SettingsError):
        mode.step("fetch", at=at, of=of)  # type: ignore[arg-type]


@pytest.mark.parametrize("progress", ["\ud800", 5, None, {"page": 3}, "x" * 100_000])
def test_no_progress_is_a_reason_for_a_step_to_fail(tmp_path: Path, progress: object) -> None:
    """A text out of a page may hold what no log can: it is shown as well as it can be, and the journal lives on."""
    with LongRunningMode(settings(tmp_path)) as mode:
        with mode.step("read", of=2) as step:
            step.progress = progress  # type: ignore[assignment]
            assert len(mode.get_health_report()["steps"]["now"]["progress"]) <= 500
        assert 1 == mode.get_health_report()["steps"]["committed"]
        assert 0 == mode.get_health_report()["actors"]["journal"]["restarts"]
