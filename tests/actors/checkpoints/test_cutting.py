"""Cutting a state: the leaves are the packed state, what did not change is the same leaf, and slices are short."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import random
from collections.abc import Callable
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.actors.checkpoints import cutting, sizes, values
from lrm_actors.actors.checkpoints.cutting import Cutter
from lrm_actors.actors.checkpoints.leaves import Branch, Cut, Leaf, flatten
from lrm_actors.actors.checkpoints.marking import IDENTITY, MARKS, marks_of
from lrm_actors.actors.checkpoints.plain import pack, unpack
from lrm_actors.errors import NotCapturable
from tests.actors.checkpoints.kit import document

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(max_size=30),
)
keys = st.one_of(st.text(max_size=4), st.integers(-5, 5), st.booleans(), st.none())
plain = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(keys, inner, max_size=6)),
    max_leaves=40,
)


TINY = {
    "SPLIT_BYTES": 60, "BLOCK_BYTES": 200, "BLOB_BYTES": 40, "WIDE": 4, "WIDEST": 4, "FEW": 8, "WORTH_A_LEAF": 30,
}  # fmt: skip


def agent(steps: int, text: int = 400) -> dict[str, Any]:
    """A state large enough to be cut into many leaves."""
    return {
        "task": "watch",
        "history": [{"n": n, "dom": f"{n} " * (text // 3), "ok": True} for n in range(steps)],
        "memory": {f"fact {n}": {"value": "x" * 50, "seen": [n]} for n in range(200)},
        "numbers": list(range(3000)),
    }


def cut_in_slices(cutter: Cutter, state: Any, between: Callable[[], object] = lambda: None) -> Cut:
    """All slices of a cut, and something in between."""
    walk = cutter.in_slices(state)
    while True:
        try:
            next(walk)
        except StopIteration as done:
            made: Cut = done.value
            return made
        between()


@given(plain, plain)
def test_a_cut_is_the_packed_state_whatever_was_cut_before(before: Any, after: Any) -> None:
    """Any state after any other: the leaves, one after the other, are the state, and it comes back."""
    first = Cutter().at_once({"a": before, "b": [before]})
    for state in ({"a": after, "b": [before]}, {"b": [after, before]}, [after], {"a": before}):
        made = Cutter(first.root).at_once(state)
        again = unpack(document(made.root))
        assert repr(state) == repr(again)


@pytest.mark.parametrize("small", [False, True], ids=["as it is", "with tiny leaves"])
def test_any_history_of_edits_is_followed(small: bool, release: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Insertions, removals, changes deep and shallow, keys renamed: each cut on the one before is the state."""
    if small:  # so that every way of cutting a container is met
        for name, value in (
            ("SPLIT_BYTES", 60),
            ("BLOCK_BYTES", 200),
            ("BLOB_BYTES", 40),
            ("WIDE", 4),
            ("FEW", 8),
            ("WORTH_A_LEAF", 30),
        ):
            monkeypatch.setattr(sizes, name, value)
    seeds = 300 if release else 25
    for seed in range(seeds):
        chance = random.Random(seed)
        state: Any = {"list": [], "dict": {}, "wide": list(range(30)), "deep": {"er": {"still": [[1], [2]]}}}
        root = None
        for _ in range(20):
            for _ in range(chance.randrange(4)):
                _edit(state, chance)
            made = cut_in_slices(Cutter(root), state) if chance.random() < 0.5 else Cutter(root).at_once(state)
            assert document(made.root) == msgspec.msgpack.encode(state), seed
            root = made.root
    print(f"\nhistories of edits cut: {seeds}, 20 cuts each")


def _edit(state: Any, chance: random.Random) -> None:
    where = chance.choice([state, *_containers(state)])
    new = chance.choice(
        [
            1,
            None,
            "text" * chance.randrange(40),
            b"\0" * chance.randrange(90),
            [],
            {},
            [1, [2]],
            {"k": {"v": 1}},
            [{"a": n} for n in range(12)],
        ]
    )
    if isinstance(where, list):
        match chance.randrange(4):
            case 0:
                where.append(new)
            case 1:
                where.insert(0, new)
            case 2 if where:
                where.pop(chance.randrange(len(where)))
            case _ if where:
                where[chance.randrange(len(where))] = new
    elif chance.random() < 0.3 and where is not state and where:
        del where[chance.choice(list(where))]
    else:
        where[f"k{chance.randrange(12)}"] = new


def _containers(value: Any) -> list[Any]:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [one for child in inside for one in (child, *_containers(child)) if isinstance(one, dict | list)]


def test_what_did_not_change_is_the_same_leaf() -> None:
    """Nothing changed: every leaf is taken over. One value changed: one leaf is new, however deep it is."""
    state = agent(300)
    first = Cutter().at_once(state)
    assert all(
        a is b for a, b in zip(flatten(first.root), flatten(Cutter(first.root).at_once(state).root), strict=True)
    )
    state["history"][17]["ok"] = False
    state["memory"]["fact 3"]["seen"].append(4)
    assert len(_new(first, Cutter(first.root).at_once(state))) == 2


def _new(before: Cut, after: Cut) -> list[Leaf]:
    known = {id(leaf) for leaf in flatten(before.root)}
    return [leaf for leaf in flatten(after.root) if id(leaf) not in known]


def test_a_window_that_slides_costs_what_came_in() -> None:
    """The oldest step goes, a new one comes: the others are found where they stand now."""
    state = agent(300)
    first = Cutter().at_once(state)
    del state["history"][:3]
    state["history"] += agent(2)["history"]
    state["history"].insert(10, {"n": -1})
    assert len(_new(first, Cutter(first.root).at_once(state))) == 3


def test_a_large_state_is_cut_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others run in between, often enough that no slice holds more than a small part of it."""
    monkeypatch.setattr(cutting, "SLICE_S", 0.0001)
    state = agent(2_000, 2_000)
    turns: list[int] = []
    made = cut_in_slices(Cutter(), state, lambda: turns.append(1))
    assert made.slices == len(turns) + 1 > 3
    assert document(made.root) == msgspec.msgpack.encode(state)
    assert not made.changed_meanwhile


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["history"].append({}),
        lambda state: state["history"].pop(),
        lambda state: state.update(more=1),
    ],
)
def test_a_host_that_does_not_keep_still_is_noticed(
    change: Callable[[Any], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that grew or shrank since it was cut says that the cut is torn."""
    monkeypatch.setattr(cutting, "SLICE_S", 0.0)  # others are let in after each value
    state = agent(300)
    turns = iter(range(1_000_000))
    made = cut_in_slices(Cutter(), state, lambda: change(state) if next(turns) == 50 else None)
    assert made.changed_meanwhile
    assert not cut_in_slices(Cutter(), state).changed_meanwhile


def test_many_small_values_are_few_leaves() -> None:
    """A million numbers are a thousand leaves, and moving all of them up by one still gives the state."""
    state: dict[str, Any] = {"n": list(range(100_000)), "d": {f"k{n}": n for n in range(5_000)}}
    first = Cutter().at_once(state)
    assert len(flatten(first.root)) < 120
    state["n"].pop(0)
    state["n"].append(float("nan"))
    made = Cutter(first.root).at_once(state)
    assert document(made.root) == msgspec.msgpack.encode(state)
    state["n"][7] = (1, 2)
    with pytest.raises(NotCapturable, match=r"state\['n'\]\[7\]"):
        Cutter(first.root).at_once(state)


# Objects


@attrs.frozen
class Step:
    n: int
    tags: tuple[str, ...] = ()


@attrs.define
class Open:
    inner: Step
    items: list[Step] = attrs.Factory(list)


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: tuple[int, int] = (1, 2)


class Word(enum.StrEnum):
    """As an agent says how it is."""

    DONE = "done"


class Model:
    """What a pydantic model looks like from outside."""

    model_fields: dict[str, Any] = {}  # noqa: RUF012 - as it is there

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def model_dump(self) -> dict[str, Any]:
        """Its fields."""
        return self.fields


@pytest.mark.parametrize(
    ("before", "after"), [([], set()), ([1], (1,)), ("2026-11-26", dt.date(2026, 11, 26)), ("done", Word.DONE)]
)
def test_what_has_become_another_type_is_refused_though_it_is_packed_alike(before: object, after: object) -> None:
    """It would come back as what it was, and be refused only when it changes."""
    first = Cutter().at_once({"text": "t" * 20_000, "one": before})
    with pytest.raises(NotCapturable, match=r"state\['one'\] is not plain data"):
        Cutter(first.root).at_once({"text": "t" * 20_000, "one": after})


@pytest.mark.parametrize("held", [[1], [("a", 1), ("b", 2)], "text"])
def test_a_model_that_is_no_dict_of_fields_is_refused(held: Any) -> None:
    """A root model of pydantic: its pairs must not come back as the fields that they look like."""
    with pytest.raises(
        NotCapturable, match=r"RootModel at state\['pages'\] is a model of a (list|str): give what it holds"
    ):
        Cutter().at_once({"pages": RootModel(held)})


class RootModel(Model):
    """What a root model of pydantic looks like from outside."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def model_dump(self) -> Any:
        """What it holds."""
        return self.held


def test_objects_come_back_as_the_dicts_of_their_fields() -> None:
    """Classes of attrs, dataclasses and pydantic, in one another, small and too large for one leaf."""
    large = Open(Step(1), [Step(n, ("tag" * 50,)) for n in range(400)])
    state = {
        "step": Step(7, ("a", "b")),
        "point": Point(3),
        "large": large,
        "model": Model(at=Point(1), list=[Step(2)]),
    }
    back = unpack(document(Cutter().at_once(state).root))
    assert back["step"] == {"n": 7, "tags": ["a", "b"]}
    assert back["point"] == {"x": 3, "y": [1, 2]}
    assert back["large"] == {
        "inner": {"n": 1, "tags": []},
        "items": [{"n": n, "tags": ["tag" * 50]} for n in range(400)],
    }
    assert back["model"] == {"at": {"x": 1, "y": [1, 2]}, "list": [{"n": 2, "tags": []}]}
    assert unpack(document(Cutter().at_once(large).root)) == back["large"]


@pytest.mark.parametrize("value", [{1}, (1,), object(), Step])
def test_what_is_not_plain_is_refused_where_something_else_was(value: Any) -> None:
    """Also in the place of a container that had leaves of its own, and of a value that was plain."""
    for before in ([{"n": n, "t": "x" * 200} for n in range(100)], 1, "x" * 1000):
        first = Cutter().at_once({"a": {"b": before}})
        with pytest.raises(NotCapturable, match=r"state\['a'\]\['b'\]"):
            Cutter(first.root).at_once({"a": {"b": value}})


def test_the_place_of_a_bad_value_in_a_wide_list_is_told() -> None:
    """By its index in the list, not in the block that it is packed with."""
    with pytest.raises(NotCapturable, match=r"state\['a'\]\[1999\]"):
        Cutter().at_once({"a": [*range(1999), {1}]})


def test_an_object_without_one_of_its_fields_is_refused() -> None:
    """With its place, as anything else that would not come back."""

    @dataclasses.dataclass
    class Half:
        there: int
        not_there: int = dataclasses.field(init=False)

    with pytest.raises(NotCapturable, match=r"Half at state\['half'\] lacks a field"):
        Cutter().at_once({"half": Half(1)})


LARGE_NOW_AND_THEN = ["y" * 70_000 if n % 64 == 0 else n for n in range(2000)]
SORTS: tuple[Any, ...] = (
    LARGE_NOW_AND_THEN,
    dict(enumerate(LARGE_NOW_AND_THEN)),
    {str(n): one for n, one in enumerate(LARGE_NOW_AND_THEN)},
    list(range(3000)),
    {n: n for n in range(3000)},
    b"z" * 20_000,
    ["x" * 600] * 1500,
    {"small": 1},
    None,
    "é" * 200_000,
)


@pytest.mark.parametrize("before", range(len(SORTS)))
@pytest.mark.parametrize("after", range(len(SORTS)))
def test_a_part_may_become_one_of_any_other_sort(before: int, after: int) -> None:
    """What it was cut into is nothing to it then: a list's values stand without keys."""
    first = Cutter().at_once({"part": SORTS[before]})
    made = Cutter(first.root).at_once({"part": SORTS[after]})
    assert document(made.root) == msgspec.msgpack.encode({"part": SORTS[after]})


@pytest.mark.parametrize("before", [1, 1.0, True, 0, 0.0, -0.0, False])
@pytest.mark.parametrize("after", [1, 1.0, True, 0, 0.0, -0.0, False])
def test_equal_keys_and_values_are_not_the_same(before: Any, after: Any) -> None:
    """What comes back is the very key and the very value, also where what stands there is the same object."""
    text = "x" * 600
    first = Cutter().at_once({before: text, "pad": "x" * 9000, "value": before})
    state = {after: text, "pad": "x" * 9000, "value": after}
    made = Cutter(first.root).at_once(state)
    assert repr(unpack(document(made.root))) == repr(state)


def test_a_dict_with_other_keys_in_the_middle_of_a_cut_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it has as many as before."""
    monkeypatch.setattr(cutting, "SLICE_S", 0.0)
    state = {str(n): "x" * 400 for n in range(100)}
    walk = Cutter().in_slices(state)
    next(walk)
    for n in range(100):
        del state[str(n)]
        state[str(n + 1000)] = "y"
    with pytest.raises(StopIteration) as done:
        for _ in range(200):
            next(walk)
    assert done.value.value.changed_meanwhile


# The faster ways


def test_a_frozen_object_that_is_the_same_is_not_looked_at() -> None:
    """The same object is unchanged; another one that is equal is compared; mutable ones are always compared."""
    steps = [Step(n, ("x" * 300,)) for n in range(100)]
    state: dict[str, Any] = {"steps": steps, "plain": [1]}
    first = Cutter(way=IDENTITY).at_once(state)
    steps[3] = Step(3, ("y" * 300,))
    state["plain"].append(2)
    made = Cutter(first.root, way=IDENTITY).at_once(state)
    assert unpack(document(made.root)) == {
        "steps": [{"n": n, "tags": [("y" if n == 3 else "x") * 300]} for n in range(100)],
        "plain": [1, 2],
    }


def test_a_frozen_object_that_changed_within_is_found_when_it_is_checked() -> None:
    """The way misses it, which is what it is; the check says where, and has the change."""
    inner = ["a"]
    state = {"steps": [Step(n, ("x" * 300,)) for n in range(99)] + [Step(99, inner)]}  # type: ignore[arg-type]
    first = Cutter(way=IDENTITY).at_once(state)
    inner.append("b")
    missed = Cutter(first.root, way=IDENTITY).at_once(state)
    assert unpack(document(missed.root))["steps"][99]["tags"] == ["a"]
    checked = Cutter(first.root, way=IDENTITY, check=True).at_once(state)
    assert checked.missed == ("state['steps'][99]",)
    assert unpack(document(checked.root))["steps"][99]["tags"] == ["a", "b"]


def test_what_is_marked_is_all_that_is_looked_at() -> None:
    """Marked, added and removed values are in the cut, at any depth; with right marks nothing is missed."""
    state = agent(300)
    first = Cutter(way=MARKS).at_once(state)
    state["history"][5]["ok"] = None
    state["history"].append({"n": "new"})
    state["memory"]["fact 7"]["seen"].append(1)
    del state["memory"]["fact 8"]
    state["task"] = "other"
    marks = marks_of([("history", 5), ("memory", "fact 7", "seen"), ("task",)])
    for check in (False, True):
        made = Cutter(first.root, way=MARKS, marks=marks, check=check).at_once(state)
        assert document(made.root) == msgspec.msgpack.encode(state)
        assert made.missed == ()


def test_a_mark_that_was_forgotten_is_found_when_it_is_checked() -> None:
    """The way misses it; the check says where, and has the change."""
    state = agent(300)
    first = Cutter(way=MARKS).at_once(state)
    state["history"][5]["ok"] = None
    missed = Cutter(first.root, way=MARKS, marks=marks_of([("task",)])).at_once(state)
    assert unpack(document(missed.root))["history"][5]["ok"] is True
    checked = Cutter(first.root, way=MARKS, marks=marks_of([("task",)]), check=True).at_once(state)
    assert checked.missed == ("state['history'][5]",)
    assert document(checked.root) == msgspec.msgpack.encode(state)


def test_marks_above_and_below_one_another() -> None:
    """The one above covers those below; no path at all marks everything."""
    assert marks_of([("a", 1), ("a",), ("a", 2, 3), ("b", 4)]) == {"a": None, "b": {4: None}}
    assert marks_of([("a",), ()]) is None
    assert marks_of([]) == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda inner: inner.update(new=1),
        lambda inner: inner.pop("k3"),
        lambda inner: inner.update(k3=inner.pop("k3")),
        lambda inner: inner["long"].append("one more"),
        lambda inner: inner["wide"].__setitem__(7, "other"),
        lambda inner: inner["mixed"].__setitem__(7, "other"),
    ],
    ids=["one more", "one less", "another order", "a longer list", "within a block", "within a block with large ones"],
)
@pytest.mark.parametrize("way", [IDENTITY, MARKS])
def test_a_check_finds_whatever_the_way_misses(way: str, change: Callable[[Any], Any]) -> None:
    """Not only a value that became another one."""
    inner: dict[str, Any] = {f"k{n}": "v" * 400 for n in range(40)}
    inner["long"], inner["wide"] = ["v" * 400] * 40, list(range(3000))
    inner["mixed"] = [("v" * 70_000 if n == 3 else n) for n in range(3000)]
    state = {"held": Step(1, inner)}  # type: ignore[arg-type]
    first = Cutter(way=way).at_once(state)
    sound = Cutter(first.root, way=way, marks={}, check=True).at_once(state)
    assert sound.missed == ()
    change(inner)
    checked = Cutter(sound.root, way=way, marks={}, check=True).at_once(state)
    assert len(checked.missed) == 1
    assert checked.missed[0].startswith("state['held']['tags']")
    assert document(checked.root) == msgspec.msgpack.encode(state)


def test_a_mark_from_the_end_of_a_list_marks_all_of_it() -> None:
    """The list may have grown since: which value was the last one then, nobody can tell."""
    state = {"history": ["a" * 9000, "b" * 9000, "c" * 9000]}
    first = Cutter(way=MARKS).at_once(state)
    state["history"][-1] = "d" * 9000
    state["history"].append("e" * 9000)
    made = Cutter(first.root, way=MARKS, marks=marks_of([("history", -1)])).at_once(state)
    assert document(made.root) == msgspec.msgpack.encode(state)


def test_a_frozen_object_is_known_from_the_first_time_that_it_is_looked_at() -> None:
    """Also where it was cut before in another way: it is not looked at again then, however often it is the same."""
    inner = ["a"]
    state = {"steps": [Step(n, ("x" * 300,)) for n in range(99)] + [Step(99, inner)]}  # type: ignore[arg-type]
    first = Cutter().at_once(state)
    second = Cutter(first.root, way=IDENTITY).at_once(state)
    inner.append("not seen by this way")
    third = Cutter(second.root, way=IDENTITY).at_once(state)
    assert document(third.root) == document(first.root)


def test_a_state_that_was_one_leaf_and_has_grown_is_not_packed_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first checkpoint is often taken before there is anything."""
    packed: list[int] = []

    def noted(*args: Any, **more: Any) -> bytes:
        data = pack(*args, **more)
        packed.append(len(data))
        return data

    for module in (cutting, values):
        monkeypatch.setattr(module, "pack", noted)
    first = Cutter().at_once({"agent": {"history": []}})
    assert isinstance(first.root, Leaf)
    state = {"agent": {"history": [{"n": n, "dom": f"{n} " * 300} for n in range(500)]}}
    made = Cutter(first.root).at_once(state)
    assert document(made.root) == msgspec.msgpack.encode(state)
    state["agent"]["history"][7]["dom"] = "x " * 500_000
    assert document(Cutter(made.root).at_once(state).root) == msgspec.msgpack.encode(state)
    assert max(packed) < sizes.BLOCK_BYTES


# Long texts


def test_a_long_text_is_cut_in_slices_and_what_is_added_is_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pieces stay where they stood; an equal text is not new, and the same one is not looked at."""
    monkeypatch.setattr(cutting, "SLICE_S", 0.0)
    text = "é" * 300_000 + "€" * 300_000
    state: dict[str, Any] = {"page": text, "in": [text[1:], {"a": text}]}
    first = cut_in_slices(Cutter(), state)
    assert first.slices > 20
    assert document(first.root) == msgspec.msgpack.encode(state)
    state["page"] = text[:1] + text[1:]
    assert state["page"] is not text
    assert _new(first, Cutter(first.root).at_once(state)) == []
    state["page"] += "more"
    longer = Cutter(first.root).at_once(state)
    assert len(_new(first, longer)) == 2
    assert document(longer.root) == msgspec.msgpack.encode(state)
    for other in ("short", None, ["x" * 9000], {"page": text}):
        state["page"] = other
        made = Cutter(longer.root).at_once(state)
        assert document(made.root) == msgspec.msgpack.encode(state)
        again = Cutter(made.root).at_once({**state, "page": text})
        assert document(again.root) == msgspec.msgpack.encode({**state, "page": text})


def test_a_long_text_that_was_not_marked_is_found_when_it_is_checked() -> None:
    """As any other value; and where it cannot be stored, its place is told."""
    state = {"page": "é" * 200_000, "other": 1}
    first = Cutter(way=MARKS).at_once(state)
    assert Cutter(first.root, way=MARKS, marks={}, check=True).at_once(state).missed == ()
    state["page"] = "e" * 200_000
    assert Cutter(first.root, way=MARKS, marks={}, check=True).at_once(state).missed == ("state['page']",)
    state["page"] = "e" * 200_000 + "\ud800"
    with pytest.raises(NotCapturable, match=r"surrogates at state\['page'\]"):
        Cutter(first.root).at_once(state)


# Blobs


def test_large_bytes_are_leaves_of_their_own_and_known_by_their_object() -> None:
    """A picture is a blob; the same object is not looked at again, an equal one is still the same leaf."""
    picture = bytes(range(256)) * 100
    state = {"history": [{"n": n, "shot": picture if n == 1 else b"small"} for n in range(50)]}
    first = Cutter().at_once(state)
    (blob,) = [leaf for leaf in flatten(first.root) if leaf.is_blob]
    assert blob.data is picture
    state["history"][1]["shot"] = bytes(bytearray(picture))
    again = Cutter(first.root).at_once(state)
    assert [leaf for leaf in flatten(again.root) if leaf.is_blob] == [blob]
    assert isinstance(first.root, Branch)
    assert document(again.root) == msgspec.msgpack.encode(state)
