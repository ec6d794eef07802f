"""How archives are named: after the log, and the first and the last position in them."""

from __future__ import annotations

import re

ARCHIVE = re.compile(r"([0-9a-f]{8})-(\d{12,})-(\d{12,})\.jsonl\.zst")
"""The beginning of the log's id, and the two positions."""


def is_archive(name: str) -> bool:
    """Whether a file's name is that of an archive."""
    return ARCHIVE.fullmatch(name) is not None


def archive_name(log_id: str, first: int, last: int) -> str:
    """The name of an archive of these positions."""
    return f"{log_id[:8]}-{first:012d}-{last:012d}.jsonl.zst"
