"""Keeps the agent's ``sensitive_data`` out of the log: each of its values is replaced before anything is stored.

Pure. What the model writes has a placeholder in place of a value already; pages, results and errors may show the value
itself, as it is or as it stands in an address, in JSON, in HTML or in base64.
"""

from __future__ import annotations

import base64
import contextlib
import html
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

LEAST = 3
"""Characters of a value below which it is not looked for: it would be found everywhere."""
LEAST_INSIDE = 6
"""Characters that base64 needs to have of a value within a longer text, to be taken for it."""
_QUERY = "!$%&'()*+,-./:;=?@[\\]^_`{|}~"
"""What a browser leaves as it is in the query of an address that a page or a person wrote."""
_COMPONENT, _URI, _FORM = "!'()*", "!'()*;,/?:@&=+$#", "*"
"""What ``encodeURIComponent``, ``encodeURI`` and a form that is sent leave as it is, besides letters and digits."""


class Redactor:
    """Replaces secrets by ``<secret>name</secret>``, and puts them back where that is asked for.

    Args:
        sensitive_data: as browser-use takes it: values by name, or by name by domain.
    """

    def __init__(self, sensitive_data: Mapping[str, Any] | None) -> None:
        self._names: dict[str, str] = {}
        self._mixed: dict[re.Pattern[str], str] = {}
        self._texts: dict[str, str] = {}
        self.learn(sensitive_data)

    def learn(self, sensitive_data: Mapping[str, Any] | None) -> None:
        """Hide these as well. What was a secret stays one; of two of one name the newest is given back."""
        for name, value in _values(sensitive_data or {}):
            for form, text in _forms(value):
                self._names.setdefault(text, f"{name}{form}")
                self._texts[f"{name}{form}"] = text
            if not value.isalnum() or not value.isascii():
                self._mixed[_mixture(value)] = f"{name}:address"
        # The longest first: one secret may be a part of another.
        self._names = dict(sorted(self._names.items(), key=lambda one: -len(one[0])))

    def __bool__(self) -> bool:
        return bool(self._names)

    def hide(self, value: Any) -> Any:
        """The same without secrets. What holds none is given back as it is, and not copied."""
        return self._changed(value, self._hidden) if self._names else value

    def show(self, value: Any) -> Any:
        """The same with the secrets that are known now. Only for what the agent gets back: files, pages' storage."""
        return self._changed(value, self._shown) if self._names else value

    def error(self, error: BaseException) -> BaseException:
        """The same error, or, where its text has a secret, one that says so without it."""
        text = str(error)
        hidden = self._hidden(text) if self._names else text
        return error if hidden == text else RuntimeError(f"{type(error).__name__}: {hidden}")

    def _hidden(self, text: str) -> str:
        for secret, name in self._names.items():
            if secret in text:
                text = text.replace(secret, f"<secret>{name}</secret>")
        if self._mixed and any(sign in text for sign in "%&+\\"):
            for pattern, name in self._mixed.items():
                text = pattern.sub(f"<secret>{name}</secret>", text)
        return text

    def _shown(self, text: str) -> str:
        if "<secret>" in text:
            for name, secret in self._texts.items():
                text = text.replace(f"<secret>{name}</secret>", secret)
        return text

    def _changed(self, value: Any, change: Any) -> Any:
        if isinstance(value, str):
            return change(value)
        if isinstance(value, dict):
            changed = {self._changed(key, change): self._changed(one, change) for key, one in value.items()}
            return changed if changed != value else value
        if isinstance(value, list | tuple):
            items = [self._changed(one, change) for one in value]
            return items if items != list(value) else value
        return value


def _values(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _values(value)
        elif isinstance(value, str) and len(value) >= LEAST:
            yield str(name), value


def _forms(value: str) -> Iterator[tuple[str, str]]:
    """A value as it may stand in a text, with a name for each form; the plain one first, which the others may equal."""
    yield "", value
    addresses = {
        "address": quote(value, safe=""),
        "form": quote_plus(value),
        "component": quote(value, safe=_COMPONENT),
        "uri": quote(value, safe=_URI),
        "query": quote(value, safe=_QUERY),
        "sent": quote_plus(value, safe=_FORM).replace("~", "%7E"),
    }
    for form, text in addresses.items():
        yield f":{form}", text
    yield ":json", json.dumps(value)[1:-1]
    yield ":text", json.dumps(value, ensure_ascii=False)[1:-1]
    yield ":html", html.escape(value)
    yield ":html-text", html.escape(value, quote=False)
    plain = value.encode()
    for form, encode in (("base64", base64.b64encode), ("base64-address", base64.urlsafe_b64encode)):
        yield f":{form}", encode(plain).decode()
        for before in range(3):  # bytes of another text in its first group of three: a user's name and a colon
            inside = encode(bytes(before) + plain)[-(-before * 8 // 6) : (before + len(plain)) * 8 // 6].decode()
            if len(inside) >= LEAST_INSIDE:
                yield f":{form}-{before}", inside


def _mixture(value: str) -> re.Pattern[str]:
    """Finds a value some of whose characters are encoded, whichever: a page's title is its address, half decoded."""
    return re.compile("".join(f"(?:{'|'.join(map(re.escape, _spellings(one)))})" for one in value))


def _spellings(character: str) -> list[str]:
    """What may stand for a character."""
    quoted = ["".join(f"%{byte:02X}" for byte in character.encode(errors="replace"))]
    with contextlib.suppress(UnicodeEncodeError):
        single = character.encode("cp1252")  # of a form in a page that does not say how it is encoded
        quoted.append(f"%{single[0]:02X}")
    found = [character, *quoted, *(one.lower() for one in quoted), html.escape(character)]
    found += [json.dumps(character)[1:-1], *("+" if character == " " else "")]
    return sorted(set(found), key=len, reverse=True)
