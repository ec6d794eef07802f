"""The page of planted bugs lists what there is: no bug is missing, and none is gone."""

from __future__ import annotations

from tests.mutants import page


def test_the_page_lists_every_planted_bug_as_it_is() -> None:
    """With its sentence, where it is and what catches it; the last column is what a run of kills came to."""
    rows = page.rows_after(page.PAGE.read_text(encoding="utf-8"), page.PLANTED)
    assert [row[:4] for row in page.planted_rows({})] == [row[:4] for row in rows]
    assert {"yes", "no"} == {row[4] for row in rows}
    yes = sum(row[4] == "yes" for row in rows)
    assert f"caught {yes} of {len(rows)}." in page.PAGE.read_text(encoding="utf-8")
