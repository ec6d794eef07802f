"""The whole demo: an agent watches a site and is harmed; the same agent does it undisturbed; then both are compared.

Both runs are real, over real sockets and processes. None of them is left behind, whatever happens.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from eventstore.opening import system_instant
from lrm_actors.demo.pages import pages
from lrm_actors.demo.parent import Parent, Watching
from lrm_actors.demo.plan import Planned, make_plan
from lrm_actors.demo.site import Site
from lrm_actors.demo.verdict import Evidence, Verdict, judge

SITE_LATENCY_S = 0.15
PACE_S = 0.25
OWN_TIMEOUT_S = 0.6
"""For our own site, which answers at once or never."""
THEIR_TIMEOUT_S = 10.0
LEAST_STEPS_A_ROUND = 2
"""Of a site that is not ours we know only that a round has a front page and an end."""
OWN_DEADLINE_S, THEIR_DEADLINE_S = 120.0, 3600.0
"""When a run over our own site, and over another, is given up, pauses between rounds apart."""


@attrs.frozen
class Demo:
    """What is to be shown."""

    seed: int = 1
    rounds: int = 4
    calm: bool = False
    """Do no harm."""
    url: str | None = None
    """A site of the user's own; None: the demo's."""
    interval_s: float = 3.0
    """Pause between two rounds over a site of the user's own."""
    pace_s: float = PACE_S
    directory: Path | None = None
    """Where the logs are kept; None: in a directory that goes when all is well."""

    def plan(self) -> tuple[Planned, ...]:
        """The harm to be done.

        Raises:
            ValueError: there are too few rounds for it.
        """
        if self.calm:
            return ()
        return make_plan(self.seed, self.least_steps, site_faults=self.url is None)

    @property
    def least_steps(self) -> int:
        """How many steps the agent will make at least."""
        if self.url is not None:
            return LEAST_STEPS_A_ROUND * self.rounds
        return sum(len(pages(revision)) + 1 for revision in range(1, self.rounds + 1))

    def watching(self, site: Site | None) -> Watching:
        """What the agent is told."""
        if site is not None:
            return Watching(site.url, self.rounds, pace_s=self.pace_s, timeout_s=OWN_TIMEOUT_S)
        assert self.url is not None
        return Watching(
            self.url,
            self.rounds,
            pace_s=self.pace_s,
            poll_s=self.interval_s,
            patience_s=self.interval_s,
            timeout_s=THEIR_TIMEOUT_S,
        )


def run(demo: Demo, say: Callable[[str], None]) -> Verdict:
    """Show the demo and judge it.

    Raises:
        ValueError: there are too few rounds for the plan.
        OSError: the directory cannot be used.
    """
    plan = demo.plan()
    directory = Path(tempfile.mkdtemp(prefix="lrm-demo-")) if demo.directory is None else demo.directory
    verdict: Verdict | None = None
    try:
        verdict = _run_in(directory, demo, plan, say)
        return verdict
    finally:
        if demo.directory is None and (verdict is None or verdict.ok):
            shutil.rmtree(directory, ignore_errors=True)


def _run_in(directory: Path, demo: Demo, plan: tuple[Planned, ...], say: Callable[[str], None]) -> Verdict:
    began = system_instant()

    def say_when(line: str) -> None:
        say(f"{time.monotonic() - began.monotonic_s:5.1f} s  {line}")

    deadline_s = OWN_DEADLINE_S if demo.url is None else THEIR_DEADLINE_S + demo.rounds * demo.interval_s
    with _site(demo) as site:
        watching = demo.watching(site)
        watched = Parent(watching, directory / "demo", site=site, plan=plan, say=say_when, deadline_s=deadline_s).run()
        calm = None
        if site is not None and not watched.trouble:
            say_when("= the same agent over the same site once more, undisturbed")
            site.latency_s = 0.0
            site.publish(1)
            calm = Parent(attrs.evolve(watching, pace_s=0.0), directory / "calm", site=site).run()
    return judge(
        Evidence(
            seed=demo.seed,
            plan=plan,
            watching=watching,
            own_site=demo.url is None,
            watched=watched,
            calm=calm,
            began=began,
            directory=directory,
        )
    )


@contextlib.contextmanager
def _site(demo: Demo) -> Iterator[Site | None]:
    if demo.url is not None:
        yield None
        return
    with Site(latency_s=SITE_LATENCY_S) as site:
        yield site
