"""The actor of the page on writing one: what is copied from there should be right."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lrm_actors.testing import BehaviorKit

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-an-actor.md"


def test_a_late_result_ends_the_waiting_for_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart two results may come, a failure and a success: there is nothing to try again then."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    page = ModuleType("downloads_of_the_page")
    monkeypatch.setitem(sys.modules, page.__name__, page)
    exec("\n".join(blocks[:-1]), page.__dict__)  # the last block runs a system
    kit = BehaviorKit(page.DOWNLOADS)
    kit.run(page.Enqueue("/a"))
    kit.run(page.FetchFailed("/a"))
    assert {"again"} == set(kit.timers)
    kit.restart()
    kit.run(page.Fetched("/a", 5))
    assert not kit.timers
    assert () == kit.run(page.TryAgain()).events
    assert page.Queue() == kit.state
