"""``lrm recover``: what a recovery would give now, from which checkpoint and why, without a running host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import click

from lrm_actors.cli import exits
from lrm_actors.cli.checkpoint_output import (
    checkpoints_in,
    find,
    flags,
    record_of,
    sizes,
    step_line,
    steps_in,
    write_document,
)
from lrm_actors.cli.common import Request, on_a_log
from lrm_actors.cli.finding import looks_like_log
from lrm_actors.cli.output import count, day_time, document, paint, say, say_line, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrm_actors.hosting.checking import Checked
    from lrm_actors.hosting.recovery import Recovery

STEPS_SHOWN = 20
"""Steps told one by one; the newest of more."""


@click.command(
    epilog="Exit codes: 0 there is a checkpoint to go on from, 3 there is none, or none of this id, 4 it is damaged, "
    "or all are; with --check: 0 the newest can be restored, 3 there is none, 4 it cannot."
)
@click.argument("checkpoint_id", metavar="[ID]", required=False)
@click.option("--check", is_flag=True, help="Read every checkpoint, and fail when the newest cannot be restored.")
@click.option("--output", metavar="FILE", help="Write the state there, as 'lrm checkpoints export'; '-' for stdout.")
@on_a_log
@click.pass_context
def command(
    ctx: click.Context, *, checkpoint_id: str | None, check: bool, output: str | None, request: Request
) -> None:
    """Say what a recovery would give now: which checkpoint, why that one, and what comes after it.

    Nothing is changed, and no host is needed: the agent restores itself with recover_from_checkpoint(). ID is an id
    that 'lrm checkpoints' lists, the end of one, or 'latest'; without it, the best there is, as the agent would take.
    """
    if checkpoint_id is not None and request.given is None and looks_like_log(checkpoint_id):
        request, checkpoint_id = attrs.evolve(request, given=checkpoint_id), None
    from lrm_actors.hosting.checking import check_checkpoints
    from lrm_actors.hosting.reading import steadily
    from lrm_actors.hosting.recovery import choose
    from lrm_actors.inspect.health import owner_of

    path = request.path()
    with request.reader(path) as reader:
        steps = steps_in(reader, alive=owner_of(path).alive)
        wanted = None if checkpoint_id is None else find(reader, checkpoint_id).checkpoint_id
        recovery = steadily(
            lambda: checkpoints_in(reader),
            lambda kept: choose(reader, kept, steps, wanted),
            found=lambda choice: bool(choice.damaged),
        ).recovery
        checked: tuple[Checked, ...] = ()
        if check:
            checked = steadily(
                lambda: checkpoints_in(reader),
                lambda kept: check_checkpoints(reader, kept),
                found=lambda found: any(not one.ok for one in found),
            )
    if output is not None and recovery.document is not None:
        write_document(output, recovery.document)
    told = {**_data(recovery), "output": output if recovery.document is not None else None}
    if request.json and output != "-":
        document("recover", {**told, **({"checked": [attrs.asdict(one) for one in checked]} if check else {})})
    elif output != "-":
        _say(recovery)
        _say_checked(checked, check=check)
    ctx.exit(_exit_of_check(checked) if check else _exit_of(recovery))


def _exit_of(recovery: Recovery) -> int:
    if recovery.checkpoint_id is not None:
        return exits.OK
    return exits.BROKEN if recovery.reasons else exits.NOT_FOUND


def _exit_of_check(checked: Sequence[Checked]) -> int:
    if not checked:
        return exits.NOT_FOUND
    return exits.OK if checked[-1].ok else exits.BROKEN


def _data(recovery: Recovery) -> dict[str, Any]:
    doubt = recovery.in_doubt
    return {
        "checkpoint_id": recovery.checkpoint_id,
        "why": recovery.why,
        "position": recovery.position,
        "state_version": recovery.state_version,
        "recovery_hints": list(recovery.recovery_hints),
        "record": None if recovery.info is None else record_of(recovery.info),
        "passed_over": [{"checkpoint_id": one, "why": why} for one, why in recovery.reasons.items()],
        "half_step": recovery.half_step,
        "steps_removed": recovery.steps_removed,
        "steps": [attrs.asdict(step) for step in recovery.steps],
        "in_doubt": None if doubt is None else {"step": doubt.step, "name": doubt.name, "attempt": doubt.attempt},
    }


def _say(recovery: Recovery) -> None:
    info = recovery.info
    if info is None:
        say(paint("no checkpoint: the steps run from the beginning", "warn"))
        rows = [("why", recovery.why)]
    else:
        say_line(f"a recovery goes on from {paint(info.checkpoint_id, 'name')}")
        rows = [
            ("why", recovery.why),
            ("kind", f"{info.kind} {flags(info)}".rstrip()),
            ("reason", info.reason),
            ("taken", day_time(info.taken_at_s)),
            ("size", sizes(info)),
            ("version", f"{recovery.state_version} of the host's state"),
            ("hints", "; ".join(recovery.recovery_hints) or "none"),
        ]
    if (half := recovery.half_step) is not None:
        ended = "was committed later" if any(step.step == half for step in recovery.steps) else "was not committed"
        rows.append(("", paint(f"what step {half} had changed, which {ended}, is in it", "warn")))
    rows += [("passed over", f"{one}: {why}") for one, why in recovery.reasons.items()]
    steps = recovery.steps
    rows.append(("steps after", count(len(steps), "step") if steps else "none"))
    if recovery.steps_removed:
        rows.append(("", paint("older ones since the checkpoint are no longer in the log", "warn")))
    rows += [("", step_line(step.position, None, step.step, step.name)) for step in steps[-STEPS_SHOWN:]]
    doubt = recovery.in_doubt
    told = "nothing" if doubt is None else f"step {doubt.step}  {doubt.name}  attempt {doubt.attempt}"
    rows.append(("in doubt", told))
    table(rows, indent="  ")


def _say_checked(checked: Sequence[Checked], *, check: bool) -> None:
    if not check:
        return
    for one in checked:
        if not one.ok:
            say_line(paint(f"{one.checkpoint_id} cannot be restored: {one.why}", "bad"))
    bad = sum(not one.ok for one in checked)
    newest = "" if not checked else ", the newest one too" if checked[-1].ok else ", and not the newest one"
    say(f"{count(len(checked), 'checkpoint')} read, {len(checked) - bad} can be restored{newest}")
