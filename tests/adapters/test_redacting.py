from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

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
        base64.b64encode(f"ada:{SECRET}".encode()).decode(),
        base64.urlsafe_b64encode(f"a:{SECRET}!".encode()).decode(),
        "https://example.org/?p=p@ss%20%22word%22%201&2",
        "https://example.org/?p=p%40ss+%22word%22+1%262",
        '<input value="p@ss &quot;word&quot; 1&amp;2">',
        'You typed p@ss "word" 1&amp;2.',
    ],
)
def test_a_secret_is_found_in_every_form(text: str) -> None:
    """As it is, in an address however it got there, in JSON, in HTML, and in base64, with something before it too."""
    hidden = REDACTOR.hide({"a": [text]})
    assert "<secret>x_password" in hidden["a"][0]
    assert REDACTOR.show(hidden) == {"a": [text]}


@pytest.mark.parametrize("text", ["(open) it's 100%~*!", "pä/ss+wörd", "<b>'\\"])
@pytest.mark.parametrize("encode", [
    lambda text: quote(text, safe="!'()*"),  # encodeURIComponent
    lambda text: quote(text, safe="!'()*;,/?:@&=+$#"),  # encodeURI
    lambda text: quote_plus(text, safe="*").replace("~", "%7E"),  # a form
    lambda text: json.dumps(text, ensure_ascii=False),
])  # fmt: skip
def test_a_secret_with_any_characters_is_found_as_browsers_write_it(text: str, encode: Callable[[str], str]) -> None:
    """Scripts and forms encode other characters than Python does."""
    redactor, said = Redactor({"word": text}), f"<{encode(text)}>"
    hidden = redactor.hide(said)
    assert encode(text) not in hidden
    assert redactor.show(hidden) == said


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1/q?p=S3cr%2Fet%2Bpä+ss%26word",  # the title that Chromium gives a page without one
        "S3cr%2fet%2bp%c3%a4%20ss%26word",
        "name=S3cr%2Fet%2Bp%E4+ss%26word",  # a form of a page that does not say how it is encoded
        "S3cr/et+p\\u00e4 ss&amp;word",
    ],
)
def test_a_secret_that_is_partly_encoded_is_found(text: str) -> None:
    """In whatever way each of its characters is written."""
    assert Redactor({"word": "S3cr/et+pä ss&word"}).hide(text).endswith("<secret>word:address</secret>")


def test_a_secret_that_becomes_known_later_is_hidden_from_then_on() -> None:
    """What was one before stays one, and of two of one name the newest is given back."""
    redactor = Redactor({"word": "old-word"})
    redactor.learn({"word": "new-word"})
    assert redactor.hide("old-word new-word") == "<secret>word</secret> <secret>word</secret>"
    assert redactor.show("<secret>word</secret>") == "new-word"


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
