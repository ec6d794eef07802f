"""The bytes of checkpoints: any of a chain comes back, rebased or not, and what a chain costs is bounded."""

from __future__ import annotations

import copy
import random
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.actors.checkpoints import encoding, form, restoring
from lrm_actors.actors.checkpoints.delta import apply, dropped, runs_of
from lrm_actors.actors.checkpoints.form import Unreadable
from lrm_actors.actors.checkpoints.leaves import Leaf
from lrm_actors.domain.checkpointing.chains import attachment_key, blob_key
from lrm_actors.errors import CheckpointDamaged
from tests.actors.checkpoints.kit import VERSION, Info, Shelf
from tests.actors.checkpoints.test_cutting import agent

PICTURE = bytes(range(256)) * 100


def history(seed: int, length: int) -> tuple[Shelf, list[Any]]:
    """A chain of checkpoints of a state that changes, and what each was of."""
    chance = random.Random(seed)
    shelf, states = Shelf(), []
    state = agent(60)
    for number in range(length):
        for _ in range(chance.randrange(4)):
            state["history"][chance.randrange(len(state["history"]))]["ok"] = chance.random()
        if chance.random() < 0.3:
            state["history"].append({"n": number, "shot": PICTURE + bytes([chance.randrange(3)])})
        if chance.random() < 0.3:
            state["history"].pop(chance.randrange(len(state["history"])))
        shelf.take(state, whole=chance.random() < 0.1)
        states.append(copy.deepcopy(state))
    return shelf, states


@pytest.mark.parametrize("seed", range(6))
def test_any_checkpoint_of_a_chain_comes_back(seed: int) -> None:
    """Whatever was changed since its base."""
    shelf, states = history(seed, 25)
    for checkpoint_id, state in zip(shelf.infos, states, strict=True):
        restored = shelf.restore(checkpoint_id)
        assert restored.state == state
        assert restored.checkpoint_id == checkpoint_id
        assert restored.recovery_hints == ("a hint",)


@pytest.mark.parametrize("seed", range(6))
def test_those_kept_by_a_rebase_come_back_without_the_others(seed: int) -> None:
    """The first is a base, each other a delta on the one before; the digests of the states stay."""
    shelf, states = history(seed, 25)
    last = list(shelf.infos)[-1]
    chain = shelf.chain(last)
    chance = random.Random(seed)
    keep = [info.checkpoint_id for info in chain if chance.random() < 0.4] or [last]
    rows = restoring.rebase(shelf, chain, keep)  # type: ignore[arg-type]
    assert [row.checkpoint_id for row in rows] == keep
    after = Shelf()
    held: set[str] = set()
    for row in rows:
        held = (held | set(row.added)) - set(row.gone)
        after.kept[attachment_key(row.checkpoint_id)] = row.data
        after.kept.update((blob_key(digest), shelf.kept[blob_key(digest)]) for digest in row.added)
        after.infos[row.checkpoint_id] = Info(row.checkpoint_id, shelf.infos[row.checkpoint_id].digest, row.parent)
    for checkpoint_id in keep:
        restored = after.restore(checkpoint_id)
        assert restored.state == states[list(shelf.infos).index(checkpoint_id)]
        assert (restored.recovery_hints, restored.state_version) == (("a hint",), VERSION)
    assert rows[0].parent == ""


def test_what_is_not_the_state_that_the_log_names_is_not_stored_anew() -> None:
    """Its rows may be sound, each by itself; the older ones would go, and with them what can be told of it."""
    shelf, _ = history(1, 6)
    chain = shelf.chain(list(shelf.infos)[-1])
    named = [*chain[:-2], attrs.evolve(chain[-2], digest="0" * 64), chain[-1]]
    with pytest.raises(CheckpointDamaged, match=restoring.NOT_THE_STATE) as raised:
        restoring.rebase(shelf, named, [one.checkpoint_id for one in named[-2:]])  # type: ignore[arg-type]
    assert raised.value.checkpoint_id == named[-2].checkpoint_id


def test_a_blob_is_written_once() -> None:
    """However often it stands in a state, and whatever comes and goes beside it."""
    shelf = Shelf()
    state: dict[str, Any] = {"shots": [PICTURE, bytes(bytearray(PICTURE))], "n": 0}
    assert len(shelf.take(state).blobs) == 1
    state["n"] = 1
    state["last"] = PICTURE
    encoded = shelf.take(state)
    assert (encoded.blobs, encoded.gone) == ((), ())
    assert len(encoded.data) < 1000
    del state["last"], state["shots"]
    encoded = shelf.take(state)
    assert len(encoded.gone) == 1
    assert shelf.restore().state == state


def test_a_new_base_is_made_when_deltas_outgrow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or when there are so many of them that restoring would take long."""
    chance = random.Random(1)
    shelf, state = Shelf(), {"texts": [chance.randbytes(2000).hex() for _ in range(50)]}
    bases = []
    for _ in range(200):
        state["texts"][chance.randrange(50)] = chance.randbytes(2000).hex()
        bases.append(not shelf.take(state).parent)
    assert bases[:32] == [True] + [False] * 31
    assert any(bases[32:])
    monkeypatch.setattr(encoding, "STRIDE", 2)
    monkeypatch.setattr(encoding, "MAX_ANCHORS", 3)
    shelf = Shelf()
    parents = [shelf.take(state).parent for _ in range(12)]
    ids = ["", *shelf.infos]
    assert [ids.index(parent) for parent in parents] == [0, 1, 1, 3, 3, 5, 5, 7, 0, 9, 9, 11]


def test_what_cannot_be_encoded_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is a base: nothing is built on leaves whose places are not known."""
    shelf, state = Shelf(), agent(60)
    shelf.take(state)
    with monkeypatch.context() as patched:
        patched.setattr(form, "write", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            shelf.take(state)
    state["task"] = "go on"
    assert shelf.take(state).parent == ""
    assert shelf.restore().state == state


@pytest.mark.parametrize("size", [0, 1, 999, 1_000, 1_001, 30_000])
def test_large_changes_are_compressed_in_pieces(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other threads run while the compressor works, and not while its input is copied. The frame is the same."""
    monkeypatch.setattr(form, "AT_ONCE_BYTES", 1_000)
    chance = random.Random(size)
    literals = [chance.randbytes(min(100, size - at)).hex().encode() for at in range(0, size, 100)]
    whole = b"".join(literals)
    packed = form._compressed(literals, len(whole), [b"a prefix" * 20])
    zstd: Any = vars(form)["zstd"]
    assert zstd.decompress(packed, zstd_dict=form._prefix([b"a prefix" * 20])) == whole
    assert zstd.get_frame_info(packed).decompressed_size == len(whole)
    pieces = list(form._joined(literals))
    assert b"".join(pieces) == whole
    assert max(map(len, pieces)) < 1_000 + 200


def test_a_prefix_is_no_longer_than_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is dropped; what reads the row cuts it at the same place."""
    monkeypatch.setattr(form, "MAX_PREFIX_BYTES", 1_000)
    shelf = Shelf()
    state = [f"{number} is one of many" * 20 for number in range(100)]
    shelf.take(state)
    state = [f"{number} was one of many" * 20 for number in range(100)]
    assert shelf.take(state).parent
    assert shelf.restore().state == state


# Damage


def test_each_byte_of_a_delta_its_base_and_its_blobs_counts(release: bool) -> None:
    """A byte changed anywhere in what a checkpoint is made of is noticed; the one that was wanted is named."""
    shelf = Shelf()
    state: dict[str, Any] = {"history": [{"n": n, "text": f"{n}" * 90} for n in range(60)], "shot": PICTURE}
    shelf.take(state)
    state["history"][3]["n"] = -3
    shelf.take(state)
    wanted = list(shelf.infos)[-1]
    chance = random.Random(5)
    tried = 0
    for key, data in list(shelf.kept.items()):
        places = range(len(data)) if release or len(data) < 400 else sorted(chance.sample(range(len(data)), 150))
        for place in places:
            shelf.kept[key] = data[:place] + bytes([data[place] ^ chance.randrange(1, 256)]) + data[place + 1 :]
            with pytest.raises(CheckpointDamaged, match=wanted):
                shelf.restore(wanted)
            tried += 1
        shelf.kept[key] = data
    assert shelf.restore(wanted).state == state
    print(f"\nbytes changed in a base, a delta and a blob: {tried}")


def test_a_delta_on_another_checkpoint_is_noticed() -> None:
    """Sound rows that do not belong together, or whose parent is gone."""
    shelf = Shelf()
    for n in range(4):
        shelf.take({"n": n, "text": ["x" * 3000] * 4}, whole=n == 2)
    first, second, third, fourth = shelf.infos
    for info in (Info(fourth, shelf.infos[fourth].digest, second), Info(fourth, shelf.infos[fourth].digest, "")):
        with pytest.raises(CheckpointDamaged, match="made on"):
            restoring.restore(shelf, [*(shelf.chain(second) if info.parent else []), info])  # type: ignore[arg-type]
    del shelf.kept[attachment_key(third)]
    with pytest.raises(CheckpointDamaged, match=fourth):
        shelf.restore(fourth)
    assert shelf.restore(second).state["n"] == 1
    assert shelf.restore(first).state["n"] == 0


# Runs


@given(st.lists(st.integers(0, 20), max_size=25), st.integers(0, 20))
def test_runs_make_the_new_document_of_the_old(picked: list[int], length: int) -> None:
    """Any choice of old leaves in any order, new ones among them."""
    old = [Leaf(bytes([n])) for n in range(length)]
    new = [old[n] if n < length else Leaf(b"new") for n in picked]
    runs, fresh = runs_of(new, old)
    assert apply(runs, old, fresh) == new
    assert [leaf for leaf in old if leaf not in new] == dropped(runs, old)


@given(st.data(), st.integers(0, 30))
def test_what_stands_where_it_stood_is_one_run(data: st.DataObject, length: int) -> None:
    """Leaves replaced anywhere, and some put in or taken out at one place: nothing that stays is stored again."""
    old = [Leaf(b"old") for _ in range(length)]
    new = [Leaf(b"new") if data.draw(st.integers(0, 9)) == 0 else leaf for leaf in old]
    place, taken_out = data.draw(st.integers(0, length)), data.draw(st.integers(0, 3))
    new[place : place + taken_out] = [Leaf(b"new") for _ in range(data.draw(st.integers(0, 3)))]
    runs, fresh = runs_of(new, old)
    assert apply(runs, old, fresh) == new
    assert fresh == [leaf for leaf in new if leaf.data == b"new"]
    stays = [leaf for leaf in new if leaf.data == b"old"]
    assert [leaf for leaf in old if leaf not in stays] == dropped(runs, old)


@pytest.mark.parametrize(
    "runs", [[0], [0, 1], [-1, 1, 0], [0, -1, 0], [0, 1, -1], [0, 4, 0], [3, 1, 0], [0, 1, 1], [0, 0, 0, 2, 2, 0]]
)
def test_runs_that_do_not_fit_are_refused(runs: list[int]) -> None:
    """They never take over what is not there."""
    with pytest.raises(ValueError, match=r"runs|not there"):
        apply(runs, [1, 2, 3], [])
    assert issubclass(Unreadable, ValueError)


def test_blobs_are_fetched_no_further_than_the_state_is_large() -> None:
    """A row of a few bytes may name one large blob ten thousand times."""
    fetched: list[bytes] = []

    def blobs(digest: bytes) -> bytes:
        fetched.append(digest)
        return PICTURE

    one = form.Part(b"", b"d")
    form.with_blobs([one], blobs, len(PICTURE))
    with pytest.raises(Unreadable, match="larger than"):
        form.with_blobs([form.Part(b"", b"d") for _ in range(10)], blobs, 3 * len(PICTURE) - 1)
    assert len(fetched) == 1 + 3
