"""Sees in a whole test run that each test which a feature names has passed, and fails the run where one has not.

Reports of all workers come to the process that started them, so it is told there whichever of them ran a test.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.docs.feature_document import VARIABLE
from tests.docs.features import PAGE, Feature, listed, profile_of


def unproven(features: list[Feature], outcomes: Mapping[str, set[str]], profile: str) -> list[str]:
    """Each test of a feature that this profile shows and that did not pass, with what became of it.

    Args:
        features: the list.
        outcomes: ``passed``, ``failed`` or ``skipped``, of each test by its whole name.
        profile: of the run.
    """
    cases: dict[str, set[str]] = defaultdict(set)
    for name, found in outcomes.items():
        cases[name] |= found
        cases[name.partition("[")[0]] |= found if "[" in name else set()
    shown = "hosts" if profile == "hosts" else "default"
    return [
        f"{feature.name}: {test} {'was not run' if not cases[test] else ' and '.join(sorted(cases[test] - {'passed'}))}"
        for feature in features
        for test in feature.tests
        if profile_of(test) == shown and cases[test] != {"passed"}
    ]


class Outcomes:
    """A plugin of pytest, for the process that gathers the reports.

    Args:
        config: of the run.
        page: that lists the features.
        cannot: why tests of hosts cannot run on this machine, or an empty text.
    """

    def __init__(self, config: pytest.Config, page: Path, cannot: Callable[[], str]) -> None:
        self._config = config
        self._page = page
        self._cannot = cannot
        self._outcomes: dict[str, set[str]] = defaultdict(set)
        self._unproven: list[str] = []
        self._left_out = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember what became of a test: its own end, and any phase that did not go well."""
        if report.when == "call" or report.outcome != "passed":
            self._outcomes[report.nodeid].add(report.outcome)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Fail a whole run that has not shown every feature."""
        if not is_whole(self._config) or exitstatus not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            return
        profile = str(self._config.getoption("--profile", "default"))
        self._unproven = unproven(listed(self._page), self._outcomes, profile)
        self._left_out = self._cannot() if self._unproven and profile == "hosts" else ""
        if self._unproven and not self._left_out:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name them."""
        for text in self._unproven:
            terminalreporter.write_line(f"NOT SHOWN{' HERE' if self._left_out else ''}: {text}")
        if self._left_out:
            terminalreporter.write_line(f"LEFT OUT: {self._left_out}")
        if is_whole(self._config) and VARIABLE not in os.environ:
            terminalreporter.write_line(f"LEFT OUT: {VARIABLE} names no document to compare the list of features with")


def is_whole(config: pytest.Config) -> bool:
    """Whether every test of the profile is run, and not some that were chosen."""
    option = config.option
    chosen = (option.keyword, option.markexpr, option.deselect, option.ignore, option.ignore_glob, option.collectonly)
    wanted = {config.rootpath / name for name in config.getini("testpaths")} or {config.rootpath}
    given = {(config.invocation_params.dir / argument).resolve() for argument in config.args}
    return not any(chosen) and not option.maxfail and (config.rootpath in given or wanted <= given)


def _nothing_is_missing() -> str:
    return ""


def watch(config: pytest.Config, page: Path = PAGE, cannot: Callable[[], str] = _nothing_is_missing) -> None:
    """Have a run watched; to be called in the process that gathers its reports, and not in its workers."""
    config.pluginmanager.register(Outcomes(config, page, cannot), "lrm-feature-outcomes")
