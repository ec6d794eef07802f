"""What the proofs of the browser agents share: the site, and what browser-use as it comes leaves when undisturbed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.conftest import missing_for_browser_agents
from tests.hosts.browser_use.lives import Lives
from tests.hosts.browser_use.site import Site


@pytest.fixture(scope="session", autouse=True)
def _all_that_is_needed() -> None:
    """Skip what was named by itself where browser-use or a Chromium is missing."""
    if missing := missing_for_browser_agents():
        pytest.skip(f"LEFT OUT: {missing}")


@attrs.frozen
class Run:
    """How a run ended, and what the server knew then."""

    result: dict[str, Any]
    books: dict[str, Any]


@pytest.fixture
def site() -> Iterator[Site]:
    """A new site."""
    with Site() as one:
        yield one


@pytest.fixture
def lives(tmp_path: Path, site: Site) -> Iterator[Lives]:
    """An agent of the adapter, with nothing left of it afterwards."""
    one = Lives(tmp_path, site)
    yield one
    one.end_browsers()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The twelve steps, taken by browser-use as it comes, with nothing happening to it."""
    directory = tmp_path_factory.mktemp("undisturbed")
    with Site() as site:
        lives = Lives(directory, site, "stock")
        try:
            return Run(lives.to_the_end(), site.books())
        finally:
            lives.end_browsers()
