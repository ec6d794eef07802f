from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from lrm_actors.adapters.browser_use.redacting import Redactor

SECRET = 'p@ss "word" 1&2'
REDACTOR = Redactor({"site": {"x_password": SECRET}, "x_user": "ada@example.org", "pin": "7"})


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"typed {SECRET} into 3",
        f"https://example.org/?p={quote(SECRET, safe='')}",
        '{"p": "p@ss \\"word\\" 1&2"}',
        base64.b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_found_in_every_form(text: str) -> None:
    """As it is, in an address, in JSON, in base64."""
    hidden = REDACTOR.hide({"a": [text]})
    assert "<secret>x_password" in hidden["a"][0]
    assert REDACTOR.show(hidden) == {"a": [text]}


def test_what_holds_no_secret_is_given_back_as_it_is() -> None:
    """So that what was compared with it before is still the same object."""
    value = {"a": ["nothing here, not even 7"]}
    assert REDACTOR.hide(value) is value


def test_keys_and_errors_are_redacted_as_well() -> None:
    """An error that quotes a secret becomes one that does not."""
    assert REDACTOR.hide({"ada@example.org": 1}) == {"<secret>x_user</secret>": 1}
    told = REDACTOR.error(ValueError("no user ada@example.org"))
    assert str(told) == "ValueError: no user <secret>x_user</secret>"
    fine = ValueError("no user")
    assert REDACTOR.error(fine) is fine


def test_without_secrets_nothing_is_looked_at() -> None:
    """The common case costs nothing."""
    value = {"a": ["x"]}
    assert Redactor(None).hide(value) is value
    assert not Redactor({})
