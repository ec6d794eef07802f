"""Who may import whom: the contracts of pyproject.toml, read from the source, so that a plain test run holds them."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS: dict[str, dict[str, Any]] = {contract["id"]: contract for contract in LINTER["contracts"]}
Graph = dict[str, set[str]]


def _imports(node: ast.AST, package: str) -> Iterator[str]:
    """Every name imported below a node, in functions too, but not what only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join(parents[: len(parents) - child.level + 1]) if child.level else ""
            source = ".".join(part for part in (base, child.module) if part)
            yield from (f"{source}.{alias.name}" for alias in child.names)
        else:
            yield from _imports(child, package)


def build_graph(root: Path, packages: list[str]) -> Graph:
    """Each module of ours to the modules, ours or others', that it imports."""
    files = {}
    for path in (path for package in packages for path in sorted((root / package).rglob("*.py"))):
        parts = path.relative_to(root).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph: Graph = {}
    for module, path in files.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        names = _imports(ast.parse(path.read_text()), package)
        graph[module] = {name if name in files else _module_part(name, files) for name in names}
    return graph


def _module_part(name: str, ours: dict[str, Path]) -> str:
    """``package.module.attribute`` to ``package.module``, where it is ours; other packages' names stay whole."""
    parent = name.rpartition(".")[0]
    return parent if parent in ours else name


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _layers(contract: dict[str, Any]) -> list[list[str]]:
    return [[name.strip(" ()") for name in layer.split(":")] for layer in contract["layers"]]


def layer_violations(graph: Graph, contract: dict[str, Any]) -> list[str]:
    """Imports that go up, and modules that stand in no layer."""
    (container,) = contract["containers"]
    level = {f"{container}.{name}": rank for rank, layer in enumerate(_layers(contract)) for name in layer}
    ignored = {container, *(f"{container}.{name}" for name in contract["exhaustive_ignores"])}

    def place(module: str) -> str:
        return ".".join(module.split(".")[:2])

    tops = {place(module) for module in graph if _within(module, container)} - ignored
    found = [f"{top} stands in no layer" for top in sorted(tops - level.keys())]
    for module, imported in graph.items():
        above = (name for name in imported if level.get(place(name), 99) < level.get(place(module), -1))
        found += [f"{module} imports {name}, which stands above it" for name in sorted(above)]
    return found


def forbidden_violations(graph: Graph, contract: dict[str, Any]) -> list[str]:
    """What a source module reaches and must not, directly or through others of ours."""
    found = []
    for source in (name for name in graph if any(_within(name, of) for of in contract["source_modules"])):
        reached, todo = {source}, [source]
        while todo:
            new = graph.get(todo.pop(), set()) - reached
            reached |= new
            todo += [] if contract.get("allow_indirect_imports") else sorted(new)
        bad = (name for name in reached if any(_within(name, no) for no in contract["forbidden_modules"]))
        found += [f"{source} reaches {name}" for name in sorted(bad)]
    return found


def violations(graph: Graph, contract: dict[str, Any]) -> list[str]:
    """What breaks one contract."""
    return (layer_violations if contract["type"] == "layers" else forbidden_violations)(graph, contract)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_import_keeps_its_contract(contract: str) -> None:
    """The tree imports only downwards, decisions stay pure, the store knows no actors, and a reader needs no system."""
    assert violations(build_graph(ROOT, LINTER["root_packages"]), CONTRACTS[contract]) == []


@pytest.mark.parametrize(
    ("contract", "file", "line"),
    [
        ("layers", "lrm_actors/domain/a.py", "from lrm_actors.runtime import system"),
        ("layers", "lrm_actors/domain/a.py", "from lrm_actors import mode"),
        ("layers", "lrm_actors/domain/a.py", "from ..runtime import system"),
        ("layers", "lrm_actors/runtime/system.py", "def late():\n    import lrm_actors.mode"),
        ("layers", "lrm_actors/stray.py", ""),
        ("store", "eventstore/a.py", "import lrm_actors.errors"),
        ("pure", "lrm_actors/domain/a.py", "from time import monotonic"),
        ("pure", "lrm_actors/domain/a.py", "import asyncio.subprocess"),
        ("pure-store", "lrm_actors/domain/a.py", "from eventstore import opening"),
        ("inspect", "lrm_actors/inspect/a.py", "from lrm_actors.domain import helper"),
    ],
)
def test_a_planted_import_is_caught(tmp_path: Path, contract: str, file: str, line: str) -> None:
    """An import against each contract is reported, in a function, relative or through another module."""
    planted = {
        "lrm_actors/mode.py": "",
        "lrm_actors/runtime/system.py": "",
        "lrm_actors/domain/helper.py": "import pykka" if contract == "inspect" else "",
        "eventstore/opening.py": "import sqlite3",
        file: line,
    }
    for name, text in planted.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert len(violations(build_graph(tmp_path, LINTER["root_packages"]), CONTRACTS[contract])) >= 1


def test_what_only_a_type_checker_sees_is_no_import(tmp_path: Path) -> None:
    """The lazy package names everything it can load under TYPE_CHECKING without loading it."""
    (tmp_path / "eventstore").mkdir()
    (tmp_path / "eventstore/a.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import lrm_actors.errors\n"
    )
    assert violations(build_graph(tmp_path, LINTER["root_packages"]), CONTRACTS["store"]) == []
