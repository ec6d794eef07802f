"""Rules as users write them: what they match, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from lrm_actors.domain import rules
from lrm_actors.domain.classify import FailureFacts
from lrm_actors.domain.rules import Rule, RuleTable
from lrm_actors.errors import SettingsError

LIMITED = FailureFacts(
    "tickets", ("tickets.TooSoon", "Exception", "BaseException", "KeyError", "BaseException"), "Not yet", 409, "SOON"
)

FITTING: list[dict[str, Any]] = [
    {"names": "TooSoon"},
    {"names": "tickets.TooSoon"},
    {"names": "*Soon"},
    {"names": ("Nothing", "KeyError")},
    {"raised": "TooSoon"},
    {"statuses": 409},
    {"statuses": range(400, 500)},
    {"codes": "so*"},
    {"says": "yet"},
    {"components": "tick*"},
    {"names": "TooSoon", "statuses": 409, "says": "not"},
]
OTHERS: list[dict[str, Any]] = [
    {"names": "Soon"},
    {"names": "other.TooSoon"},
    {"raised": "KeyError"},
    {"statuses": 404},
    {"codes": "late"},
    {"says": "never"},
    {"components": "browser"},
    {"observations": "heartbeat_missed"},
    {"os_errors": "ENOSPC"},
    {"exit_statuses": -9},
    {"names": "TooSoon", "statuses": 404},
    {"names": "TooSoon", "says": "never"},
]
REFUSED: list[dict[str, Any]] = [
    {"category": "no such", "names": "A"},
    {"category": "bug"},
    {"category": "bug", "names": ""},
    {"category": "bug", "names": "A" * 201},
    {"category": "bug", "names": (3,)},
    {"category": "bug", "says": "Never In Lower Case"},
    {"category": "bug", "statuses": ("404",)},
    {"category": "bug", "exit_statuses": (True,)},
    {"category": "bug", "names": ("A",) * 201},
]


@pytest.mark.parametrize("asked", FITTING, ids=str)
def test_a_rule_fits_what_has_all_that_it_asks_for(asked: dict[str, Any]) -> None:
    """Each field that is given fits with one of its values."""
    assert "rate_limit" == RuleTable([Rule(category="rate_limit", **asked)]).category(LIMITED)


@pytest.mark.parametrize("asked", OTHERS, ids=str)
def test_a_rule_does_not_fit_what_lacks_one_thing(asked: dict[str, Any]) -> None:
    """One field that does not fit is enough."""
    assert RuleTable([Rule(category="rate_limit", **asked)]).category(LIMITED) is None


@pytest.mark.parametrize("asked", REFUSED, ids=lambda asked: str(asked)[:40])
def test_a_rule_that_could_not_work_is_refused(asked: dict[str, Any]) -> None:
    """With the field named, and what it takes."""
    with pytest.raises(SettingsError):
        Rule(**asked)


def test_the_first_fitting_rule_decides() -> None:
    """Also where the message decides between two, and again for what was judged before."""
    table = RuleTable(
        [Rule(category="bug", says="gone"), Rule(category="auth", names="A"), Rule(category="quota", names="*")]
    )
    told = [FailureFacts("", ("A",), text) for text in ("it is gone", "other", "it is gone")]
    assert ["bug", "auth", "bug"] == [table.category(one) for one in told]
    assert "quota" == table.category(FailureFacts("", ("B",), "x"))


def test_a_table_takes_rules_only_and_not_too_many() -> None:
    """A dict in its place, or a thousand and one."""
    with pytest.raises(SettingsError):
        RuleTable([{"category": "bug"}])  # type: ignore[list-item]
    with pytest.raises(SettingsError):
        RuleTable([Rule(category="bug", names="A")] * 1001)


def test_what_a_table_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many kinds of failure there are."""
    monkeypatch.setattr(rules, "MAX_KNOWN", 10)
    table = RuleTable([Rule(category="bug", names="A")])
    for number in range(50):
        table.category(FailureFacts(f"component {number}"))
    assert len(table._known) <= 10
