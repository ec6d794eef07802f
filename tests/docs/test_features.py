"""The list of features is complete, and each of them is shown by a test that passes."""

from __future__ import annotations

import argparse
import copy
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from tests.docs import outcomes
from tests.docs.feature_document import VARIABLE, answers, gaps, statements_of
from tests.docs.features import Feature, listed, problems, trouble_with
from tests.docs.markdown import ROOT
from tests.docs.outcomes import is_whole, unproven

DOCUMENT = """# Title

Says what it is.

## Parts
- **One**: goes on
1. two

| part | does |
|------|------|
| One | this |

```
│ Box   │ • A    │
│ drawn │   cell │
└───────┘
```

```json
{"id": "x", "state": {"n": 1, "history": [...]}, "hints": ["calm"]}
```

## Example
```python
settings = Settings(limit=1.0, indent=2)
print((await agent.run()).history["x"])
```

## API
```python
class Agent:
    async def run(steps: int) -> None
    limit: float = 1.0
```
"""
SAYS = [
    ("prose", "Says what it is."),
    ("item", "**One**: goes on"),
    ("item", "two"),
    ("row", "One | this"),
    ("cell", "Box drawn"),
    ("cell", "• A cell"),
    ("key", "id"),
    ("key", "state"),
    ("key", "state.n"),
    ("key", "state.history"),
    ("key", "hints"),
    ("key", "hints.calm"),
    ("example", 'settings = Settings(limit=1.0, indent=2) print((await agent.run()).history["x"])'),
    ("use", "limit="),
    ("use", "(await agent.run()).history['x']"),
    ("use", "(await agent.run()).history"),
    ("use", "agent.run"),
    ("class", "Agent"),
    ("method", "async def run(steps: int) -> None"),
    ("setting", "limit = 1.0"),
]


def test_every_feature_has_an_id_a_page_and_tests_that_run() -> None:
    """Each test that is named is there, is collected, and is not skipped whatever happens.

    That they pass is seen at the end of a whole run, of each profile for its own: ``tests/conftest.py``.
    """
    features = listed()
    assert problems(features) == []
    print(f"{len(features)} features, shown by {len({test for one in features for test in one.tests})} tests")


def test_the_list_is_complete() -> None:
    """Nothing that the feature document says is without a feature, and no answer is to nothing."""
    path = os.environ.get(VARIABLE)
    if path is None:
        pytest.skip(f"NOT SHOWN: {VARIABLE} names no document to compare the list with")
    text, ids = Path(path).read_text(encoding="utf-8"), {feature.name for feature in listed()}
    assert gaps(text, ids, answers()) == []
    print(f"{len(statements_of(text))} statements, answered by {len(ids)} features")


# Planted gaps of the list


def test_a_document_is_taken_apart() -> None:
    """Whatever can be true or false is a statement: none is left out, and none is there twice."""
    assert [(one.kind, " ".join(one.text.split())) for one in statements_of(DOCUMENT)] == SAYS
    assert statements_of(DOCUMENT + "\n## Parts\n- two\n") == statements_of(DOCUMENT)


def whole() -> dict[str, tuple[str, ...]]:
    """Every statement of the document above, answered by a feature of its own."""
    return {one.digest: (f"f{number}",) for number, one in enumerate(statements_of(DOCUMENT))}


@pytest.mark.parametrize("number", range(len(SAYS)))
def test_a_planted_missing_row_is_caught(number: int) -> None:
    """A feature that is not listed leaves what it answers to unanswered, whatever it is."""
    answered = whole()
    ids = {name for names in answered.values() for name in names}
    assert gaps(DOCUMENT, ids, answered) == []
    missing, unlisted = gaps(DOCUMENT, ids - {f"f{number}"}, answered)
    assert "no feature answers to line" in missing
    assert f"f{number}: no such feature is listed" == unlisted


def test_a_planted_change_of_the_document_is_caught() -> None:
    """What it says otherwise, or besides, is told, and so is what it says no more."""
    answered = whole()
    ids = {name for names in answered.values() for name in names}
    changed = DOCUMENT.replace("| this |", "| that |").replace("1. two", "1. two\n2. three")
    new, other, gone = gaps(changed, ids, answered)
    assert "item in Parts: three" in new
    assert "row in Parts: One | that" in other
    assert "the document says that no more" in gone


# Planted tests that show nothing

SOURCE = '''
import pytest

def test_fine(): ...

@pytest.mark.parametrize("n", [1, 2])
def test_cases(n): ...

@pytest.mark.skip("later")
def test_marked(): ...

def test_gives_up():
    """At once."""
    pytest.skip("later")

def test_large(release):
    if not release:
        pytest.skip("takes a minute")

@pytest.mark.parametrize("n", [1, 2])
def test_partly(n, release):
    if n > 1 and not release:
        pytest.skip("takes a minute")

def helper(): ...

class TestGroup:
    def test_inner(self): ...

class Group:
    def test_inner(self): ...

@pytest.mark.skip
class TestSkipped:
    def test_inner(self): ...
'''


@pytest.mark.parametrize(
    ("test", "trouble"),
    [
        ("tests/a/test_x.py::test_fine", ""),
        ("tests/a/test_x.py::test_cases", ""),
        ("tests/a/test_x.py::test_cases[1]", ""),
        ("tests/a/test_x.py::TestGroup::test_inner", ""),
        ("tests/a/test_x.py::test_gone", "is not there"),
        ("tests/a/test_x.py::TestGroup::test_gone", "is not there"),
        ("tests/a/test_x.py::TestGroup", "is not there"),
        ("tests/a/test_x.py", "is not there"),
        ("tests/a/test_y.py::test_fine", "is in a file that is not there"),
        ("tests/a/x.py::test_fine", "is in no file that pytest collects"),
        ("benchmarks/test_x.py::test_fine", "is in no file that pytest collects"),
        ("tests/../test_x.py::test_fine", "is in no file that pytest collects"),
        ("tests/a/test_x.py::helper", "has a name that pytest does not collect"),
        ("tests/a/test_x.py::Group::test_inner", "has a name that pytest does not collect"),
        ("tests/a/test_x.py::test_fine[1]", "has no cases"),
        ("tests/a/test_x.py::test_marked", "is skipped"),
        ("tests/a/test_x.py::test_gives_up", "is skipped"),
        ("tests/a/test_x.py::TestSkipped::test_inner", "is skipped"),
        ("tests/a/test_z.py::test_fine", "is skipped"),
        ("tests/a/test_w.py::test_fine", "is skipped"),
        ("tests/a/test_x.py::test_large", "runs with --profile release only"),
        ("tests/a/test_x.py::test_partly", "runs with --profile release only"),
        ("tests/a/test_x.py::test_partly[1]", ""),
    ],
)
def test_a_planted_test_that_shows_nothing_is_caught(tmp_path: Path, test: str, trouble: str) -> None:
    """One that is not there, that pytest does not collect, or that does not run."""
    folder = tmp_path / "tests/a"
    folder.mkdir(parents=True)
    for name, before in (
        ("x", ""),
        ("z", "import pytest\npytestmark = [pytest.mark.skip('later')]\n"),
        ("w", "import pytest\npytest.skip('later', allow_module_level=True)\n"),
    ):
        (folder / f"test_{name}.py").write_text(before + SOURCE)
    assert trouble_with(test, tmp_path) == trouble


def test_a_planted_bad_row_is_caught() -> None:
    """An id that is none or is there twice, a row without a page or a test."""
    good = Feature("one", "", ("page.md",), ("tests/docs/test_features.py::test_the_list_is_complete",), 1)
    named, bare = attrs.evolve(good, name="One Two"), attrs.evolve(good, name="three", documented=(), tests=())
    assert problems([good]) == []
    assert problems([good, good, named, bare]) == [
        "one: is listed more than once",
        "one: is listed more than once",
        "One Two: is no id: small letters, digits and single hyphens are",
        "three: links to no page",
        "three: names no test",
    ]


# What became of them in a run


def test_what_a_run_has_not_shown_is_told() -> None:
    """A test that failed, was skipped in one of its cases or was not run; of the profile's own only."""
    tests = ("tests/a.py::t", "tests/hosts/b.py::t")
    feature = Feature("one", "", (), tests, 1)
    assert unproven([feature], {tests[0]: {"passed"}}, "default") == []
    assert unproven([feature], {f"{tests[0]}[1]": {"passed"}, f"{tests[0]}[2]": {"passed"}}, "release") == []
    assert unproven([feature], {tests[1]: {"passed"}}, "hosts") == []
    assert unproven([feature], {}, "hosts") == [f"one: {tests[1]} was not run"]
    half = {f"{tests[0]}[1]": {"passed"}, f"{tests[0]}[2]": {"skipped"}}
    assert unproven([feature], half, "default") == [f"one: {tests[0]} skipped"]
    assert unproven([feature], {tests[0]: {"passed", "failed"}}, "default") == [f"one: {tests[0]} failed"]
    case = attrs.evolve(feature, tests=(f"{tests[0]}[1]",))
    assert unproven([case], half, "default") == []


@pytest.mark.parametrize(
    ("outcome", "profile", "missing", "before", "after"),
    [
        ("passed", "hosts", "", 0, 0),
        ("skipped", "hosts", "", 0, 1),
        ("skipped", "hosts", "no browser", 0, 0),
        ("failed", "hosts", "", 1, 1),
        ("skipped", "hosts", "", 2, 2),
        ("skipped", "default", "no browser", 0, 0),
        ("skipped", "default", "", 5, 5),
    ],
)
def test_the_profile_of_hosts_fails_where_there_are_any(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    outcome: str,
    profile: str,
    missing: str,
    before: int,
    after: int,
) -> None:
    """Where a machine has no browser it is told what was left out; a run that was broken off is not judged."""
    page = tmp_path / "features.md"
    page.write_text("| `one` | x | [p](p.md) | `tests/hosts/test_x.py::test_y` |\n")
    monkeypatch.setattr(outcomes, "is_whole", lambda config: True)
    config: Any = SimpleNamespace(getoption=lambda name, default=None: profile)
    watching = outcomes.Outcomes(config, page, lambda: missing)
    report: Any = SimpleNamespace(when="call", outcome=outcome, nodeid="tests/hosts/test_x.py::test_y")
    watching.pytest_runtest_logreport(report)
    session: Any = SimpleNamespace(exitstatus=before)
    watching.pytest_sessionfinish(session, before)
    assert session.exitstatus == after
    said: list[str] = []
    reporter: Any = SimpleNamespace(write_line=said.append)
    watching.pytest_terminal_summary(reporter)
    judged = before < 2 and profile == "hosts" and outcome != "passed"
    assert any(line.startswith("NOT SHOWN") for line in said) is judged
    assert (f"LEFT OUT: {missing}" in said) is (judged and bool(missing))


CONFTEST = """
from pathlib import Path
from tests.docs.outcomes import watch

def pytest_addoption(parser):
    parser.addoption("--profile", default="default")

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        watch(config, Path("features.md"), lambda: "no browser here")
"""
RUN = """
import pytest

def test_fine(): ...

@pytest.mark.skipif(True, reason="not today")
def test_skipped(): ...
"""


def test_a_run_fails_whose_features_are_not_all_shown(tmp_path: Path) -> None:
    """A planted skipped test and one that is not there, in a run with workers; those that pass are not named."""
    (tmp_path / "suite").mkdir()
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\ntestpaths = ["suite"]\naddopts = "-q -p no:cacheprovider --import-mode=importlib"\n'
    )
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "suite/test_x.py").write_text(RUN)
    (tmp_path / "features.md").write_text(
        "| `one` | fine | [p](p.md) | `suite/test_x.py::test_fine` |\n"
        "| `two` | not | [p](p.md) | `suite/test_x.py::test_skipped`, `suite/test_x.py::test_gone` |\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", VARIABLE))}
    environment |= {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "xdist", "-n", "1"], cwd=tmp_path, env=environment,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 passed, 1 skipped" in done.stdout
    assert "NOT SHOWN: two: suite/test_x.py::test_skipped skipped" in done.stdout
    assert "NOT SHOWN: two: suite/test_x.py::test_gone was not run" in done.stdout
    assert "one:" not in done.stdout
    assert f"LEFT OUT: {VARIABLE} names no document" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "whole"),
    [
        ((), True),
        (("-n", "0", "--profile", "hosts"), True),
        (("tests",), True),
        ((".",), True),
        (("tests/docs",), False),
        (("tests/docs/test_features.py::test_what_a_run_has_not_shown_is_told",), False),
        (("-k", "docs"), False),
        (("-m", "release"), False),
        (("-x",), False),
        (("--deselect", "tests/docs"), False),
        (("--ignore", "tests/docs"), False),
        (("--collect-only",), False),
    ],
)
def test_only_a_whole_run_is_judged(pytestconfig: pytest.Config, arguments: tuple[str, ...], *, whole: bool) -> None:
    """Who runs a part of the tests is not told that the others were not run."""
    chosen = copy.copy(pytestconfig)
    chosen.option = pytestconfig._parser.parse_known_args([*arguments], namespace=argparse.Namespace())
    chosen.args = chosen.option.file_or_dir or chosen.getini("testpaths")
    assert is_whole(chosen) is whole
