"""Every planted bug is caught by the part of the public kit that is said to catch it, and no part accuses the product.

In a full run each is met by every part, and what each part catches is printed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventstore.errors import EventStoreError
from lrm_actors.errors import LrmError
from tests.docs.markdown import ROOT
from tests.mutants.planted import BUGS, PARTS, check_of

CAUGHT = (AssertionError, EventStoreError, LrmError, pytest.fail.Exception)
"""What a check says when something is wrong. Any other exception would be the check's own fault, or the planting's."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Bugs make much noise."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def caught(check: Callable[[], None], by: tuple[type[BaseException], ...] = CAUGHT) -> bool:
    """Whether a check finds something wrong."""
    try:
        check()
    except by:
        return True
    return False


def stumbles(check: Callable[[], None]) -> bool:
    """Whether a check does not pass, for whatever reason: nobody wrote it with this bug in mind."""
    return caught(check, (Exception, pytest.fail.Exception))


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch, release: bool) -> None:
    """By the check that its row names; in a full run every part of the kit meets it."""
    bug = BUGS[name]
    bug.plant(monkeypatch)
    assert caught(check_of(bug)), f"{bug.caught_by} does not see: {bug.what}"
    if release:
        parts = [part for part, checks in PARTS.items() if any(stumbles(check) for check in checks.values())]
        print(f"caught by {', '.join(parts)}")


def test_the_product_as_it_is_passes_every_check(release: bool) -> None:
    """Those that a bug is said to be caught by, which take a moment; in a full run all of them."""
    named = {bug.caught_by for bug in BUGS.values()}
    count = 0
    for part, checks in PARTS.items():
        for name, check in checks.items():
            if release or (f"{part}/{name}" in named and part not in ("machine", "model")):
                check()
                count += 1
    print(f"{count} checks, {len(BUGS)} planted bugs, parts: {', '.join(PARTS)}")


def test_there_are_bugs_of_every_layer_and_for_every_part() -> None:
    """Store, runtime and actors; and no part of the kit is there that catches nothing."""
    layers = [Path(bug.where).parts[:2] if "lrm" in bug.where else ("eventstore",) for bug in BUGS.values()]
    assert min(layers.count(layer) for layer in set(layers)) >= 10
    assert set(PARTS) == {bug.caught_by.partition("/")[0] for bug in BUGS.values()}
    assert all((ROOT / bug.where).exists() for bug in BUGS.values())
    assert len(BUGS) >= 30
