"""Two actors of your own on one log: a reading list, and a shelf that hears of every finished book.

Run it twice: the second run goes on where the first one was.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from eventstore import event, open_store
from lrm_actors import ActorSystem, Command, Context, Decision, Spec, Wire, then
from lrm_actors.errors import CommandRefused

# The reading list: state, commands, events, decide, evolve


@attrs.frozen
class ListState:
    """What is still to be read."""

    books: tuple[str, ...] = ()


@attrs.frozen
class AddBook(Command):
    """The reply is how many books are on the list."""

    title: str


@attrs.frozen
class FinishBook(Command):
    """Take a book off the list."""

    title: str


@event("reading.book_added", 1)
class BookAdded:
    """A book is on the list."""

    title: str


@event("reading.book_finished", 1)
class BookFinished:
    """A book is read."""

    title: str


def decide_list(state: ListState, command: Command, ctx: Context) -> Decision:
    """Say what shall happen; change nothing."""
    match command:
        case AddBook(title) if title in state.books:
            return then(reply=len(state.books))
        case AddBook(title):
            return then(BookAdded(title), reply=len(state.books) + 1)
        case FinishBook(title) if title in state.books:
            return then(BookFinished(title))
    raise CommandRefused(f"cannot {command}", hint="add the book first")


def evolve_list(state: ListState, event: object) -> ListState:
    """Say what an event changes; decide nothing."""
    match event:
        case BookAdded(title):
            return attrs.evolve(state, books=(*state.books, title))
        case BookFinished(title):
            return attrs.evolve(state, books=tuple(book for book in state.books if book != title))
    return state


# The shelf: it is told by the wiring, and knows nothing of the list


@attrs.frozen
class ShelfState:
    """How many books stand on it."""

    count: int = 0


@attrs.frozen
class PutUp(Command):
    """Put a book on the shelf."""

    title: str


@event("shelf.book_put_up", 1)
class BookPutUp:
    """A book stands on the shelf."""

    title: str


def decide_shelf(state: ShelfState, command: Command, ctx: Context) -> Decision:
    """Say what shall happen."""
    match command:
        case PutUp(title):
            return then(BookPutUp(title))
    raise CommandRefused(f"the shelf does not know {command}")


def evolve_shelf(state: ShelfState, event: object) -> ShelfState:
    """Say what an event changes."""
    return ShelfState(state.count + 1) if isinstance(event, BookPutUp) else state


READING_LIST = Spec("reading", ListState(), decide_list, evolve_list)
SHELF = Spec("shelf", ShelfState(), decide_shelf, evolve_shelf)
WIRES = (Wire(BookFinished, to="shelf", make=lambda event, record: PutUp(event.title)),)


def main(directory: Path = Path(".lrm/reading")) -> None:
    """Add two books, finish one, and see it on the shelf."""
    with open_store(directory / "lrm.db") as store:
        system = ActorSystem(store, [READING_LIST, SHELF], wires=WIRES)
        system.start()
        head = store.head
        system.ask_blocking("reading", AddBook("Middlemarch"))
        system.ask_blocking("reading", AddBook("Walden"))
        system.ask_blocking("reading", FinishBook("Middlemarch"))
        for record in store.tail(after=head):
            if record.type == "shelf.book_put_up":
                print(f"{record.event.title} is book {record.version} on the shelf, because of position {record.cause}")
                break
        print("to read:", *system.state("reading").books)
        raise SystemExit(system.stop().exit_code)


if __name__ == "__main__":
    main()
