"""What the tests of the scenarios share."""

from __future__ import annotations

from pathlib import Path

from lrm_actors.demo.scenarios.account import Account
from lrm_actors.demo.scenarios.running import run_scenario
from lrm_actors.inspect import open_log


def recovered(name: str, directory: Path, *, times: int = 1) -> Account:
    """The account of a scenario with so many faults that was recovered from, with a log sound to the last event."""
    said: list[str] = []
    account = run_scenario(name, said.append, directory=directory)
    assert account.ok, (account.trouble, said, account.story)
    assert len(account.entries) == len(said)
    assert [entry.after_s for entry in account.entries if entry.what == "broken"] == [0.0] * times
    reader = open_log(account.log)
    try:
        assert reader.verify().ok
        for entry in account.entries:  # whatever it claims, the log has it
            assert entry.position is None or reader.get(entry.position).position == entry.position
    finally:
        reader.close()
    return account


def story(account: Account) -> str:
    """Everything that ``lrm why`` told."""
    return "\n".join(line for chapter in account.story for line in (*chapter.lines, chapter.began))
