"""Whether what an actor decides, knows and is told can be stored, and how it comes back. Talks to the codec only."""

from __future__ import annotations

from typing import TypeVar

from eventstore.codec import decode_events, decode_state, encode_event, encode_state, encode_value
from eventstore.errors import EventRefused, NotAnEvent
from lrm_actors.domain.behavior import Command
from lrm_actors.testing.checks import CheckFailed

S = TypeVar("S")


def copy_of(state: S) -> S:
    """An equal state that shares nothing with this one."""
    return decode_state(encode_state(state), type(state))


def check_state_storable(name: str, state: object) -> None:
    """See that the state of an actor of this name can be kept.

    Raises:
        CheckFailed: ``state-not-storable``.
    """
    try:
        encode_state(state)
    except EventRefused as error:
        raise CheckFailed("state-not-storable", name, str(error)) from error


def check_reply_storable(name: str, reply: object) -> None:
    """See that a reply of it can be kept.

    Raises:
        CheckFailed: ``reply-not-storable``.
    """
    try:
        encode_value(reply)
    except EventRefused as error:
        raise CheckFailed("reply-not-storable", name, str(error)) from error


def event_through_codec(name: str, fact: object) -> object:
    """An event of it as it comes back from the log.

    Raises:
        CheckFailed: ``event-not-storable``.
    """
    try:
        kind, data = encode_event(fact)
    except (EventRefused, NotAnEvent) as error:
        raise CheckFailed("event-not-storable", name, str(error)) from error
    (back,) = decode_events(0, kind.name, kind.version, data)
    return back


def command_through_codec(name: str, command: Command, *, needed: bool) -> Command:
    """A command of it as it would come back from where it was kept; itself, where it cannot be kept.

    Raises:
        CheckFailed: ``command-not-storable``, where it is ``needed`` that it can be.
    """
    try:
        return decode_state(encode_state(command), type(command))
    except EventRefused as error:
        if needed:
            raise CheckFailed("command-not-storable", name, str(error)) from error
        return command
