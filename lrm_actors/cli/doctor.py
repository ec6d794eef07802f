"""``lrm doctor``: whether anything is wrong with a log, the SQLite that reads it, or the place where it lies."""

from __future__ import annotations

import attrs
import click

from lrm_actors.cli import exits
from lrm_actors.cli.common import Request, on_a_log
from lrm_actors.cli.output import document, paint, say, say_line

_STYLES = {"ok": "good", "warning": "warn", "problem": "bad"}


@click.command(epilog="Exit code 4 when there is a problem; a warning is none.")
@on_a_log
@click.pass_context
def command(ctx: click.Context, *, request: Request) -> None:
    """Look for what is wrong with a log, or soon will be.

    Looks at SQLite, the file's settings, its owner, the mark beside it, the disk and the permissions. It reads no
    events: that is what verify does. Nothing is changed.
    """
    from eventstore.damage.diagnosis import doctor

    diagnosis = doctor(request.path())
    if request.json:
        findings = [attrs.asdict(finding) for finding in diagnosis.findings]
        document("doctor", {"path": diagnosis.path, "level": diagnosis.level, "findings": findings})
    else:
        for finding in diagnosis.findings:
            say_line(f"{paint(f'{finding.level:<8}', _STYLES[finding.level])} {finding.code}: {finding.what}")
            if finding.advice and finding.level != "ok":
                say_line(f"         try: {finding.advice}")
        bad = [finding for finding in diagnosis.findings if finding.level != "ok"]
        say(paint("nothing is wrong", "good") if not bad else paint(diagnosis.level, _STYLES[diagnosis.level]))
    ctx.exit(exits.BROKEN if diagnosis.level == "problem" else exits.OK)
