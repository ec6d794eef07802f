"""Takes the feature document apart: the text, kept outside the project, that the project was planned from.

A *statement* is the smallest thing of it that can be true or false: an item of a list, a row of a table, a line of an
API, a setting, a cell of a diagram, a key of a JSON document, an example, and each name that an example uses.
``python -m tests.docs.feature_document PATH`` prints those that no feature of the project answers to.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from tests.docs.markdown import Block, blocks_of, prose_of

STATEMENTS = Path(__file__).with_name("feature_statements.txt")
"""The digest of each statement, and the ids of the features that answer to it. Not a word of the document is in it."""
VARIABLE = "LRM_FEATURE_DOCUMENT"
"""Names the document for whoever has it."""

_HEADING = re.compile(r"^(#+)\s+(.+?)\s*$")
_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.)\s+(.+?)\s*$")
_ROW = re.compile(r"^\|(.+)\|\s*$")
_CLASS = re.compile(r"^class (\w+):$", re.MULTILINE)
_METHOD = re.compile(r"^\s+(?:async )?def (\w+)\(.*$")
_SETTING = re.compile(r"^\s+(\w+): [^=]+ = (.+?)\s*$")
_BORDER = "─┌┐└┘├┤┬┴┼ \n"
_LIBRARY = ("asyncio.", "json.")


@attrs.frozen
class Statement:
    """One thing that the document says."""

    kind: str
    """``item``, ``row``, ``prose``, ``cell``, ``key``, ``example``, ``use``, ``class``, ``method`` or ``setting``."""
    place: str
    """The headings above it, or the class that it belongs to; empty where it is the same wherever it stands."""
    text: str
    line: int = attrs.field(eq=False)

    @property
    def digest(self) -> str:
        """What it is known by here."""
        plain = " ".join(self.text.split())
        return hashlib.sha256(f"{self.kind}\n{self.place}\n{plain}".encode()).hexdigest()[:10]

    def __str__(self) -> str:
        return f"line {self.line}, {self.kind} in {self.place or 'any place'}: {' '.join(self.text.split())[:100]}"


def statements_of(text: str) -> list[Statement]:
    """Every statement of the document, each once, in order."""
    found = [*_of_prose(text), *(statement for block in blocks_of(text, "document") for statement in _of(block, text))]
    return sorted(dict.fromkeys(found), key=lambda statement: statement.line)


def answers(path: Path = STATEMENTS) -> dict[str, tuple[str, ...]]:
    """The ids of the features that answer to each statement, by its digest."""
    lines = (line.partition("#")[0].split() for line in path.read_text(encoding="utf-8").splitlines())
    return {digest: tuple(ids) for digest, *ids in filter(None, lines)}


def gaps(text: str, ids: set[str], answered: dict[str, tuple[str, ...]]) -> list[str]:
    """Each statement of the document that no feature of these ids answers to, and each answer to nothing.

    Args:
        text: the document.
        ids: of the features that the reference lists.
        answered: what ``answers`` gives.
    """
    statements = statements_of(text)
    found = [
        f"{statement.digest}: no feature answers to {statement}"
        for statement in statements
        if not set(answered.get(statement.digest, ())) & ids
    ]
    known = {statement.digest for statement in statements}
    gone = [
        f"{digest} ({', '.join(names)}): the document says that no more"
        for digest, names in answered.items()
        if digest not in known
    ]
    unlisted = sorted({name for names in answered.values() for name in names} - ids)
    return [*found, *gone, *(f"{name}: no such feature is listed" for name in unlisted)]


def _headings(text: str) -> Iterator[tuple[int, str, str]]:
    """Number, headings above, and text of each line that is prose."""
    above: list[str] = []
    for number, line in enumerate(prose_of(text).splitlines(), 1):
        if heading := _HEADING.match(line):
            above[len(heading[1]) - 1 :] = [*[""] * (len(heading[1]) - 1 - len(above)), heading[2]]
        yield number, " / ".join(above[1:]), line


def _of_prose(text: str) -> Iterator[Statement]:
    header = True
    for number, place, line in _headings(text):
        row = _ROW.match(line)
        if row and not header and not set(row[1]) <= set("-|: "):
            yield Statement("row", place, row[1], number)
        elif item := _ITEM.match(line):
            yield Statement("item", place, item[1], number)
        elif line.strip() and not row and not line.startswith("#"):
            yield Statement("prose", place, line, number)
        header = not row  # the first row of a table names its columns


def _of(block: Block, text: str) -> Iterator[Statement]:
    place = next(place for number, place, _ in _headings(text) if number == block.line - 1)
    if block.language == "python" and (owner := _CLASS.search(block.text)):
        yield from _of_api(block, owner[1])
    elif block.language == "python":
        yield Statement("example", place, block.text, block.line)
        for name in _uses(block.text):
            yield Statement("use", "", name, block.line)
    elif block.language == "json":
        for key in _keys(json.loads(re.sub(r"\[\.\.\.\]|\{\.\.\.\}", "null", block.text))):
            yield Statement("key", place, key, block.line)
    else:
        yield from _of_diagram(block, place)


def _of_api(block: Block, owner: str) -> Iterator[Statement]:
    for number, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith("class "):
            yield Statement("class", "", owner, number)
        elif method := _METHOD.match(line):
            yield Statement("method", owner, method[0].strip(), number)
        elif setting := _SETTING.match(line):
            yield Statement("setting", owner, f"{setting[1]} = {setting[2]}", number)


def _uses(code: str) -> Iterator[str]:
    """Names of arguments, attributes and keys that an example uses, but for those of the standard library."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            yield from (f"{keyword.arg}=" for keyword in node.keywords if keyword.arg and keyword.arg != "indent")
        elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(
            getattr(node, "slice", None), ast.Slice
        ):
            text = ast.unparse(node)
            yield from () if text.startswith(_LIBRARY) else (text,)


def _keys(document: Any, above: str = "") -> Iterator[str]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield f"{above}{key}"
            yield from _keys(value, f"{above}{key}.")
    elif isinstance(document, list):
        yield from (f"{above}{item}" for item in document)


def _of_diagram(block: Block, place: str) -> Iterator[Statement]:
    """The cells of boxes drawn side by side: a title, or what begins with a bullet, with the lines it goes on in."""
    open_cells: dict[int, list[str]] = {}
    first: dict[int, int] = {}

    def close(column: int) -> Iterator[Statement]:
        if words := open_cells.pop(column, None):
            yield Statement("cell", place, " ".join(words), first.pop(column))

    for number, line in enumerate(block.text.splitlines(), block.line):
        cells = [cell.strip(_BORDER) for cell in line.split("│")]
        for column in [column for column in open_cells if column >= len(cells) or not cells[column]]:
            yield from close(column)
        for column, cell in enumerate(cells):
            if cell.startswith("•"):
                yield from close(column)
            if cell:
                first.setdefault(column, number)
                open_cells.setdefault(column, []).append(cell)
    for column in list(open_cells):
        yield from close(column)


def main(arguments: list[str]) -> int:
    """Print the gaps of the document that is named."""
    from tests.docs.features import listed

    found = gaps(Path(arguments[0]).read_text(encoding="utf-8"), {feature.name for feature in listed()}, answers())
    print("".join(f"{gap}\n" for gap in found), end="")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
