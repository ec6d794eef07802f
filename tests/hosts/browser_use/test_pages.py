"""Runs what the documentation shows of browser agents, which the other profiles leave out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, blocks_of, pages
from tests.docs.snippets import run_page
from tests.docs.test_snippets import HOSTS

PRELUDE = """
from pathlib import Path

from tests.hosts.browser_use import hosting
from tests.hosts.browser_use.scripted import ScriptedModel


def two_steps(step, url, prompt):
    if step == 1:
        return [{"write_file": {"file_name": "notes.md", "content": "looked"}}]
    return [{"done": {"text": "nothing has changed", "success": True}}]


hosting.offline(Path.cwd())
llm = ScriptedModel("", script=two_steps, steps=2)
"""
"""What the reader has: a model."""
TIMEOUT_S = 180.0


def shown(page: Path) -> str:
    """The blocks of a page that are run here, each on the lines that it has there."""
    text = page.read_text(encoding="utf-8").splitlines()
    lines = [""] * len(text)
    for block in blocks_of("\n".join(text), page.name):
        if HOSTS in str(block.not_run):
            last = block.line + len(block.text.splitlines())
            lines[block.line - 2 : last] = text[block.line - 2 : last]
    return "\n".join(lines)


SHOWN = [page for page in pages() if shown(page).strip()]


def test_there_are_such_pages() -> None:
    """The mark that they are found by is the one that they have."""
    assert ROOT / "docs/how-to/migrate-an-agent.md" in SHOWN


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_of_browser_agents_runs(page: Path) -> None:
    """With a scripted model in place of the reader's."""
    name = str(page.relative_to(ROOT))
    report = run_page(shown(page), name, prelude=PRELUDE, timeout_s=TIMEOUT_S)
    assert [str(failure) for failure in report.failures] == []
    assert len(report.ran) >= 1
    print(f"{len(report.ran)} blocks of {name} run")
