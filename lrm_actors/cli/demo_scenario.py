"""``lrm demo --scenario``: one fault, what the system noticed, chose and did about it, and whether that helped."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from lrm_actors.cli.exits import FAILURE, INTERRUPTED, OK
from lrm_actors.cli.output import json_document, paint, say, say_line, table, talk

if TYPE_CHECKING:
    from lrm_actors.demo.scenarios.account import Account

LIST, ALL = "list", "all"
TERMINATED = 128 + signal.SIGTERM
STYLES = {"✗": "bad", "!": "warn", "↻": "good", "✓": "name", "~": "dim", "=": "name"}
"""How a live line is shown, by what it begins with."""


def show_scenario(ctx: click.Context, name: str, keep: Path | None, *, as_json: bool) -> NoReturn:
    """Run one scenario or all of them, or list them, and exit."""
    from lrm_actors.demo.scenarios.running import SCENARIOS, run_scenario

    if name == LIST:
        _list(as_json=as_json)
        ctx.exit(OK)
    if name not in SCENARIOS and name != ALL:
        text = f"there is no scenario {name!r}. Try one of: {', '.join(SCENARIOS)}, or {ALL}"
        raise click.BadParameter(text, param_hint="--scenario")
    check_keep(keep)
    accounts = []
    # Ended like any other way: processes of its own and a small disk are not to be left behind.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        for scenario in SCENARIOS.values() if name == ALL else (SCENARIOS[name],):
            say(f"{scenario.name}: {scenario.fault}; the system {scenario.recovery}.", err=as_json)
            account = run_scenario(scenario.name, lambda line: say(painted(line), err=as_json), directory=keep)
            accounts.append(account)
            if not as_json:
                _show(account, log_kept=keep is not None or not account.ok)
                say(err=as_json)
    except KeyboardInterrupt:
        talk("interrupted; the scenario's processes are gone")
        ctx.exit(INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, before)
    documents = [account.to_data(log_kept=keep is not None or not account.ok) for account in accounts]
    well = sum(account.ok for account in accounts)
    if name == ALL:
        if as_json:
            json_document({"schema": "lrm.scenario-runs/1", "ok": well == len(accounts), "runs": documents})
        else:
            say(f"{well} of {len(accounts)} recovered from")
    elif as_json:
        json_document(documents[0])
    ctx.exit(OK if well == len(accounts) else FAILURE)


def painted(line: str) -> str:
    """A live line, ``  2.1 s  ✗ …``, in the style of its mark."""
    time_s, between, text = line.partition(" s  ")
    return f"{time_s}{between}{paint(text, STYLES[text[0]])}" if text[:1] in STYLES else line


def check_keep(keep: Path | None) -> None:
    """Make the directory in which logs are kept.

    Raises:
        BadParameter: it cannot be used, with what to try.
    """
    if keep is None:
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        used = any(keep.iterdir())
    except OSError as error:
        raise click.BadParameter(f"{error}. Try: another directory", param_hint="--keep") from error
    if used:
        raise click.BadParameter(f"{keep} is not empty. Try: a new directory", param_hint="--keep")


def _list(*, as_json: bool) -> None:
    from lrm_actors.demo.scenarios.running import SCENARIOS

    if as_json:
        data = [{"name": one.name, "fault": one.fault, "recovery": one.recovery} for one in SCENARIOS.values()]
        json_document({"schema": "lrm.scenarios/1", "scenarios": data})
    else:
        table((one.name, one.fault, f"the system {one.recovery}") for one in SCENARIOS.values())


def _show(account: Account, *, log_kept: bool) -> None:
    from lrm_actors.demo.scenarios.showing import lines_of

    for line in lines_of(account):
        say_line(line)
    say()
    if log_kept:
        say(f"The log is kept: {account.log}")
        for chapter in account.story:
            say(f"try: lrm why {chapter.target} --log {account.log}")
    else:
        say(f"The log is gone. try: lrm demo --chaos --scenario {account.scenario} --keep DIRECTORY")
    ending = paint("RECOVERED", "good") if account.ok else paint("NOT RECOVERED", "bad")
    say(f"\n{ending} after {account.duration_s:.1f} s")
