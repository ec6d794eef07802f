"""Profiles of the whole test run: the default one bounded and deterministic, ``--profile release`` with full counts."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "default",
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.register_profile(
    "release",
    max_examples=1000,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


hypothesis.settings.register_profile("hosts", hypothesis.settings.get_profile("default"))

HOSTS = Path(__file__).parent / "hosts"
"""What needs the SDKs and the browser of hosts: run with ``--profile hosts``, and nothing else is then."""
BROWSER_AGENTS = HOSTS / "browser_use"
"""Of that, what needs browser-use and a Chromium; where they are, ``--profile release`` runs it with fuller counts."""

COUNTS_SHOWN = 600
"""Characters of what one test printed that the summary shows."""
LOUD = "NOT PROVEN"
"""The summary shows the reason of a test that was skipped for want of something, if this is how it begins."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--profile``: how much of each proof is run."""
    parser.addoption(
        "--profile", choices=("default", "release", "hosts"), default=os.environ.get("LRM_TEST_PROFILE", "default")
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load the hypothesis profile of the same name, and have the tests of the listed features watched."""
    hypothesis.settings.load_profile(config.getoption("--profile"))
    if not hasattr(config, "workerinput"):
        from tests.docs import outcomes

        outcomes.watch(config, cannot=missing_for_browser_agents)


def missing_for_browser_agents() -> str:
    """What of it is not here; empty where everything is."""
    from tests.hosts.browser_cases import chromium

    if importlib.util.find_spec("browser_use") is None:
        return "browser-use is not installed"
    return "" if chromium() else "there is no Chromium"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the tests of hosts to their own profile, and all others out of it."""
    profile = config.getoption("--profile")
    if collection_path.is_relative_to(BROWSER_AGENTS) and missing_for_browser_agents():
        return True
    if profile == "hosts":
        return None if _related(collection_path, HOSTS) else True
    if profile == "release" and not missing_for_browser_agents():
        return None if _related(collection_path, BROWSER_AGENTS) or not _related(collection_path, HOSTS) else True
    return True if collection_path == HOSTS else None


def _related(one: Path, other: Path) -> bool:
    """Whether one of them lies in the other."""
    return one.is_relative_to(other) or other.is_relative_to(one)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the proofs counted: what a test that passed has printed, whichever process it ran in."""
    profile = terminalreporter.config.getoption("--profile")
    if profile != "default" and (missing := missing_for_browser_agents()):
        terminalreporter.write_line(f"LEFT OUT: all that is in tests/hosts/browser_use, since {missing}", yellow=True)
    told = [(report.nodeid, report.capstdout.strip()) for report in terminalreporter.getreports("passed")]
    for nodeid, text in sorted((nodeid, text) for nodeid, text in told if text and "test session starts" not in text):
        terminalreporter.write_line(f"{nodeid}: {text[:COUNTS_SHOWN]}")
    reasons = [str(report.longrepr) for report in terminalreporter.getreports("skipped")]
    for reason in sorted({reason for reason in reasons if LOUD in reason}):
        terminalreporter.write_line(reason[reason.index(LOUD) :].rstrip("')"))


@pytest.fixture(scope="session")
def release(request: pytest.FixtureRequest) -> bool:
    """Whether the full counts are wanted."""
    return bool(request.config.getoption("--profile") == "release")


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What a running mode samples from now on, in place of the machine's own load; change it at any time."""
    from tests.mode_kit import CalmSampler

    calm: dict[str, float] = {}
    monkeypatch.setattr(CalmSampler, "sampled", calm, raising=False)
    monkeypatch.setattr("lrm_actors.hosting.engine.Sampler", CalmSampler)
    return calm
