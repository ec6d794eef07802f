"""The end of a scenario as text: the story in the words of ``lrm why``, and whether it was recovered from."""

from __future__ import annotations

from lrm_actors.demo.scenarios.account import Account


def lines_of(account: Account) -> list[str]:
    """What is printed below the live lines, but for the last."""
    lines = ["", "what `lrm why` says of it:"] if account.story else []
    for number, chapter in enumerate(account.story):
        lines += [""] if number else []
        for depth, line in enumerate(chapter.lines):
            lines.append(f"  {'  ' * (depth - 1)}└ because {line}" if depth else f"  {line}")
        if chapter.began:
            lines.append(f"  It began with what was seen: {chapter.began}")
        if not chapter.sound:
            lines.append("  This does not lead to the fault.")
    for sheet in account.sheets:
        lines += ["", *sheet.lines()]
    if account.trouble:
        lines += ["", f"trouble: {account.trouble}"]
    elif not account.told:
        lines += ["", "trouble: the log does not tell the story from the fault on"]
    return lines
