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


MACHINE = """
import hypothesis
from hypothesis import strategies as st
from lrm_actors.testing import RecoveryStateMachine

class ReadingMachine(RecoveryStateMachine):
    def make(self, store, clock):
        return ActorSystem(store, [READING_LIST, SHELF], wires=WIRES, clock=clock)

    def commands(self):  # no text by chance: what that needs is worked out anew in each new directory
        return st.tuples(st.just("reading"), st.builds(AddBook, st.sampled_from("abc")))

    def observe(self, system):
        assert len(system.state("reading").books) < {most}, "more than can be read"
        return system.state("reading").books

TestReading = ReadingMachine.TestCase
"""
GOOD = (
    MACHINE.format(most=1000)
    + """
TestReading.settings = hypothesis.settings(TestReading.settings, max_examples=3)

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
"""
)
BAD = (
    MACHINE.format(most=2)
    + """
TestReading.settings = hypothesis.settings(
    TestReading.settings, max_examples=100, stateful_step_count=6, phases=list(hypothesis.Phase)[:{phases}]
)

def test_kit(actor_kit):
    kit = actor_kit(READING_LIST)
    for n in range(50):
        kit.run(AddBook(f"book {{n}}"))
    assert kit.state.books == ()

def test_system(lrm_system, lrm_store):
    lrm_system(READING_LIST).ask_blocking("reading", AddBook("Walden"))
    assert lrm_store.head == 2

def test_simulation(lrm_simulation):
    lrm_simulation.system([READING_LIST])
    assert lrm_simulation.ask("reading", AddBook("Emma")) == 2

def test_plain():
    assert 1 == 2
"""
)


def run(pytester: pytest.Pytester, source: str) -> pytest.RunResult:
    """Run a test module in a process of its own, with the plugin whether or not it is installed by its entry point."""
    pytester.makepyfile(READING + source)
    options = ("-p", "no:xdist", "-p", "no:cacheprovider", "--lrm-profile=quick", "--lrm-seed=5")
    return pytester.runpytest_subprocess("-p", PLUGIN, *options)


def test_fixtures_give_a_kit_a_store_a_system_and_a_clock(pytester: pytest.Pytester) -> None:
    """All by one clock, and everything is stopped and closed at the end; a machine is a test like any other."""
    run(pytester, GOOD).assert_outcomes(passed=4)


def test_a_failure_shows_the_log_and_the_line_that_runs_it_again(pytester: pytest.Pytester, release: bool) -> None:
    """The newest events of each log that the test had; a machine tells its story; a test without a log is left alone.

    In a full run the story is made short, which takes its time.
    """
    done = run(pytester, BAD.format(phases=5 if release else 3))
    done.assert_outcomes(failed=5)
    options = "--lrm-profile=quick --lrm-seed=5"
    text = done.stdout.str()
    assert re.search(rf"Again: pytest '\S+::TestReading::runTest' {options}", text)
    assert 1 <= len(re.findall(r"^E +state\.(?!teardown)", text, re.MULTILINE)) <= (3 if release else 7), text
    assert "more than can be read" in text
    done.stdout.fnmatch_lines(
        [
            "*- the actors -*",
            "the log, 50 events, the last 40:",
            "     11 reading 11: BookAdded(title='book 10')",
            "     50 reading 50: BookAdded(title='book 49')",
            f"Again: pytest '*::test_kit' {options}",
            "the log, 1 events:",
            "      1 reading 1: BookAdded(title='Walden')",
            f"Again: pytest '*::test_system' {options}",
            "the log, 1 events:",
            "      1 reading 1: BookAdded(title='Emma')",
            f"Again: pytest '*::test_simulation' {options}",
        ]
    )
    assert text.count("the actors -") == 3


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
