"""Mutants that nobody thought of: drawn by seed from all that a general tool can make of the code, each met by tests.

``python3 -m tests.mutants.generic`` (with the extra ``mutation``) copies the tree, changes one place at a time in the
copy, and runs the tests that are about that place until one fails. Whatever survives is printed with its change.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Queue, get_context
from pathlib import Path
from typing import Any

import attrs
import cosmic_ray.mutating
import cosmic_ray.plugins
import cosmic_ray.work_db
from cosmic_ray.commands.init import init

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
    "tests/eventstore/test_mark.py",
    "tests/eventstore/test_retention.py",
    "tests/machines/test_store_machine.py",
    "tests/faults/test_store_unknown.py",
    "tests/faults/test_store_full.py",
    "tests/faults/test_store_io_errors.py",
)
AREAS: dict[str, tuple[str, ...]] = {
    "lrm_actors/domain/behavior.py": (
        "tests/domain/test_behavior.py",
        "tests/runtime/test_putting_off.py",
        "tests/runtime/test_snapshots.py",
        "tests/runtime/test_bounds.py",
        "tests/runtime/test_overflow.py",
    ),
    "lrm_actors/domain": (
        "tests/domain",
        "tests/inspect",
        "tests/actors/test_breaker_guard.py",
        "tests/actors/test_breaker_guard_model.py",
        "tests/actors/test_breaker_policies.py",
        "tests/actors/test_components.py",
        "tests/actors/test_failure_facts.py",
        "tests/rules/test_rule_12.py",
        "tests/docs/test_documented.py",
    ),
    "lrm_actors/runtime": (
        "tests/testing/test_recovery_machine.py",
        "tests/runtime/test_system.py",
        "tests/runtime/test_wiring_pull.py",
        "tests/runtime/test_storage_failure.py",
        "tests/runtime/test_mailbox.py",
        "tests/runtime/test_dead_letters.py",
        "tests/runtime/test_inspection.py",
        "tests/testing/simulation/test_planted.py",
        "tests/testing/test_behavior_kit.py",
        "tests/runtime",
    ),
    **{f"eventstore/{name}.py": STORE_TESTS for name in STORE_WRITER},
}
"""What is changed, and by which tests each change is met, those that are quick and near first."""
LEFT_OUT = (
    "tests/domain/test_supervision_properties.py::test_a_drawn_sequence_finds_a_wrong_order",
    "tests/runtime/test_actor_benchmarks.py",
    "tests/runtime/test_deaths.py::test_every_kind_of_death_is_noticed_once",
    "tests/runtime/test_inspection.py::test_a_dump_during_a_storm_of_restarts_never_raises",
    "tests/runtime/test_recoveries.py::test_a_system_stops_though_its_recoveries_hang",
    "tests/runtime/test_stop.py::test_planted_bug_a_thread_that_is_joined_at_exit_is_caught",
)
"""Tests that take longer than they help here, or that go by how busy the machine is."""


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
    start: tuple[int, int]
    operator: str
    occurrence: int
    survived: bool
    """Now, after all tests that there are."""
    survived_at_first: bool
    """Before the tests that its survival led to."""
    diff: str

    @property
    def lines(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What it takes away and what it puts there: by these it is found again, wherever they have moved."""
        return changed_lines(self.diff)


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
    left_out = [f"--deselect={test}" for test in LEFT_OUT]
    return [sys.executable, "-m", "pytest", "-x", "-n0", "--no-header", *left_out, *there]


def fail_unchanged(area: str) -> str:
    """What the tests say without any change, if they fail: they would seem to kill everything."""
    run = subprocess.run(tests_of(area), capture_output=True, text=True, check=False)
    return "" if run.returncode == 0 else run.stdout[-2000:]


def meet(change: Any) -> Met:
    """Make one change, and run the tests that are about it until one fails."""
    module = str(change.module_path)
    result = cosmic_ray.mutating.mutate_and_test([change], shlex.join(tests_of(module)), TIMEOUT_S)
    survived = not result.is_killed
    return Met(module, change.start_pos, change.operator_name, change.occurrence, survived, survived, result.diff or "")


def changed_lines(diff: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The lines of a diff that go and those that come, without their indentation."""
    body = diff.splitlines()
    gone = [line[1:].strip() for line in body if line.startswith("-") and not line.startswith("---")]
    came = [line[1:].strip() for line in body if line.startswith("+") and not line.startswith("+++")]
    return tuple(filter(None, gone)), tuple(filter(None, came))


def found_again(places: dict[Place, list[Any]], survivors: Iterable[Met], directory: Path) -> list[tuple[Met, Any]]:
    """The same changes in the code of today, which may have moved since; those that are gone are left out."""
    sources = {module: (directory / module).read_text(encoding="utf-8") for module in {one.module for one in places}}
    lines = {module: source.splitlines() for module, source in sources.items()}
    found: list[tuple[Met, Any]] = []
    for one in survivors:
        gone, _ = one.lines
        there = [
            change
            for place, changes in sorted(places.items(), key=lambda item: item[0].module != one.module)
            if any(line.strip() in gone for line in lines[place.module][place.start[0] - 1 : place.end[0]])
            for change in changes
            if change.operator_name == one.operator
        ]
        same = (change for change in there if _lines_of(change, sources[str(change.module_path)]) == one.lines)
        if (change := next(same, None)) is not None:
            found.append((one, change))
    return found


def _lines_of(change: Any, source: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    tool: Any = cosmic_ray
    operator = tool.plugins.get_operator(change.operator_name)(**change.operator_args)
    changed = tool.mutating.mutate_code(source, operator, change.occurrence)
    return changed_lines("\n".join(difflib.unified_diff(source.split("\n"), (changed or source).split("\n"))))


def main(arguments: list[str]) -> int:
    """Draw, meet and tell; 0 if enough were killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--mutants", type=int, default=MUTANTS)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="only modules whose path begins so")
    parser.add_argument("--report", type=Path, help="where to write what became of each, as JSON")
    parser.add_argument("--go-on", type=Path, help="a report of the same draw: meet only those that it lacks")
    parser.add_argument("--again", type=Path, help="a report: meet only those again that survived in it")
    options = parser.parse_args(arguments)
    before = [] if options.again is None else read_report(options.again)
    with tempfile.TemporaryDirectory() as name:
        context = get_context("spawn")
        trees: Queue[str] = context.Queue()
        for number in range(options.jobs):
            tree = Path(name) / str(number)
            copy_tree(tree)
            trees.put(str(tree))
        places = changeable(Path(name) / "0")
        wanted = {place: changes for place, changes in places.items() if place.module.startswith(options.only)}
        if before:
            survivors = [one for one in before if one.survived]
            again = found_again(wanted, survivors, Path(name) / "0")
            changes = [change for _, change in again]
            met = list(before)
            print(f"{len(changes)} of {len(survivors)} that survived are met again", flush=True)
            for one in survivors:
                if all(one is not other for other, _ in again):
                    print(f"gone: {one.module} {one.lines}", flush=True)
        else:
            changes = drawn(wanted, options.mutants, options.seed)
            met = [] if options.go_on is None else read_report(options.go_on)
            known = {(one.module, tuple(one.start), one.operator, one.occurrence) for one in met}
            changes = [
                one
                for one in changes
                if (str(one.module_path), tuple(one.start_pos), one.operator_name, one.occurrence) not in known
            ]
            print(f"{len(changes)} of {len(wanted)} places that can be changed, seed {options.seed}", flush=True)
        with ProcessPoolExecutor(options.jobs, context, work_in, (trees,)) as pool:
            areas = sorted(area for area in AREAS if any(str(one.module_path).startswith(area) for one in changes))
            if failures := [text for text in pool.map(fail_unchanged, areas) if text]:
                print("the tests fail without any change:", *failures, sep="\n", file=sys.stderr)
                return 2
            for number, one in enumerate(pool.map(meet, changes), 1):
                if before:
                    place = next(index for index, old in enumerate(met) if old is again[number - 1][0])
                    met[place] = attrs.evolve(one, survived_at_first=True)
                else:
                    met.append(one)
                became = "SURVIVED" if one.survived else "killed"
                print(f"{number} {became} {one.module}:{one.start[0]} {one.operator}", flush=True)
                if options.report is not None:  # so far: whoever looks need not wait for the end
                    write_report(options.report, met)
    return tell(met)


def read_report(path: Path) -> list[Met]:
    """What an earlier run wrote."""
    return [Met(**{**one, "start": tuple(one["start"])}) for one in json.loads(path.read_text(encoding="utf-8"))]


def write_report(path: Path, met: Iterable[Met]) -> None:
    """What became of each, as JSON."""
    path.write_text(json.dumps([attrs.asdict(one) for one in met], indent=1), encoding="utf-8")


def tell(met: list[Met]) -> int:
    """Print what survived, with its change, and the scores by area; 0 if enough were killed."""
    for one in met:
        if one.survived:
            print(f"\n{one.module}:{one.start[0]} {one.operator}\n{one.diff}")
    for area in sorted({area_of(one.module) for one in met}):
        there = [one for one in met if area_of(one.module) == area]
        print(f"{area}: {_score(there, at_first=True)} at first, {_score(there, at_first=False)} now")
    print(f"all: {_score(met, at_first=True)} at first, {_score(met, at_first=False)} now")
    return 0 if sum(not one.survived for one in met) >= 0.85 * len(met) else 1


def area_of(module: str) -> str:
    """The area that a module belongs to, the store's writer as one."""
    return "store's writer" if module.startswith("eventstore/") else module.rpartition("/")[0]


def _score(met: list[Met], *, at_first: bool) -> str:
    killed = sum(not (one.survived_at_first if at_first else one.survived) for one in met)
    return f"{killed} of {len(met)} killed ({100 * killed / max(1, len(met)):.1f} %)"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
