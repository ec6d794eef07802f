"""What goes wrong with a browser is judged for what it is, whatever the component is called."""

from __future__ import annotations

import pytest

from lrm_actors.actors.analyzer import facts_of
from lrm_actors.adapters.browser_use import browser_errors as errors
from lrm_actors.domain import classify as kinds


@pytest.mark.parametrize(
    ("error", "category"),
    [
        (errors.BrowserNotFound("none on the path"), kinds.AUTH),
        (errors.BrowserInUse("/agent/browser", "another agent"), kinds.AUTH),
        (errors.BrowserNotStarted("it ended with status 127", 127), kinds.BROWSER_CRASH),
        (errors.BrowserUnreachable("ws://127.0.0.1:9222/", "refused"), kinds.BROWSER_CRASH),
        (errors.BrowserSilent("Browser.getVersion", 3.0), kinds.BROWSER_FREEZE),
        (errors.CdpRefused("Target.attachToTarget", "No target with given id found", -32602), kinds.BROWSER_CRASH),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_has_its_category(error: Exception, category: str) -> None:
    """So that what nobody can mend by trying is not tried, and what is frozen or gone is restarted."""
    assert category == kinds.classify(facts_of(error, "browser"))
    assert category == kinds.classify(facts_of(error))
