"""``lrm mode``: the mode of a running agent, held from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrm_actors.cli import exits
from lrm_actors.hosting.owner.errors import RequestRefused
from lrm_actors.hosting.pinning import pin_command
from lrm_actors.mode import LongRunningMode
from tests.cli.conftest import Lived, Lrm
from tests.mode_kit import settings, wait_for


def test_a_mode_is_held_from_outside_and_let_go(lrm: Lrm, tmp_path: Path, sampled: dict[str, float]) -> None:
    """The agent is in that mode before the command ends, and the reason stands in its log."""
    sampled["memory_percent"] = 10.0
    with LongRunningMode(settings(tmp_path)) as mode:
        log = tmp_path / "default" / "lrm.db"
        held = lrm("mode", "minimal", "--for", "10m", "--reason", "the site is moved", log)
        assert (exits.OK, "mode minimal, held for ") == (held.code, held.out[:23])
        assert "minimal" == mode.operation_mode
        assert 590.0 < (mode.get_health_report())["mode"]["pinned_for_s"] <= 600.0
        assert "the site is moved" == wait_for(mode, "modes.changed").event.cause
        told = lrm("mode", "auto", "--json", log).document
        assert ("lrm.mode/1", "normal", None, None) == (
            told["schema"],
            told["mode"],
            told["pinned"],
            told["pinned_for_s"],
        )
        running = mode._engine.running
        assert running is not None
        for wrong in (
            {"mode": 3, "for_s": 1.0, "reason": ""},
            {"mode": "minimal", "for_s": "long", "reason": ""},
            {"mode": "minimal", "for_s": 1.0, "reason": "x" * 501},
            {"mode": "minimal", "for_s": 1.0, "reason": "", "more": 1},
        ):
            with pytest.raises(RequestRefused):
                pin_command(running.system, wrong)


def test_nobody_is_there_to_ask(lrm: Lrm, life: Lived) -> None:
    """A dead agent has no mode to hold, and that is said."""
    told = lrm("mode", "minimal", life.path)
    assert (exits.STALE, "") == (told.code, told.out)
    assert exits.USAGE == lrm("mode", "turbo", life.path).code
    for wrong in ("0", "-1", "8d", "1e9", "abc", "nan", "30 m"):
        refused = lrm("mode", "minimal", "--for", wrong, life.path)
        assert (exits.USAGE, True) == (refused.code, "give seconds, or 45s, 30m, 12h, up to 7d" in refused.err)


@pytest.mark.parametrize("command", [("mode", "minimal"), ("dump",), ("trace",)])
def test_what_is_no_log_has_nobody_who_answers_for_a_better_reason(
    lrm: Lrm, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """To start the agent would not help whoever named another file."""
    (tmp_path / "agent.py").write_text("print()\n" * 200)
    told = lrm(*command, "--log", tmp_path / "agent.py")
    assert (exits.BROKEN, True) == (told.code, "is not a database" in told.err)
    assert exits.NOT_FOUND == lrm(*command, "--log", tmp_path / "nothing.db").code
