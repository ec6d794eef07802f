"""A host whose state is edited in place, in every way that lists, dicts and large bytes can be."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import attrs

State = Any
WORDS = ("page", "click", "wait", "price", "login", "retry", "basket", "é", "日本", "")
PROSE = " ".join(random.Random(2).choices(WORDS, k=50_000))
"""Texts are parts of it: to make each anew would take longer than all the rest."""
PICTURE_BYTES = 17_000
"""Of a picture: above what is kept apart by its content."""
LONG = 30
"""Steps of a history at the start: with their texts more than one leaf's bytes."""
WIDE = 90
"""Keys of a wide dict: more than one block's."""


def shown(state: State) -> str:
    """What tells one state from another, the order of keys and the types of numbers included."""
    return repr(state)


@attrs.define
class Host:
    """Has a state, and edits it in place."""

    chance: random.Random
    state: State = attrs.field(init=False)
    paths: list[tuple[Any, ...]] = attrs.Factory(list)
    """What was changed since this was last emptied."""

    def __attrs_post_init__(self) -> None:
        self.state = self._new()

    def edit(self, kind: int) -> None:
        """One edit, of the kinds by their number; chance decides the rest."""
        if type(self.state) is not dict or "history" not in self.state:
            kind = REPLACE
        EDITS[kind % len(EDITS)](self)

    def spoil(self) -> None:
        """Change something everywhere: what a host does as soon as it may."""
        for _ in range(3):
            self.edit(self.chance.randrange(len(EDITS)))

    # Edits

    def append(self) -> None:
        history = self.state["history"]
        history.append(self._step())
        self._changed("history", len(history) - 1)

    def rewrite(self) -> None:
        history = self.state["history"]
        if not history:
            return self.append()
        index = self.chance.randrange(len(history))
        history[index]["text"] = self._text(self.chance.choice((3, 40, 400)))
        self._changed("history", index)
        return None

    def deep(self) -> None:
        self.state["memory"]["deep"]["er"]["list"].append({"n": self._number(), "deep": [[self._number()]]})
        self._changed("memory", "deep")

    def insert(self) -> None:
        history = self.state["history"]
        history.insert(self.chance.randrange(len(history) + 1), self._step())
        self._changed("history")

    def delete(self) -> None:
        history = self.state["history"]
        for _ in range(self.chance.choice((1, 1, 8))):
            if history:
                del history[self.chance.randrange(len(history))]
        self._changed("history")

    def reorder(self) -> None:
        self.chance.shuffle(self.state["history"])
        wide = self.state["wide"]
        key = self.chance.choice(list(wide) or ["none"])
        if key in wide:
            wide[key] = wide.pop(key)
        self._changed()

    def wide(self) -> None:
        wide = self.state["wide"]
        for _ in range(self.chance.choice((1, 5, 80))):
            wide[f"key {self.chance.randrange(3 * WIDE)}"] = self.chance.choice((self._number(), self._text(5)))
        if wide and self.chance.random() < 0.3:
            del wide[self.chance.choice(list(wide))]
        self._changed("wide")

    def picture(self) -> None:
        pictures = self.state["pictures"]
        if pictures and self.chance.random() < 0.4:
            if self.chance.random() < 0.5:
                pictures.append(pictures[self.chance.randrange(len(pictures))])  # the same content twice
            else:
                del pictures[self.chance.randrange(len(pictures))]
        else:
            pictures.append(self.chance.randbytes(PICTURE_BYTES + self.chance.randrange(3)))
        self._changed("pictures")

    def odd(self) -> None:
        values: tuple[Any, ...] = (
            2**70,
            -(2**63),
            1.5,
            -0.0,
            float("inf"),
            None,
            True,
            1,
            b"",
            b"ab",
            [],
            {},
            {1: 2, "1": 3, None: 4},
        )
        self.state["odd"] = [self.chance.choice(values) for _ in range(self.chance.randrange(5))]
        self._changed("odd")

    def turn(self) -> None:
        """A part becomes something else altogether, and back."""
        self.state["memory"] = self.chance.choice(
            ({"deep": {"er": {"list": []}}}, {"deep": {"er": {"list": [self._text(5000)] * 4}}, "more": self._text(9)})
        )
        self._changed("memory")

    def replace(self) -> None:
        self.state = self.chance.choice((self._new, self._new, dict, list, lambda: 7, lambda: self._text(20_000)))()
        self._changed()

    # Making

    def _new(self) -> State:
        return {
            "history": [self._step() for _ in range(LONG)],
            "memory": {"deep": {"er": {"list": []}}},
            "wide": {f"key {number}": number for number in range(WIDE)},
            "pictures": [],
            "odd": None,
        }

    def _step(self) -> dict[str, Any]:
        return {"text": self._text(self.chance.choice((3, 100, 300))), "n": self._number(), "done": [True, None]}

    def _text(self, words: int) -> str:
        begin = self.chance.randrange(len(PROSE) - 6 * words)
        return PROSE[begin : begin + 6 * words]

    def _number(self) -> float:
        return self.chance.choice((self.chance.randrange(300), self.chance.random(), -self.chance.randrange(2**40)))

    def _changed(self, *path: Any) -> None:
        self.paths.append(path)


EDITS: tuple[Callable[[Host], Any], ...] = (
    Host.append,
    Host.append,
    Host.rewrite,
    Host.rewrite,
    Host.deep,
    Host.insert,
    Host.delete,
    Host.reorder,
    Host.wide,
    Host.picture,
    Host.odd,
    Host.turn,
    Host.replace,
)
REPLACE = len(EDITS) - 1
