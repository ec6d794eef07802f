"""``lrm demo``: watch an agent live through faults and ``kill -9``, and see whether anything was lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrm_actors.cli.demo_scenario import check_keep, painted, show_scenario
from lrm_actors.cli.exits import FAILURE, INTERRUPTED, OK
from lrm_actors.cli.output import paint, say, say_line, talk

if TYPE_CHECKING:
    from lrm_actors.demo.run import Demo
    from lrm_actors.demo.verdict import Verdict

SHAPING = ("seed", "rounds", "url", "interval")
"""Options that shape the long demo alone."""
REPORT_LINES = 8


@click.command(
    epilog="Exit codes: 0 nothing acknowledged was lost and the report is right, or the one fault was recovered from; "
    "1 not so, 2 wrong usage, 130 Ctrl-C."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Fixes which harm is done when.")
@click.option("--calm", is_flag=True, help="Do no harm.")
@click.option("--rounds", type=click.IntRange(1, 20), help="How often the site is visited.  [default: 4, with --url 6]")
@click.option(
    "--url", help="Watch this site of yours; harm is done to the demo's own processes only, never to the site."
)
@click.option("--interval", type=click.FloatRange(0.1, 3600), default=3.0, help="With --url: seconds between rounds.")
@click.option("--chaos", is_flag=True, help="Do harm. It is done anyway, unless you say --calm.")
@click.option(
    "--scenario",
    metavar="NAME",
    help="Show one fault and its recovery instead, or 'all' of them; 'list' tells which there are.",
)
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep the logs in this directory.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, the live lines on stderr.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    seed: int,
    calm: bool,
    rounds: int | None,
    url: str | None,
    interval: float,
    chaos: bool,
    scenario: str | None,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Show an agent that survives.

    A real agent watches a web site for changes. Its process is killed, its browser is killed and frozen, its site hangs
    and fails; each time the system brings it back, and the log says why. At the end its report is compared with that of
    an undisturbed run.

    With --scenario it is one fault that is shown, and what the system notices, chooses and does about it.
    """
    if calm and (chaos or scenario is not None):
        raise click.UsageError("--calm does no harm. Try: without --calm")
    as_json = as_json or bool(getattr(ctx.obj, "json", False))
    if scenario is not None:
        given = [name for name in SHAPING if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE]
        if given:
            raise click.UsageError(f"--{given[0]} is not for a single scenario. Try: without it")
        show_scenario(ctx, scenario, keep, as_json=as_json)
    from lrm_actors.demo.run import Demo, run

    rounds = rounds or (4 if url is None else 6)
    demo = Demo(seed=seed, rounds=rounds, calm=calm, url=url, interval_s=interval, directory=keep)
    _check(demo)
    try:
        _announce(demo, as_json=as_json)
        verdict = run(demo, lambda line: say(painted(line), err=as_json))
    except KeyboardInterrupt:
        talk("interrupted; the demo's processes are gone")
        ctx.exit(INTERRUPTED)
    if as_json:
        click.echo(json.dumps(verdict.to_data(log_kept=keep is not None or not verdict.ok), indent=2))
    else:
        _show(verdict, keep)
    ctx.exit(OK if verdict.ok else FAILURE)


def _check(demo: Demo) -> None:
    """Refuse at once what cannot go well.

    Raises:
        BadParameter: with what to try.
    """
    try:
        demo.plan()
    except ValueError as error:
        raise click.BadParameter(f"{error}. Try: more rounds, or --calm", param_hint="--rounds") from error
    check_keep(demo.directory)
    if demo.url is not None:
        from lrm_actors.demo.run import THEIR_TIMEOUT_S
        from lrm_actors.demo.worker import fetch

        page = fetch(demo.url, THEIR_TIMEOUT_S)
        if "error" in page:
            text = f"{demo.url} cannot be fetched: {page['message']}. Try: the address in a browser"
            raise click.BadParameter(text, param_hint="--url")


def _announce(demo: Demo, *, as_json: bool) -> None:
    harm = "nothing happens to it" if demo.calm else f"seed {demo.seed}"
    site = "a site of its own on this machine" if demo.url is None else demo.url
    say(f"An agent watches {site} for changes, {demo.rounds} rounds; {harm}.", err=as_json)
    for planned in demo.plan():
        when = f"from step {planned.step}, after {planned.offset_s:.3f} s"
        say(f"  planned {planned.number}: {planned.kind.value}, {when}", err=as_json)


def _show(verdict: Verdict, keep: Path | None) -> None:
    from lrm_actors.demo.table import render

    say()
    found = verdict.watched.report["lines"] if verdict.watched.report is not None else ["nothing"]
    say("what the agent reports:")
    for line in found[:REPORT_LINES]:
        say_line(f"  {line}")
    if len(found) > REPORT_LINES:
        say(f"  … and {len(found) - REPORT_LINES} lines more, all of them with --json")
    say()
    for line in render(verdict.table) if verdict.table else ["no faults were injected"]:
        say(line)
    say()
    ledger, comparison = verdict.ledger, verdict.comparison
    say(f"{ledger.acknowledged} steps acknowledged, {len(ledger.missing)} of them missing from the log")
    say(f"{len(ledger.repeated)} steps repeated, {len(ledger.unreported)} of them without a word in the log")
    say(f"{comparison.explained} restarts and breaker openings explained, {len(comparison.problems)} wrongly")
    other = "the undisturbed run's" if verdict.own_site else "the one recomputed from the responses in the log"
    say(f"the report {'equals' if verdict.same_report else 'DIFFERS from'} {other}")
    for problem in comparison.problems:
        say(f"problem: {problem.what}: {problem.detail}")
    for trouble in verdict.troubles:
        say(f"trouble: {trouble}")
    if verdict.watched.not_injected:
        say(f"{verdict.watched.not_injected} planned faults were not reached")
    if keep is not None or not verdict.ok:
        log = verdict.watched.log
        say(f"\nThe log is kept: {log}")
        say(f"try: lrm why restart --log {log}")
        say(f"try: lrm why breaker site --log {log}")
    else:
        say("\nThe log is gone. try: lrm demo --keep DIRECTORY, then lrm why restart --log DIRECTORY/demo")
    ending = paint("OK", "good") if verdict.ok else paint("NOT OK", "bad")
    say(f"\n{ending} after {verdict.duration_s:.1f} s")
