"""The account of a scenario: what was broken, what was noticed when, what was chosen and why, and what worked."""

from __future__ import annotations

from typing import Any

import attrs

SCHEMA = "lrm.scenario/1"


@attrs.frozen
class Entry:
    """One thing that happened."""

    what: str
    """``broken``, ``noticed``, ``chosen``, ``worked``, or ``note`` for what was counted besides."""
    text: str
    after_s: float
    """Seconds since the fault; negative for what was before it."""
    position: int | None = None
    """Of the record in the log that says so; None for what only the outside knows."""


@attrs.frozen
class Chapter:
    """One chain of causes, as ``lrm why`` tells it, the newest link first."""

    target: int
    """The position that ``lrm why`` was asked about."""
    lines: tuple[str, ...]
    began: str
    """With what was seen; empty where it began with a call from outside."""
    sound: bool
    """No link is wrong, and it leads to what it should lead to."""


@attrs.frozen
class Sheet:
    """Something of which there is a table to show."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def lines(self) -> list[str]:
        """As text, in aligned columns."""
        cells = [self.columns, *self.rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        rule = ["-" * width for width in widths]
        padded = (map(str.ljust, row, widths) for row in (self.columns, rule, *self.rows))
        return [f"{self.title}:", *("  ".join(row).rstrip() for row in padded)]

    def to_data(self) -> dict[str, Any]:
        """As JSON data: each row by the names of its columns."""
        return {"title": self.title, "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows]}


@attrs.frozen
class Account:
    """How one scenario went."""

    scenario: str
    entries: tuple[Entry, ...]
    story: tuple[Chapter, ...]
    trouble: str
    """Why it is no recovery; empty when it is one."""
    log: str
    duration_s: float
    sheets: tuple[Sheet, ...] = ()
    """Tables at the end, where there is more to say than one story."""

    @property
    def ok(self) -> bool:
        """It was recovered from without help, and the log tells the story from the fault on."""
        said = {entry.what for entry in self.entries}
        return not self.trouble and said >= {"broken", "noticed", "chosen", "worked"} and self.told

    @property
    def told(self) -> bool:
        """Whether the log tells the story."""
        return bool(self.story) and all(chapter.sound for chapter in self.story)

    def texts(self, what: str) -> list[str]:
        """What was said of one kind, in order."""
        return [entry.text for entry in self.entries if entry.what == what]

    def to_data(self, *, log_kept: bool) -> dict[str, Any]:
        """As one JSON document."""
        return {
            "schema": SCHEMA,
            "scenario": self.scenario,
            "ok": self.ok,
            "entries": [attrs.asdict(entry) for entry in self.entries],
            "story": [attrs.asdict(chapter) for chapter in self.story],
            "sheets": [sheet.to_data() for sheet in self.sheets],
            "trouble": self.trouble,
            "log": self.log if log_kept else None,
            "duration_s": round(self.duration_s, 3),
        }
