"""Cuts a long text into pieces: encoding it whole would hold the host's loop for longer than a slice."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

from lrm_actors.actors.checkpoints.leaves import TEXT, Branch, Leaf, Node
from lrm_actors.actors.checkpoints.plain import text_head
from lrm_actors.errors import NotCapturable

LONG_TEXT = 128 * 1024
"""Characters from which a text is cut into pieces."""
PIECE = 64 * 1024
"""Characters of a piece."""


def is_long_text(value: Any) -> bool:
    """Whether a value is a text that is to be cut into pieces."""
    return type(value) is str and len(value) >= LONG_TEXT


def cut_text(
    text: str, key: bytes, old: Node | None, until_s: Callable[[], float], where: Callable[[], str]
) -> Generator[None, None, Branch]:
    """The pieces of a text, those taken over that stand where they stood.

    Args:
        text: a long one.
        key: its own, packed, if it is in a dict.
        old: what was there before.
        until_s: when others are to be let in.
        where: says where it stands.

    Raises:
        NotCapturable: it has lone surrogates.
    """
    previous = old if type(old) is Branch and old.layout == TEXT else None
    before: list[Leaf] = [] if previous is None else previous.nodes
    pieces: list[Leaf] = []
    for begin in range(0, len(text), PIECE):
        try:
            data = text[begin : begin + PIECE].encode()
        except UnicodeEncodeError as error:
            raise NotCapturable(f"a text with lone surrogates at {where()} cannot be stored") from error
        place = len(pieces)
        is_known = place < len(before) and before[place].data == data
        pieces.append(before[place] if is_known else Leaf(data))
        if time.perf_counter() > until_s():
            yield
    head = key + text_head(sum(len(piece.data) for piece in pieces))
    if previous is not None and previous.head.data == head:
        return Branch(previous.head, TEXT, pieces, text)
    return Branch(Leaf(head), TEXT, pieces, text)
