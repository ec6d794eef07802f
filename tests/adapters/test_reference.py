from __future__ import annotations

import re
from pathlib import Path

from lrm_actors.adapters.browser_use import compat
from lrm_actors.adapters.browser_use.actions import HARMLESS
from lrm_actors.adapters.browser_use.settings import OWN

PAGE = (Path(__file__).parents[2] / "docs/reference/browser-use.md").read_text(encoding="utf-8")


def shown(value: object) -> str:
    """A default as the page has it."""
    return "not set" if value is None else f"`{value!r}`".replace("'", '"')


def test_every_setting_of_the_adapter_is_in_the_reference() -> None:
    """With its default, its range and its meaning, and there is no other."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    assert rows == [(one.name, shown(one.default), one.allowed, one.meaning) for one in OWN]


def test_what_is_done_again_without_a_word_is_in_the_reference() -> None:
    """Each action of them."""
    (listed,) = re.findall(r"Done again without a word.*?: (.*?)\. Of every other", PAGE, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", listed)) == HARMLESS


def test_every_variable_that_is_set_is_in_the_reference() -> None:
    """Before browser-use is imported."""
    assert all(f"`{name}`" in PAGE for name in compat.OFFLINE)
