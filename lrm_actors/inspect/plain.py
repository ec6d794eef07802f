"""Text of others, for people's eyes: what would command a terminal, or show a text in another order, is spelled out.

Names and messages come from outside, from an agent's components, from errors, from a web page's title. Printed as they
are, an escape sequence in one could hide lines, change what was said, or write to the clipboard.
"""

from __future__ import annotations

import re

# Control characters of both sets, and those that turn the direction of a text (CVE-2021-42574).
_HARMFUL = "\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069"
_IN_TEXT = re.compile(f"[\x00-\x1f{_HARMFUL}]")
_IN_LINES = re.compile(f"[\x00-\x08\x0b-\x1f{_HARMFUL}]")
_IN_JSON = re.compile(f"[{_HARMFUL}]")


def plain(text: str) -> str:
    """A text on one line, in which each harmful character stands as its escape: backslash, x, 1, b."""
    return _IN_TEXT.sub(_spelled, text)


def plain_lines(text: str) -> str:
    """The same, but the ends of lines and tabs stay."""
    return _IN_LINES.sub(_spelled, text)


def plain_json(text: str) -> str:
    """JSON that means the same and is safe to look at; what JSON itself escapes is escaped already."""
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _spelled(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
