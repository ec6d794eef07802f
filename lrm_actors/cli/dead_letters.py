"""``lrm dead-letters``: the messages that nobody handled, and sending one again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrm_actors.cli.common import ListingGroup, Request, on_a_log, with_options
from lrm_actors.cli.output import clock_time, count, document, iso_time, say_line, table, talk

if TYPE_CHECKING:
    from lrm_actors.inspect.dead_letters import Listed, Listing

SHOWN = 60
"""Characters of a command in the table."""


@click.group(cls=ListingGroup, invoke_without_command=True, subcommand_metavar="[LOG] | COMMAND [ARGS]...")
@with_options
@click.pass_context
def command(ctx: click.Context, *, request: Request) -> None:
    """List the messages that nobody handled, or send one again.

    A message becomes a dead letter when it has failed or hung as often as its actor allows, or when its actor was given
    up or stopped before it was handled. Without a command of its own it lists them.
    """
    if ctx.invoked_subcommand is None:
        _list(request, every=False)


@command.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that were sent again, or are to be.")
@on_a_log
def list_them(*, every: bool, request: Request) -> None:
    """List them, oldest first, with the wired events that were skipped."""
    _list(request, every=every)


@command.command("resend", epilog="Exit code 3 when there is no such letter, 1 when it cannot be sent again.")
@click.argument("letter")
@on_a_log
def resend(*, letter: str, request: Request) -> None:
    """Send the dead letter LETTER again: its actor gets the same command once more.

    The running agent is asked to do it. When none is alive, the log keeps that it is wanted, and the next start does
    it. Either way it is carried out at most once.
    """
    from lrm_actors.hosting.owner.asking import ask_owner
    from lrm_actors.hosting.owner.errors import NoOwner

    path = request.path()
    with request.reader(path) as reader:
        _check(reader, letter)
    try:
        ask_owner(path, "resend", {"letter": letter})
        when = "now"
    except NoOwner:
        _ask_for(path, letter, request)
        when = "at the next start"
    if request.json:
        document("dead-letters.resend", {"letter": letter, "sent": when})
    else:
        say_line(f"{letter} is sent again {when}")


def _check(reader: Any, letter: str) -> None:
    from lrm_actors.domain.dead_letters import REQUESTED, RESENT
    from lrm_actors.errors import DeadLetterNotFound, NotResendable
    from lrm_actors.inspect.dead_letters import letter_in

    found = letter_in(reader, letter)
    if found is None:
        raise DeadLetterNotFound(letter)
    if found.status == RESENT:
        raise NotResendable(letter, "it was handled already")
    if found.status == REQUESTED:
        raise NotResendable(letter, "that is asked for already")
    if not found.can_be_resent:
        raise NotResendable(letter, "it holds what cannot be stored, and only its text is kept")


def _ask_for(path: Path, letter: str, request: Request) -> None:
    """Put on record that it is wanted, as the log's owner."""
    from eventstore.opening import open_store
    from eventstore.records import Batch, NewEvent, StreamWrite
    from lrm_actors.domain.dead_letters import STREAM, ResendRequested
    from lrm_actors.inspect.folds import declare_ours

    declare_ours()
    with open_store(path, unknown="placeholder", key=request.owners_key(path)) as store:
        _check(store, letter)  # its owner may have sent it meanwhile
        store.append(Batch(writes=(StreamWrite(STREAM, (NewEvent(ResendRequested(letter)),)),)))


def _list(request: Request, *, every: bool) -> None:
    from lrm_actors.inspect.dead_letters import dead_letters

    with request.reader() as reader:
        listing = dead_letters(reader, every=every)
    if request.json:
        document("dead-letters", _data(listing))
        return
    if not listing.letters and not listing.skipped:
        say_line("no dead letters")
    table(_row(listed) for listed in listing.letters)
    for position, wall_s, event in listing.skipped:
        say_line(
            f"#{position}  {clock_time(wall_s)}  {event.consumer} went on without {event.type} #{event.position}:"
            f" {event.reason}"
        )
    if listing.dropped:
        talk(f"{count(listing.dropped, 'more message')} died at once and could not be kept")


def _row(listed: Listed) -> tuple[str, ...]:
    letter = listed.letter
    why = f"{letter.reason}: {letter.error}" if letter.error else letter.reason
    about = "" if letter.can_be_resent else " (text only)"
    shown = letter.shown if len(letter.shown) <= SHOWN else f"{letter.shown[: SHOWN - 1]}…"
    return (
        letter.letter,
        f"#{listed.position}",
        clock_time(listed.wall_s),
        letter.to,
        letter.status,
        f"{shown}{about}",
        f"{why} ({letter.problem})" if letter.problem else why,
    )


def _data(listing: Listing) -> dict[str, Any]:
    return {
        "letters": [
            {
                "letter": one.letter.letter,
                "position": one.position,
                "time": iso_time(one.wall_s),
                "to": one.letter.to,
                "command": one.letter.command,
                "shown": one.letter.shown,
                "reason": one.letter.reason,
                "error": one.letter.error,
                "message": one.letter.message,
                "attempts": one.letter.attempts,
                "status": one.letter.status,
                "problem": one.letter.problem,
                "can_be_resent": one.letter.can_be_resent,
            }
            for one in listing.letters
        ],
        "skipped": [
            {
                "position": position,
                "time": iso_time(wall_s),
                "consumer": event.consumer,
                "event": event.position,
                "type": event.type,
                "attempts": event.attempts,
                "reason": event.reason,
            }
            for position, wall_s, event in listing.skipped
        ],
        "dropped": listing.dropped,
    }
