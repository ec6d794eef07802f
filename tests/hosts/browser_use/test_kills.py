"""kill -9 of the agent's process in every phase of a step, and of its browser with it: nothing is lost, or done unsaid.

Each run is killed five times, a step later each time, and then left alone. What it leaves is compared with what
browser-use leaves when nothing happens to it. A browser that somebody else runs stands beside it all the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import psutil
import pytest

from tests.hosts.browser_use import judging
from tests.hosts.browser_use.conftest import Run
from tests.hosts.browser_use.lives import LifeFailed, Lives, someones_browser
from tests.hosts.browser_use.scripted import STEPS
from tests.hosts.browser_use.site import Site

ALONE = {
    "every phase": ("before-model@2", "after-model@4", "in-action@apple/after", "after-actions@9", "in-commit@11"),
    "early": ("before-commit@1", "before-action@3", "in-commit@5", "in-action@pear/before", "after-first-action@11"),
    "late": ("after-commit@2", "before-model@5", "after-model@7", "in-action@plum/before", "before-commit@12"),
    "twice in one step": (
        "after-actions@7", "in-action@pear/after", "in-commit@8", "after-first-action@11", "in-action@quince/after",
    ),
}  # fmt: skip
"""Only the agent's process is killed: its browser lives on."""
WITH_BROWSER = {
    "all of it": ("after-model@3", "before-commit@5", "in-action@apple/before", "after-commit@9", "before-model@12"),
    "before it was stored": (
        "after-actions@2",
        "in-commit@4",
        "after-actions@7",
        "in-action@plum/after",
        "in-commit@11",
    ),
}
"""The browser is killed as well, with whatever was in it and nowhere else."""
RUNS = {**ALONE, **WITH_BROWSER}
IN_HOSTS = ("every phase",)


@attrs.define
class Killed:
    """What became of one run."""

    end: Run
    events: list[Any]
    browsers: list[int] = attrs.Factory(list)
    """How many of the agent's browsers lived, after each kill and after the end."""


@pytest.fixture(scope="module")
def someones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psutil.Process]:
    """A browser that is none of ours."""
    with someones_browser(tmp_path_factory.mktemp("someones")) as process:
        yield process


def run(points: tuple[str, ...], directory: Path, *, with_browser: bool, planted: str = "") -> Killed:
    """Kill at each of these points, then let it come to its end."""
    with Site() as site:
        lives = Lives(directory, site, planted=planted)
        browsers = []
        try:
            for point in points:
                lives.until(point)
                browsers.append(len(lives.browsers()))
                if with_browser:
                    lives.end_browsers()
            end = Run(lives.to_the_end(), site.books())
            browsers.append(len(lives.browsers()))
        finally:
            lives.end_browsers()
    log = directory / "checkpoints" / "default" / "lrm.db"
    return Killed(end, judging.events_of(log), browsers)


@pytest.mark.parametrize("name", RUNS)
def test_a_killed_agent_ends_as_one_that_was_not(
    name: str, tmp_path: Path, undisturbed: Run, someones: psutil.Process, release: bool
) -> None:
    """History, memory, files and the server's books are the same; what came twice was reported in doubt first."""
    if not release and name not in IN_HOSTS:
        pytest.skip("in the release profile")
    began = someones.create_time()
    killed = run(RUNS[name], tmp_path, with_browser=name in WITH_BROWSER)
    repeats = judging.repeated(killed.end.books, undisturbed.books)
    doubts = judging.doubts_in(killed.events, killed.end.result)
    assert judging.differences(killed.end.result, undisturbed.result) == []
    assert judging.effect_differences(killed.end.books, undisturbed.books) == []
    assert judging.unreported(repeats, doubts) == []
    assert judging.unsaid(killed.events) == []
    committed = [record.event.step for record in killed.events if record.type == "journal.step_committed"]
    assert committed == list(range(1, STEPS + 1)), "each step is committed once, and none is lost"
    assert max(killed.browsers) <= 1
    assert killed.browsers[-1] == 0, "an orphan is left"
    assert someones.is_running()
    assert began == psutil.Process(someones.pid).create_time()
    print(f"{len(RUNS[name])} kills, repeated {repeats}, in doubt {len(doubts)}, orphans {killed.browsers}")


PLANTED = {
    "forgetful": ("after-actions@7", False),
    "without last result": ("before-model@5", False),
    "without storage": ("before-model@5", True),
}
"""Where each bug shows, and whether the browser is to be killed for it as well."""


@pytest.mark.parametrize("planted", PLANTED)
def test_what_an_adapter_got_wrong_is_seen(planted: str, tmp_path: Path, undisturbed: Run, release: bool) -> None:
    """With a bug planted, one kill is enough for the run to end otherwise, or for a repeat that nobody was told of."""
    if not release:
        pytest.skip("in the release profile")
    point, with_browser = PLANTED[planted]
    try:
        killed = run((point,), tmp_path, with_browser=with_browser, planted=planted)
    except LifeFailed as failed:
        seen = [line for line in str(failed).splitlines() if "no element" in line or "gave up" in line]
    else:
        repeats = judging.repeated(killed.end.books, undisturbed.books)
        seen = [
            *judging.differences(killed.end.result, undisturbed.result),
            *judging.effect_differences(killed.end.books, undisturbed.books),
            *judging.unreported(repeats, judging.doubts_in(killed.events, killed.end.result)),
        ]
    assert seen
    print(f"{planted}: {seen[0][:120]}")
