"""What of the last cut a part of the state can be compared with, and whether it still stands as it stood. Pure."""

from __future__ import annotations

from typing import Any

from lrm_actors.actors.checkpoints.leaves import BLOB, PAIRS, TEXT, Branch, Leaf, Node, flatten

BEFORE, BEHIND = 8, 32
"""How far a value of a list is looked for that does not stand where it stood."""


def comparable(old: Node | None, *, is_map: bool) -> Branch | None:
    """What a container was cut into, if it was one of the same sort: a map is nothing to an array."""
    if type(old) is not Branch or old.layout in {BLOB, TEXT}:
        return None
    return old if (type(old.nodes) is dict or old.layout == PAIRS) == is_map else None


def begins_with(node: Node, key: bytes) -> bool:
    """Whether a value stood under this very key: 1, True and 1.0 are equal, and are not the same."""
    head = node if type(node) is Leaf else node.head  # type: ignore[union-attr]  # a node is one or the other
    return head.data.startswith(key)


def stands_as_it_stood(old: Branch | None, head: Leaf, nodes: Any) -> bool:
    """Whether a container has as many values as it had, in the same order, and the very blocks that it had."""
    if old is None or head is not old.head:
        return False
    if type(nodes) is dict:
        return list(nodes) == list(old.nodes)
    return not old.width or all(flatten(one) == flatten(before) for one, before in zip(nodes, old.nodes, strict=True))


def place_of(node: Leaf, previous: list[Node], at: int) -> int | None:
    """Where a value stood before that does not stand where it stood."""
    data = getattr(node, "data", None)
    for place in range(max(at - BEFORE, 0), min(at + BEHIND, len(previous))):
        one = previous[place]
        if type(one) is Leaf and one.data == data:
            return place
    return None
