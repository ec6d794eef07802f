"""The agent's knowledge as a pure fold: what it does next, what it reports, and that a resumed one reports the same."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.demo import watch
from lrm_actors.demo.pages import pages


def visit(path: str, body: str) -> dict[str, Any]:
    """The result of visiting a page, as the agent commits it."""
    title = re.search(r"<title>(.*)</title>", body)
    assert title is not None
    return {
        "path": path,
        "status": 200,
        "mark": f"mark of {body}",
        "digest": f"digest of {body}",
        "title": title[1],
        "links": re.findall(r'href="([^"]*)"', body),
        "text": re.sub(r"<[^>]*>", " ", body),
    }


def results_of(rounds: int) -> list[dict[str, Any]]:
    """The results of every step of an undisturbed watch over the demo's pages."""
    now, results = watch.begin(rounds, "/"), []
    while (step := watch.next_step(now)) is not None:
        result = visit(step.path, pages(now.round)[step.path]) if isinstance(step, watch.Visit) else step.result
        results.append(result)
        now = watch.apply(now, len(results), result)
    return results


RESULTS = results_of(4)


def test_each_round_visits_every_page_and_then_compares() -> None:
    """Eight pages and a comparison in each round: 36 steps in four rounds."""
    assert len(RESULTS) == 36
    assert [result["path"] for result in RESULTS[:3]] == ["/", "/tea.html", "/ware.html"]
    assert [result["pages"] for result in RESULTS if "pages" in result] == [8, 8, 8, 8]


def test_the_report_says_what_changed() -> None:
    """Added, removed, retitled and repriced pages each have their line."""
    lines = watch.recompute(4, "/", RESULTS)["lines"]

    assert lines[0] == "round 1: 8 pages"
    assert "round 2: ~ /ware/kettle.html: title 'Steel kettle' -> 'Steel kettle, 1.2 l'" in lines
    assert "round 3: + /tea/rooibos.html: Rooibos" in lines
    assert "round 3: - /tea/keemun.html: Keemun" in lines
    assert "round 4: ~ /tea/assam.html: price 13.60 EUR -> 13.95 EUR" in lines
    assert "round 4: ~ /: text changed" in lines


def test_the_report_is_computed_from_the_pages_alone() -> None:
    """What a finished round claims to have found is not believed: the report follows from what was fetched."""
    forged = [{**result, "changes": ["nonsense"]} if "pages" in result else result for result in RESULTS]

    assert watch.recompute(4, "/", RESULTS) == watch.recompute(4, "/", forged)


@given(cut=st.integers(0, len(RESULTS)), overlap=st.integers(0, len(RESULTS)))
def test_a_watch_resumed_anywhere_reports_the_same(cut: int, overlap: int) -> None:
    """Stored as JSON at any step and resumed with steps it already had, it ends with the same report."""
    now = watch.begin(4, "/")
    for step, result in enumerate(RESULTS[:cut], start=1):
        now = watch.apply(now, step, result)
    resumed = watch.from_data(json.loads(json.dumps(watch.to_data(now))))
    assert now == resumed

    for step in range(max(1, cut - overlap), len(RESULTS) + 1):
        resumed = watch.apply(resumed, step, RESULTS[step - 1])

    assert watch.recompute(4, "/", RESULTS) == watch.report(resumed)


def test_a_missing_step_is_not_papered_over() -> None:
    """A step that does not follow the last one is an error, not a hole in the report."""
    with pytest.raises(ValueError, match="step 2 cannot follow step 0"):
        watch.apply(watch.begin(1, "/"), 2, RESULTS[1])


def test_a_round_is_bounded() -> None:
    """A site with more links than the bound is visited up to the bound."""
    now = watch.begin(1, "/")
    links = [f"/{number}" for number in range(1000)]
    for step in range(1, watch.MAX_PAGES + 1):
        todo = watch.next_step(now)
        assert isinstance(todo, watch.Visit)
        page = {"path": todo.path, "status": 200, "mark": "", "digest": "", "title": "", "links": links, "text": ""}
        now = watch.apply(now, step, page)

    assert isinstance(watch.next_step(now), watch.Finish)
