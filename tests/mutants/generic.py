"""Mutants that nobody thought of: drawn by seed from all that a general tool can make of the code, each met by tests.

``python3 -m tests.mutants.generic`` (with the extra ``mutation``) copies the tree, changes one place at a time in the
copy, and runs the tests that are about that place until one fails. Whatever survives is printed with its change.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Queue, get_context
from pathlib import Path
from typing import Any

import attrs
import cosmic_ray.mutating
import cosmic_ray.work_db
from cosmic_ray.commands import init  # type: ignore[attr-defined]  # it is public all the same

ROOT = Path(__file__).parents[2]
SEED, MUTANTS = 4, 320
TIMEOUT_S = 120.0
"""After so long the tests are taken to hang because of the mutant, and it counts as killed."""
STORE_WRITER = ("writer", "writing", "transactions", "group", "prepare")
STORE_TESTS = (
    "tests/eventstore/test_group.py",
    "tests/eventstore/test_prepare.py",
    "tests/eventstore/test_conformance.py",
    "tests/eventstore/test_owning.py",
    "tests/eventstore/test_processes.py",
    "tests/eventstore/test_mark.py",
    "tests/eventstore/test_retention.py",
    "tests/faults/test_store_unknown.py",
    "tests/faults/test_store_full.py",
    "tests/faults/test_store_io_errors.py",
    "tests/faults/test_power_cut.py",
    "tests/machines/test_store_machine.py",
)
AREAS: dict[str, tuple[str, ...]] = {
    "lrm_actors/domain": ("tests/domain", "tests/actors", "tests/inspect", "tests/machines/test_system_machine.py"),
    "lrm_actors/runtime": ("tests/runtime", "tests/testing", "tests/rules", "tests/machines/test_system_machine.py"),
    **{f"eventstore/{name}.py": STORE_TESTS for name in STORE_WRITER},
}
"""What is changed, and by which tests each change is met, those that are quick and near first."""


@attrs.frozen
class Place:
    """Where in the code something can be changed, and all that the tool can make of it."""

    module: str
    start: tuple[int, int]
    end: tuple[int, int]


@attrs.frozen
class Met:
    """What became of one mutant."""

    module: str
    line: int
    operator: str
    survived: bool
    diff: str


def changeable(directory: Path) -> dict[Place, list[Any]]:
    """Every place of the areas where a change is more than another annotation, with the tool's changes of it."""
    places: dict[Place, list[Any]] = {}
    before = Path.cwd()
    os.chdir(directory)
    try:
        with tempfile.TemporaryDirectory() as name:
            paths = [path for area in AREAS for path in _modules(Path(area))]
            database = Path(name) / "changes.sqlite"
            with cosmic_ray.work_db.use_db(str(database)) as changes:
                init(paths, changes, {})
                for item in changes.work_items:
                    (change,) = item.mutations
                    place = Place(str(change.module_path), change.start_pos, change.end_pos)
                    places.setdefault(place, []).append(change)
        annotations = {str(path): list(_annotations(path)) for path in paths}
    finally:
        os.chdir(before)
    return {place: changes for place, changes in places.items() if not _within(place, annotations[place.module])}


def _modules(area: Path) -> Iterator[Path]:
    yield from [area] if area.suffix else sorted(area.rglob("*.py"))


def _annotations(path: Path) -> Iterator[ast.expr]:
    """Never evaluated: to change them changes nothing."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        found = getattr(node, "annotation", None), getattr(node, "returns", None)
        yield from (one for one in found if isinstance(one, ast.expr))


def _within(place: Place, annotations: Iterable[ast.expr]) -> bool:
    return any(
        (one.lineno, one.col_offset) <= place.start and place.end <= (one.end_lineno or 0, one.end_col_offset or 0)
        for one in annotations
    )


def drawn(places: dict[Place, list[Any]], count: int, seed: int) -> list[Any]:
    """So many places, and of each one change, in the order of the code: the same for the same seed and code."""
    chance = random.Random(seed)
    order = sorted(places, key=lambda place: (place.module, place.start, place.end))
    chosen = chance.sample(order, min(count, len(order)))
    changes = [
        chance.choice(sorted(places[place], key=lambda one: (one.operator_name, one.occurrence))) for place in chosen
    ]
    return sorted(changes, key=lambda one: (str(one.module_path), one.start_pos))


def copy_tree(target: Path) -> None:
    """What git knows of the tree, changed or not, so that nothing is changed where somebody works."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def work_in(trees: Queue[str]) -> None:
    """Let this process work in a copy of its own."""
    tree = trees.get()
    os.chdir(tree)
    # An unchanged time stamp must not bring the compiled form of another mutant back.
    os.environ.update(PYTHONPATH=tree, PYTHONDONTWRITEBYTECODE="1")


def tests_of(module: str) -> list[str]:
    """The command that runs the tests that are about a module, its own first: they usually know."""
    tests = next(tests for area, tests in AREAS.items() if module == area or module.startswith(f"{area}/"))
    own = sorted(str(path) for path in Path("tests").rglob(f"test_{Path(module).stem}*.py"))
    there = [test for test in (*own, *tests) if Path(test).exists()]
    return [sys.executable, "-m", "pytest", "-x", "-n0", "--no-header", *there]


def fail_unchanged(area: str) -> str:
    """What the tests say without any change, if they fail: they would seem to kill everything."""
    run = subprocess.run(tests_of(area), capture_output=True, text=True, check=False)
    return "" if run.returncode == 0 else run.stdout[-2000:]


def meet(change: Any) -> Met:
    """Make one change, and run the tests that are about it until one fails."""
    module = str(change.module_path)
    result = cosmic_ray.mutating.mutate_and_test([change], shlex.join(tests_of(module)), TIMEOUT_S)
    return Met(module, change.start_pos[0], change.operator_name, not result.is_killed, result.diff or "")


def main(arguments: list[str]) -> int:
    """Draw, meet and tell; 0 if enough were killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--mutants", type=int, default=MUTANTS)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="only modules whose path begins so")
    parser.add_argument("--report", type=Path, help="where to write what became of each, as JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        context = get_context("spawn")
        trees: Queue[str] = context.Queue()
        for number in range(options.jobs):
            tree = Path(name) / str(number)
            copy_tree(tree)
            trees.put(str(tree))
        places = changeable(Path(name) / "0")
        wanted = {place: changes for place, changes in places.items() if place.module.startswith(options.only)}
        changes = drawn(wanted, options.mutants, options.seed)
        print(f"{len(changes)} of {len(wanted)} places that can be changed, seed {options.seed}", flush=True)
        met: list[Met] = []
        with ProcessPoolExecutor(options.jobs, context, work_in, (trees,)) as pool:
            areas = sorted(area for area in AREAS if any(str(one.module_path).startswith(area) for one in changes))
            if failures := [text for text in pool.map(fail_unchanged, areas) if text]:
                print("the tests fail without any change:", *failures, sep="\n", file=sys.stderr)
                return 2
            for one in pool.map(meet, changes):
                met.append(one)
                print(f"{'SURVIVED' if one.survived else 'killed'} {one.module}:{one.line} {one.operator}", flush=True)
    return tell(met, options.report)


def tell(met: list[Met], report: Path | None) -> int:
    """Print what survived, with its change, and the score; 0 if enough were killed."""
    survivors = [one for one in met if one.survived]
    for one in survivors:
        print(f"\n{one.module}:{one.line} {one.operator}\n{one.diff}")
    if report is not None:
        report.write_text(json.dumps([attrs.asdict(one) for one in met], indent=1), encoding="utf-8")
    killed, total = len(met) - len(survivors), len(met)
    by_area = Counter(one.module.rpartition("/")[0] for one in survivors)
    print(f"{killed} of {total} mutants killed ({100 * killed / max(1, total):.1f} %), survivors in {dict(by_area)}")
    return 0 if killed >= 0.85 * total else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
