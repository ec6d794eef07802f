"""The judgement of a run, after the fact and from the outside: was everything as the demo promises?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from eventstore import EventReader, Instant
from eventstore.opening import system_instant
from lrm_actors.demo import table, watch
from lrm_actors.demo.compare import (
    CLOSED,
    EXPLAINED_TYPES,
    PROCESS_STARTED,
    Comparison,
    Explained,
    as_data,
    compare,
    seconds_between,
)
from lrm_actors.demo.ledger import STEP_COMMITTED, STEP_REPEATED, Ledger, keep
from lrm_actors.demo.parent import Watched, Watching
from lrm_actors.demo.plan import Planned
from lrm_actors.inspect import open_log, why

SCHEMA = "lrm.demo/1"
ERRORS_SHOWN = 2000
"""Characters from the end of the agent's stderr, when a run went wrong."""


@attrs.frozen
class Verdict:
    """How it went."""

    seed: int
    plan: tuple[Planned, ...]
    own_site: bool
    watched: Watched
    comparison: Comparison
    ledger: Ledger
    table: tuple[table.Row, ...]
    same_report: bool
    """The report equals the undisturbed run's, where there was one, and the one recomputed from the log."""
    troubles: tuple[str, ...]
    """Everything else that went wrong, a sentence each."""
    duration_s: float

    @property
    def ok(self) -> bool:
        """Everything the demo promises was so."""
        return not self.troubles and self.same_report and self.ledger.ok and self.comparison.ok

    def to_data(self, *, log_kept: bool) -> dict[str, Any]:
        """As one JSON document."""
        watched = self.watched
        return {
            "schema": SCHEMA,
            "ok": self.ok,
            "seed": self.seed,
            "plan": [planned.to_data() for planned in self.plan],
            "faults": [
                fault.to_data() | attrs.asdict(row) for fault, row in zip(watched.injected, self.table, strict=True)
            ],
            "steps": {
                "acknowledged": self.ledger.acknowledged,
                "missing": list(self.ledger.missing),
                "repeated": list(self.ledger.repeated),
                "repeated_unreported": list(self.ledger.unreported),
            },
            "same_report": self.same_report,
            "explained": self.comparison.explained,
            "problems": as_data(self.comparison),
            "troubles": list(self.troubles),
            "report": watched.report,
            "log": watched.log if log_kept else None,
            "duration_s": round(self.duration_s, 3),
        }


@attrs.frozen
class Evidence:
    """What there is to judge by."""

    seed: int
    plan: tuple[Planned, ...]
    watching: Watching
    own_site: bool
    """The site is ours: it fails only when made to, and an undisturbed run over it is possible."""
    watched: Watched
    calm: Watched | None
    """The undisturbed run."""
    began: Instant
    directory: Path


def explain(reader: EventReader) -> list[Explained]:
    """Every restart and every breaker opening of a log, with where its chain of causes ends."""
    explained = []
    for record in reader.read(types=EXPLAINED_TYPES):
        if record.type == PROCESS_STARTED and not record.event.restarted:
            continue
        chain = why(reader, record.position)
        explained.append(Explained(record, chain.root, chain.ends_at_observation))
    return explained


def judge(evidence: Evidence) -> Verdict:
    """Compare what was done, what was said, what was logged and what an undisturbed run reports."""
    watched = evidence.watched
    comparison, ledger, recomputed = _read_log(evidence)
    expected = [recomputed] if evidence.calm is None else [recomputed, evidence.calm.report]
    return Verdict(
        seed=evidence.seed,
        plan=evidence.plan,
        own_site=evidence.own_site,
        watched=watched,
        comparison=comparison,
        ledger=ledger,
        table=tuple(table.rows(watched.injected, comparison.matches, ledger, evidence.began)),
        same_report=watched.report is not None and all(watched.report == report for report in expected),
        troubles=tuple(_troubles(evidence)),
        duration_s=seconds_between(evidence.began, system_instant()),
    )


def _read_log(evidence: Evidence) -> tuple[Comparison, Ledger, dict[str, Any] | None]:
    """What the log says: whom it blames, what it kept, and the report that follows from it."""
    watched, watching = evidence.watched, evidence.watching
    if not watched.log:
        comparison = compare(watched.injected, (), own_site=evidence.own_site)
        return comparison, keep(watched.acknowledged, watched.begun, (), ()), None
    reader = open_log(watched.log)
    try:
        closings = list(reader.read(types=[CLOSED]))
        comparison = compare(watched.injected, explain(reader), closings, own_site=evidence.own_site)
        books = list(reader.read(types=[STEP_COMMITTED, STEP_REPEATED]))
    finally:
        reader.close()
    ledger = keep(watched.acknowledged, watched.begun, books, comparison.matches)
    results = [record.event.result for record in books if record.type == STEP_COMMITTED]
    return comparison, ledger, watch.recompute(watching.rounds, watch.front_of(watching.url), results)


def _troubles(evidence: Evidence) -> list[str]:
    watched, calm = evidence.watched, evidence.calm
    found = [watched.trouble] if watched.trouble else []
    if calm is not None and calm.trouble:
        found.append(f"the undisturbed run: {calm.trouble}")
    if not watched.log:
        found.append("the agent never opened its log")
    if watched.not_injected and evidence.own_site:
        found.append(f"{watched.not_injected} planned faults were not done: the agent was finished before")
    if found and (words := _last_words(evidence.directory)):
        found.append(words)
    return found


def _last_words(directory: Path) -> str:
    """The end of what the agents wrote to stderr."""
    texts = [path.read_text(errors="replace")[-ERRORS_SHOWN:] for path in sorted(directory.glob("*/agent.err"))]
    return "\n".join(filter(None, texts)).strip()
