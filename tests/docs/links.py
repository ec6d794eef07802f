"""Finds links between pages that lead nowhere. ``python3 -m tests.docs.links`` prints them and exits 1."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.docs.markdown import ROOT, anchors_of, links_of, pages


def broken_links(page: Path, root: Path = ROOT) -> list[str]:
    """The relative links of one page whose file or heading does not exist. Other sites are not visited."""
    broken = []
    text = page.read_text(encoding="utf-8")
    for line, target in links_of(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.is_relative_to(root.resolve()) or not file.exists():
            reason = "there is no such file"
        elif anchor and (file.suffix != ".md" or anchor not in anchors_of(file.read_text(encoding="utf-8"))):
            reason = "there is no such heading"
        else:
            continue
        broken.append(f"{page.relative_to(root)}:{line}: {target}: {reason}")
    return broken


def main() -> int:
    """Check every page."""
    found = [problem for page in pages() for problem in broken_links(page)]
    print("\n".join(found) or f"{len(pages())} pages, every link leads somewhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
