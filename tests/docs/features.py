"""Reads the list of features in the reference, and says what is wrong with the tests that it names."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import attrs

from tests.docs.markdown import ROOT, links_of

PAGE = ROOT / "docs/reference/features.md"
HOSTS = "tests/hosts/"
"""Tests below run with ``--profile hosts``, and all others without."""

_ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<what>.+) \| (?P<documented>.+) \| (?P<tests>.+) \|$")
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@attrs.frozen
class Feature:
    """A row of the list."""

    name: str
    """Its id."""
    what: str
    documented: tuple[str, ...]
    """Links from the page."""
    tests: tuple[str, ...]
    """Each as pytest names it, ``tests/test_mode.py::test_x``, with or without the parameters of one of its cases."""
    line: int


def listed(page: Path = PAGE) -> list[Feature]:
    """Every feature that a page lists."""
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
    rows = [(number, row) for number, line in lines if (row := _ROW.match(line))]
    return [
        Feature(
            row["name"],
            row["what"],
            tuple(target for _, target in links_of(row["documented"])),
            tuple(re.findall(r"`([^`]+)`", row["tests"])),
            number,
        )
        for number, row in rows
    ]


def profile_of(test: str) -> str:
    """The profile of the test run that shows a test."""
    return "hosts" if test.startswith(HOSTS) else "default"


def problems(features: list[Feature], root: Path = ROOT) -> list[str]:
    """What is wrong with a list: ids, links, and tests that are not there or never run.

    Args:
        features: the list.
        root: of the project whose tests are meant.
    """
    found = []
    names = [feature.name for feature in features]
    for feature in features:
        wrong = []
        if not _NAME.fullmatch(feature.name):
            wrong.append("is no id: small letters, digits and single hyphens are")
        if names.count(feature.name) > 1:
            wrong.append("is listed more than once")
        if not feature.documented:
            wrong.append("links to no page")
        if not feature.tests:
            wrong.append("names no test")
        wrong += [f"{test} {trouble}" for test in feature.tests if (trouble := trouble_with(test, root))]
        found += [f"{feature.name}: {text}" for text in wrong]
    return found


def trouble_with(test: str, root: Path = ROOT) -> str:
    """Why a test as it stands in the source cannot show anything; empty where nothing is wrong with it.

    What only a run can tell, whether it is skipped and whether it passes, ``outcomes`` sees.
    """
    file, *names = test.partition("[")[0].split("::")
    if not re.fullmatch(r"tests/(?:\w+/)*test_\w+\.py", file):
        return "is in no file that pytest collects"
    if not (root / file).is_file():
        return "is in a file that is not there"
    path = list(_down(_module(root / file).body, names))
    function = path[-1] if path else None
    if len(path) < len(names) or not isinstance(function, Function):
        return "is not there"
    if not function.name.startswith("test") or not all(node.name.startswith("Test") for node in path[:-1]):
        return "has a name that pytest does not collect"
    marks = [mark for node in path for mark in _marks(node)]
    if "[" in test and "parametrize" not in marks:
        return "has no cases"
    if _never_runs(function, marks, _module(root / file)):
        return "is skipped"
    chosen = "[" in test  # one of its cases may run in every profile, though not all of them do
    return "runs with --profile release only" if _only_released(function) and not chosen else ""


@functools.cache
def _module(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _down(body: list[ast.stmt], names: list[str]) -> Iterator[Function | ast.ClassDef]:
    """The definitions that a dotted way leads through, as far as they are there."""
    for name in names:
        node = next((node for node in body if isinstance(node, Function | ast.ClassDef) and node.name == name), None)
        if node is None:
            return
        yield node
        body = node.body


def _marks(node: Function | ast.ClassDef) -> Iterator[str]:
    """The names of the marks of pytest on a definition."""
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(called, ast.Attribute) and ast.unparse(called.value) == "pytest.mark":
            yield called.attr


def _never_runs(function: Function, marks: list[str], module: ast.Module) -> bool:
    """Whether a test or its module is skipped whatever happens."""
    whole = [ast.unparse(node) for node in module.body if isinstance(node, ast.Assign | ast.Expr)]
    if any(re.search(r"pytestmark\b.*pytest\.mark\.skip\b|^pytest\.skip\(", text, re.DOTALL) for text in whole):
        return True
    first = [ast.unparse(node) for node in function.body if isinstance(node, ast.Expr)]
    return "skip" in marks or any(text.startswith("pytest.skip(") for text in first)


def _only_released(function: Function) -> bool:
    """Whether a test gives up where the full counts are not wanted."""
    asked = [node for node in function.body if isinstance(node, ast.If) and "release" in ast.unparse(node.test)]
    return any("pytest.skip(" in ast.unparse(node) for node in asked)
