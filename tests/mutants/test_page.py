"""The page of planted bugs lists what there is: no bug is missing or gone, no survivor is of code that changed."""

from __future__ import annotations

from tests.docs.markdown import ROOT
from tests.mutants import page


def test_the_page_lists_every_planted_bug_as_it_is() -> None:
    """With its sentence, where it is and what catches it; the last column is what a run of kills came to."""
    rows = page.rows_after(page.PAGE.read_text(encoding="utf-8"), page.PLANTED)
    assert [row[:4] for row in page.planted_rows({})] == [row[:4] for row in rows]
    assert {"yes", "no"} == {row[4] for row in rows}
    yes = sum(row[4] == "yes" for row in rows)
    assert f"caught {yes} of {len(rows)}." in page.PAGE.read_text(encoding="utf-8")


def test_every_survivor_on_the_page_is_of_today_s_code_and_has_a_reason() -> None:
    """Once the line has changed, so may have what may be done to it: its row goes."""
    assert page.survivor_rows() == page.rows_after(page.PAGE.read_text(encoding="utf-8"), page.LEFT)
    for where, was, _, why in page.survivor_rows():
        line = was.strip("`").strip().replace("\\|", "|")
        assert line in (ROOT / where.strip("`")).read_text(encoding="utf-8"), f"{where}: {line} is gone"
        assert why


def test_the_shares_on_the_page_add_up() -> None:
    """Of at least 300 changes at least 85 % are killed."""
    rows = page.rows_after(page.PAGE.read_text(encoding="utf-8"), page.AREAS)
    counts = [[int(cell.split()[0]) for cell in row[1:]] for row in rows]
    *areas, whole = counts
    assert whole == [sum(column) for column in zip(*areas, strict=True)]
    changes, _, killed = whole
    assert changes >= 300
    assert killed >= 0.85 * changes
    assert changes - killed >= len(page.survivor_rows())
