"""What the checks of the documentation need to know of a Markdown file: its code blocks, headings and links."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})\s*(?P<language>[\w+-]*)(?:.*?\btitle=\"(?P<title>[^\"]+)\")?"
)
_NOT_RUN = re.compile(r"^\s*<!--\s*not run:\s*(?P<reason>.*?)\s*-->\s*$")
_HEADING = re.compile(r"^#{1,6}\s+(?P<text>.+?)\s*#*$")
_LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target>[^()\s]+)\)")


@attrs.frozen
class Block:
    """One fenced code block."""

    page: str
    line: int
    """Line of its first line of code, from 1."""
    language: str
    text: str
    title: str = ""
    """Name given as ``title="agent.py"``: the reader saves the block under it."""
    not_run: str | None = None
    """Reason given in a ``<!-- not run: reason -->`` on the line above."""

    @property
    def place(self) -> str:
        """Where it stands, ``README.md:12``."""
        return f"{self.page}:{self.line}"


def pages(root: Path = ROOT) -> list[Path]:
    """Every page of the documentation that is checked."""
    return [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]


def blocks_of(text: str, page: str) -> list[Block]:
    """The fenced code blocks of a Markdown text, in order.

    Raises:
        ValueError: a block is never closed.
    """
    found: list[Block] = []
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        opening = _FENCE.match(lines[number])
        number += 1
        if not opening:
            continue
        first, indent = number, len(opening["indent"])
        while number < len(lines) and not lines[number].strip().startswith(opening["fence"]):
            number += 1
        if number == len(lines):
            raise ValueError(f"{page}:{first}: the code block is never closed")
        marked = _NOT_RUN.match(lines[first - 2]) if first >= 2 else None
        code = "".join(f"{line[indent:] if line[:indent].isspace() else line}\n" for line in lines[first:number])
        reason = marked["reason"] if marked else None
        found.append(Block(page, first + 1, opening["language"], code, opening["title"] or "", reason))
        number += 1
    return found


def prose_of(text: str) -> str:
    """The text with its code blocks blanked out, line numbers kept."""
    kept, fence = [], ""
    for line in text.splitlines():
        opening = _FENCE.match(line)
        if fence:
            fence = "" if line.strip().startswith(fence) else fence
            kept.append("")
        elif opening:
            fence = opening["fence"]
            kept.append("")
        else:
            kept.append(line)
    return "\n".join(kept)


def anchors_of(text: str) -> set[str]:
    """The anchors of a page's headings, as repository hosts and most renderers make them."""
    seen: dict[str, int] = {}
    anchors = set()
    for line in prose_of(text).splitlines():
        if heading := _HEADING.match(line):
            plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading["text"])
            anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            count = seen.get(anchor, 0)
            seen[anchor] = count + 1
            anchors.add(f"{anchor}-{count}" if count else anchor)
    return anchors


def links_of(text: str) -> list[tuple[int, str]]:
    """Line and target of each inline link, though its text may be spread over lines."""
    prose = re.sub(r"`[^`]*`", lambda code: "\n" * code[0].count("\n"), prose_of(text))
    return [(prose.count("\n", 0, link.start()) + 1, link["target"]) for link in _LINK.finditer(prose)]
