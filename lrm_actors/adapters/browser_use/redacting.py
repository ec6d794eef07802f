"""Keeps the agent's ``sensitive_data`` out of the log: each of its values is replaced before anything is stored.

Pure. What the model writes has a placeholder in place of a value already; pages, results and errors may show the value
itself, as it is or as it stands in an address or in JSON.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

LEAST = 3
"""Characters of a value below which it is not looked for: it would be found everywhere."""
_FORMS = ("", ":address", ":form", ":json", ":base64")


class Redactor:
    """Replaces secrets by ``<secret>name</secret>``, and puts them back where that is asked for.

    Args:
        sensitive_data: as browser-use takes it: values by name, or by name by domain.
    """

    def __init__(self, sensitive_data: Mapping[str, Any] | None) -> None:
        found: dict[str, str] = {}
        for name, value in _values(sensitive_data or {}):
            for form, text in zip(_FORMS, _forms(value), strict=True):
                found.setdefault(text, f"{name}{form}")
        # The longest first: one secret may be a part of another.
        self._names = dict(sorted(found.items(), key=lambda one: -len(one[0])))

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
        return text

    def _shown(self, text: str) -> str:
        if "<secret>" in text:
            for secret, name in self._names.items():
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


def _forms(value: str) -> tuple[str, ...]:
    """A value as it may stand in a text; the plain one first, which the others may equal."""
    encoded = base64.b64encode(value.encode()).decode()
    return value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1], encoded
