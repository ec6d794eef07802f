from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.links import broken_links
from tests.docs.markdown import ROOT, links_of, pages


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    """The file and the heading of each relative link exist."""
    assert broken_links(page) == []


def test_every_page_is_reached_from_the_readme() -> None:
    """A page that nothing links to is not found by its readers."""
    seen: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        todo += [(page.parent / target.partition("#")[0]).resolve() for target in _relative(page)]
    assert sorted(set(pages()) - seen) == []


def _relative(page: Path) -> list[str]:
    return [
        target
        for _, target in links_of(page.read_text(encoding="utf-8"))
        if "://" not in target and not target.startswith(("#", "mailto:"))
    ]


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("missing.md", "no such file"),
        ("../outside.md", "no such file"),
        ("other.md#missing", "no such heading"),
        ("#missing", "no such heading"),
    ],
)
def test_a_planted_dead_link_is_caught(tmp_path: Path, link: str, reason: str) -> None:
    """A link to a missing file, a missing heading, or out of the project is reported with its line."""
    root = tmp_path / "project"
    root.mkdir()
    (tmp_path / "outside.md").touch()
    (root / "other.md").write_text("# There `is` one\n")
    (root / "page.md").write_text(f"[ok](other.md#there-is-one)\n\n```\n[code](no.md)\n```\n[dead]({link})\n")
    (problem,) = broken_links(root / "page.md", root)
    assert problem.startswith("page.md:6:")
    assert reason in problem
