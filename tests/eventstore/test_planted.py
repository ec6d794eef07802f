"""Whether the suite for stores catches what is wrong with one."""

from __future__ import annotations

import collections

import pytest

from eventstore.memory import MemoryStore
from tests.eventstore import planted
from tests.eventstore.planted import BUGS


class Failures:
    """Which tests of which class fail, in a run of pytest."""

    def __init__(self) -> None:
        self.of: dict[str, set[str]] = collections.defaultdict(set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        _, cls, test = report.nodeid.split("::")
        if report.failed:
            self.of[cls].add(test.partition("[")[0])


def run(tests: list[str]) -> Failures:
    """Run tests of the faulty stores, ``Class`` or ``Class::test``."""
    failures = Failures()
    chosen = [f"{planted.__file__}::{test}" for test in tests]
    pytest.main([*chosen, "-n0", "--tb=no", "--no-header", "-p", "no:warnings"], plugins=[failures])
    return failures


def test_every_planted_fault_is_caught(release: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """By the test that is about it; without a fault none of them fails. All of the suite sees each in a full run."""
    caught_by = {f"Test{bug.__name__}": test for bug, test in BUGS.items()}
    sound = f"Test{MemoryStore.__name__}"
    tests = [f"{cls}::{test}" for cls, test in caught_by.items()] + [f"{sound}::{test}" for test in caught_by.values()]
    failures = run([sound, *caught_by] if release else tests).of
    capsys.readouterr()  # that those tests fail is no news
    seen = sum(len(tests) for tests in failures.values())
    print(f"planted faults in stores: {len(caught_by)}, caught by {seen} failing tests")
    assert set() == failures.pop(sound, set())
    assert {} == {cls: test for cls, test in caught_by.items() if test not in failures[cls]}
    assert len(BUGS) >= 20
