"""The plugin as a user's run of pytest has it: fixtures, options, and what a failing test reports."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from lrm_actors.testing.checks import RULES
from tests.docs.markdown import ROOT

pytest_plugins = ["pytester"]

PLUGIN = "lrm_actors.testing.plugin"
READING = f"import sys\nsys.path.insert(0, {str(ROOT / 'docs/examples')!r})\nfrom reading_list import *\n"


def run(pytester: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    """Run a test module in this process, with the plugin whether or not the package is installed with it."""
    pytester.makepyfile(READING + source)
    return pytester.runpytest_inprocess("-p", PLUGIN, "-p", "no:xdist", "-p", "no:cacheprovider", *options)


def test_fixtures_give_a_kit_a_store_a_system_and_a_clock(pytester: pytest.Pytester) -> None:
    """All by one clock, and everything is stopped and closed at the end."""
    done = run(
        pytester,
        """
def test_kit(actor_kit, virtual_clock):
    kit = actor_kit(READING_LIST)
    assert kit.run(AddBook("Walden")).reply == 1
    assert kit.clock is virtual_clock

def test_system(lrm_system, lrm_store, virtual_clock):
    system = lrm_system(READING_LIST, SHELF, wires=WIRES)
    assert system.ask_blocking("reading", AddBook("Walden")) == 1
    assert next(lrm_store.read()).recorded_at == virtual_clock.now()

def test_simulation(lrm_simulation):
    lrm_simulation.system([READING_LIST])
    assert lrm_simulation.ask("reading", AddBook("Walden")) == 1
""",
    )
    done.assert_outcomes(passed=3)


def test_a_failure_shows_the_log_and_the_line_that_runs_it_again(pytester: pytest.Pytester) -> None:
    """The newest events only, of each log that the test had; a test without any is left alone."""
    done = run(
        pytester,
        """
def test_kit(actor_kit):
    kit = actor_kit(READING_LIST)
    for n in range(50):
        kit.run(AddBook(f"book {n}"))
    assert kit.state.books == ()

def test_system(lrm_system, lrm_store):
    lrm_system(READING_LIST).ask_blocking("reading", AddBook("Walden"))
    assert lrm_store.head == 2

def test_plain():
    assert 1 == 2
""",
        "--lrm-seed=17",
    )
    done.assert_outcomes(failed=3)
    done.stdout.fnmatch_lines(
        [
            "*- the actors -*",
            "the log, 50 events, the last 40:",
            "     11 reading 11: BookAdded(title='book 10')",
            "     50 reading 50: BookAdded(title='book 49')",
            "Again: pytest '*::test_kit' --lrm-profile=default --lrm-seed=17",
            "the log, 1 events:",
            "      1 reading 1: BookAdded(title='Walden')",
            "Again: pytest '*::test_system' --lrm-profile=default --lrm-seed=17",
        ]
    )
    assert done.stdout.str().count("the actors -") == 2


MACHINE = """
import hypothesis
from lrm_actors.testing import RecoveryStateMachine

class ReadingMachine(RecoveryStateMachine):
    def make(self, store, clock):
        return ActorSystem(store, [READING_LIST, SHELF], wires=WIRES, clock=clock)

    def observe(self, system):
        assert len(system.state("reading").books) < {most}, "more than can be read"
        return system.state("reading").books

TestReading = ReadingMachine.TestCase
TestReading.settings = hypothesis.settings(
    TestReading.settings, max_examples=100, stateful_step_count=6, phases=list(hypothesis.Phase)[{first}:{last}]
)
"""


def test_a_machine_runs_with_the_counts_of_the_profile(pytester: pytest.Pytester) -> None:
    """As a test like any other."""
    done = run(
        pytester,
        MACHINE.format(most=1000, first=0, last=3).partition("TestReading.settings =")[0],
        "--lrm-profile=quick",
    )
    done.assert_outcomes(passed=1)


def test_a_failing_machine_tells_a_short_story_the_log_and_how_to_run_it_again(
    pytester: pytest.Pytester, release: bool
) -> None:
    """And with the line that it tells the story is the same."""
    source = MACHINE.format(most=2, first=0, last=5 if release else 3)
    options = ["--lrm-profile=quick", "--lrm-seed=5"]
    first = run(pytester, source, *options)
    first.assert_outcomes(failed=1)
    text = first.stdout.str()
    assert re.search(r"Again: pytest '\S+::TestReading::runTest' --lrm-profile=quick --lrm-seed=5", text)
    story = re.findall(r"^E +state\.(\w+)", text, re.MULTILINE)
    assert len(story) <= (4 if release else 8), text
    assert "more than can be read" in text
    assert "BookAdded" in text
    if release:
        again = run(pytester, source, *options).stdout.str()
        assert re.findall(r"^E +state\.(\w+)", again, re.MULTILINE) == story


def test_a_run_that_does_not_use_it_imports_nothing_of_it() -> None:
    """It is loaded with every run of pytest on the machine."""
    code = f"""
import sys, pytest
before = set(sys.modules)
import {PLUGIN}
new = [name for name in set(sys.modules) - before if not name.startswith(("lrm_actors", "eventstore"))]
ours = sorted(name for name in sys.modules if name.startswith(("lrm_actors", "eventstore")))
heavy = {{"pykka", "attrs", "attr", "msgspec", "hypothesis", "greenlet", "sqlite3"}}
print(ours, [name for name in new if name.split(".")[0] in heavy])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    names = ["eventstore", "eventstore.lazy", "lrm_actors", "lrm_actors.testing", PLUGIN]
    assert f"{names} []" == done.stdout.strip()


def test_the_package_says_that_it_has_the_plugin() -> None:
    """So that to install it is enough."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'[project.entry-points.pytest11]\n"{PLUGIN}" = "{PLUGIN}"' in text


def test_every_rule_fixture_and_option_is_in_the_reference() -> None:
    """And the reference names none that is gone."""
    page = (ROOT / "docs/reference/testing.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (.+?)$(.+?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert list(RULES) == re.findall(r"^\| `([\w-]+)` \|", sections["Rules"], re.MULTILINE)
    source = (ROOT / "lrm_actors/testing/plugin.py").read_text(encoding="utf-8")
    there = re.findall(r"@pytest\.fixture\ndef (\w+)", source) + re.findall(r'"(--lrm-\w+)", [tc]', source)
    named = re.findall(r"^\| `([\w-]+)` \|", sections["pytest plugin"], re.MULTILINE)
    assert {*there, "--lrm-profile"} == set(named)
