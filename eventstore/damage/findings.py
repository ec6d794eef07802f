"""What ``doctor`` says: one finding for each thing it looked at."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

Level: TypeAlias = Literal["ok", "warning", "problem"]
LEVELS: tuple[Level, ...] = ("ok", "warning", "problem")
"""From the best to the worst."""


@attrs.frozen
class Finding:
    """One thing that was looked at."""

    code: str
    """Stable name of what was looked at, such as ``disk-space``."""
    level: Level
    """``ok``; ``warning``: nothing is wrong yet; ``problem``: something is, or will be."""
    what: str
    """What was found, a sentence."""
    advice: str = ""
    """What to try; empty where there is nothing to do."""


@attrs.frozen
class Diagnosis:
    """What was found of one log, and around it."""

    path: str
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst of all findings."""
        return max((finding.level for finding in self.findings), key=LEVELS.index, default="ok")


def size_text(size_bytes: int) -> str:
    """A size for people."""
    size, unit = float(size_bytes), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
