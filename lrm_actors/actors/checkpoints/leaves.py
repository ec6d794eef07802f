"""A packed state as a tree of leaves: byte strings along its structure which, one after the other, are the document.

What did not change since the last cut is the same leaf object, so that finding the change is comparing identities.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from eventstore.frozen import frozen

DIGEST_BYTES = 16
"""Of one leaf, and of a blob."""

EACH, BLOCKS, PAIRS, BLOB, TEXT = range(5)
"""How a container is cut: a leaf for each value, for so many of a list's values or of a dict's pairs, or as large bytes
or the pieces of a long text behind their head."""


class Leaf:
    """Some bytes of the document."""

    __slots__ = ("data", "digest", "has_key", "is_blob", "of")

    def __init__(self, data: bytes, of: Any = None, *, is_blob: bool = False, has_key: bool = False) -> None:
        self.data = data
        self.has_key = has_key
        """Whether it begins with the key of a value, and the value follows."""
        self.of = of
        """The immutable object that it was packed from, where it pays to know: while it is there, nothing changed."""
        self.is_blob = is_blob
        """Large bytes, kept once by their content."""
        self.digest = b""
        """Of its bytes, once it was asked to know it."""

    def know_digest(self) -> None:
        """Have the digest of its bytes."""
        if not self.digest:
            self.digest = digest_of(self.data)


class Branch:
    """A container that is too large for one leaf."""

    __slots__ = ("head", "layout", "nodes", "of", "width")

    def __init__(self, head: Leaf, layout: int, nodes: Any, of: Any = None, *, width: int = 0) -> None:
        self.head = head
        """Its key, if it has one, and how many values it holds."""
        self.layout = layout
        self.nodes: Any = nodes
        """A list, or a dict by key."""
        self.of = of
        """As of a leaf."""
        self.width = width
        """Values of a block."""


Node = Leaf | Branch


@frozen
class Cut:
    """A state as it was at one instant."""

    root: Node
    slices: int
    """It was cut in."""
    longest_ms: float
    """Of them."""
    took_ms: float
    """All of them."""
    missed: tuple[str, ...] = ()
    """Where a fast way would have missed a change, when it was checked."""
    changed_meanwhile: bool = False
    """A container had another size at the end than when it was cut: the host did not keep still, and this is torn."""


def digest_of(data: bytes | memoryview) -> bytes:
    """Of a leaf's bytes. SHA-256 cut short: processors have instructions for it, and it lets other threads run."""
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


def flatten(root: Node) -> list[Leaf]:
    """All leaves in the order of the document."""
    flat: list[Leaf] = []
    _append(root, flat)
    return flat


def _append(node: Node, flat: list[Leaf]) -> None:
    if type(node) is Leaf:
        flat.append(node)
        return
    assert type(node) is Branch
    flat.append(node.head)
    nodes: Iterable[Node] = node.nodes.values() if type(node.nodes) is dict else node.nodes
    for one in nodes:
        if type(one) is Leaf:
            flat.append(one)
        else:
            _append(one, flat)
