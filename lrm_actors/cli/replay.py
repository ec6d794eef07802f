"""``lrm replay``: what each actor knew at any position, and what the mode would have been by other thresholds."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from lrm_actors.cli.common import Request, on_a_log, record_data, record_line, to_position
from lrm_actors.cli.output import count, document, paint, say, say_line, table
from lrm_actors.cli.what_if import replay_what_if

if TYPE_CHECKING:
    from lrm_actors.inspect.replay import Replayed

CELL_WIDTH = 140


@click.command()
@click.option(
    "--to", "position", callback=to_position, metavar="POSITION", help="Right after this event.  [default: the newest]"
)
@click.option("--actor", "actors", multiple=True, metavar="NAME", help="Only this actor; may be given again.")
@click.option(
    "--load", "modules", multiple=True, metavar="MODULE", help="A module that holds the Specs of your own actors."
)
@click.option("--no-snapshots", is_flag=True, help="Fold every event, from the first one on.")
@click.option(
    "--what-if",
    "what_if",
    multiple=True,
    metavar="NAME=VALUE",
    help="Judge the samples again by another setting, cpu_threshold_warning=70; may be given again.",
)
@on_a_log
def command(
    *,
    position: int | None,
    actors: tuple[str, ...],
    modules: tuple[str, ...],
    no_snapshots: bool,
    what_if: tuple[str, ...],
    request: Request,
) -> None:
    """Show what each actor knew at any position.

    Its events are folded again by the functions that folded them then. Nothing is done again: no effect is run. Of
    actors that are not ours, without --load, the events are shown.

    With --what-if, show which operation modes there were, and which there would have been by other thresholds.
    """
    if what_if:
        if actors or modules:
            raise click.UsageError("--what-if is about the operation mode: leave out --actor and --load")
        replay_what_if(request, what_if, position)
        return
    from eventstore.errors import PositionNotFound
    from lrm_actors.inspect.errors import TargetNotFound
    from lrm_actors.inspect.folds import Folds
    from lrm_actors.inspect.replay import state_at, states_at

    if modules and "" not in sys.path:
        sys.path.insert(0, "")  # as with python -m: a module is looked for here first
    folds = Folds().with_modules(modules)
    with request.reader() as reader:
        head = reader.head
        at = head if position is None else position
        if not reader.first - 1 <= at <= head:
            raise PositionNotFound(at, reader.first, head)
        if actors:
            known = {info.name for info in reader.streams()}
            for name in actors:
                if name not in known:
                    raise TargetNotFound(name, f"no such actor; there are {', '.join(sorted(known)) or 'none'}")
            found = [state_at(reader, name, at, folds=folds, snapshots=not no_snapshots) for name in actors]
        else:
            found = list(states_at(reader, at, folds=folds, snapshots=not no_snapshots))
    if request.json:
        document("replay", {"position": at, "actors": {one.stream: _data(one) for one in found}})
        return
    say(f"after #{at} of #{head}")
    for one in found:
        _print(one)


def _data(one: Replayed) -> dict[str, Any]:
    from lrm_actors.inspect.replay import state_data

    return {
        "version": one.version,
        "last_position": one.last_position,
        "folded": one.folded,
        "state": state_data(one.state) if one.folded else None,
        "from_snapshot": one.from_snapshot,
        "note": one.note,
        "events": [record_data(record) for record in one.events],
    }


def _print(one: Replayed) -> None:
    from lrm_actors.inspect.replay import state_data

    last = f", the last one #{one.last_position}" if one.last_position else ""
    say()
    say_line(f"{paint(one.stream, 'name')}  {count(one.version, 'event')}{last}")
    if one.note:
        say_line(f"  ({one.note})")
    if one.folded:
        state = state_data(one.state)
        rows = state.items() if isinstance(state, dict) else [("state", state)]
        table([(name, _short(value)) for name, value in rows], indent="  ")
    for record in one.events:
        say_line(f"  {record_line(record)}")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= CELL_WIDTH else f"{text[: CELL_WIDTH - 1]}…"
