"""The power-cut explorer: it finds every state that its model allows, and none that it does not."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.testing import Capture, FaultVFS, PowerCut
from eventstore.testing.images import Change, Image

FILE = "/disk/file"
SECTOR = 512


def capture_of(content: bytes = b"") -> Capture:
    """A capture that begins with a file that is there."""
    capture = Capture()
    capture.appear(FILE, content)
    return capture


def contents(capture: Capture, **options: Any) -> set[bytes | None]:
    """What may be in the file after a power cut at any point, None where there is none."""
    found: set[bytes | None] = set()
    for state in PowerCut(capture, **options).states():
        found.add(bytes(state.files["file"].data()) if "file" in state.files else None)
    return found


def test_every_subset_of_a_few_writes_is_found() -> None:
    """In any order: what is missing in the middle is a hole."""
    capture = capture_of()
    for n in range(3):
        capture.write(FILE, n, b"x")
    expected = {b"", b"x", b"xx", b"xxx", b"\0x", b"\0\0x", b"x\0x", b"\0xx"}
    assert expected == contents(capture)


def test_what_was_synchronised_stays() -> None:
    """Only what came after may be lost."""
    capture = capture_of(b"a")
    capture.write(FILE, 1, b"b")
    capture.sync(FILE)
    capture.write(FILE, 2, b"c")
    assert {b"a", b"ab", b"abc"} == contents(capture)


def test_the_newest_write_is_torn_between_sectors() -> None:
    """Where the disk's sectors are, not where the write begins."""
    capture = capture_of()
    capture.write(FILE, 500, b"y" * 1100)
    expected = {b"", *(bytes(500) + b"y" * size for size in (12, 12 + SECTOR, 12 + 2 * SECTOR, 1100))}
    assert expected == contents(capture)


def test_a_truncation_may_be_lost_too() -> None:
    """And what is written after it may be there without it."""
    capture = capture_of(b"abcd")
    capture.truncate(FILE, 1)
    capture.write(FILE, 1, b"x")
    assert {b"abcd", b"a", b"ax", b"axcd"} == contents(capture)


def test_names_appear_and_vanish_in_order_and_for_certain_with_their_directory() -> None:
    """A new file may be missing, and one that was deleted may be back, until the directory is synchronised."""
    capture = Capture()
    capture.appear(FILE, None)
    capture.write(FILE, 0, b"old")
    capture.sync(FILE)
    assert {None, b"", b"old"} == contents(capture)
    capture.sync_directory(FILE)
    capture.delete(FILE)
    capture.appear(FILE, None)
    capture.mark("here", 1)
    start = len(capture.entries) - 1
    assert {b"old", None, b""} == contents(capture, start=start)
    capture.sync_directory(FILE)
    capture.mark("here", 2)
    assert {b""} == contents(capture, start=len(capture.entries) - 1)


def test_the_kernel_forgets_what_a_failed_sync_should_have_written() -> None:
    """No later sync brings it back, unless it is written again."""
    capture = capture_of(b"....")
    capture.write(FILE, 0, b"a")
    capture.sync(FILE, failed=True)
    capture.write(FILE, 1, b"b")
    capture.sync(FILE)
    capture.mark("here", 1)
    start = len(capture.entries) - 1
    assert {b".b.."} == contents(capture, survive=0.0, start=start)
    assert {b"ab.."} == contents(capture, survive=1.0, start=start)
    assert {b"ab.."} == contents(capture, start=start)  # a kernel that goes on trying


def test_a_file_that_is_opened_late_was_there_all_along() -> None:
    """No state is without it."""
    capture = capture_of(b"a")
    capture.write(FILE, 0, b"b")
    capture.appear("/disk/late", b"l")
    capture.write("/disk/late", 0, b"m")
    assert {"file", "late"} == {name for state in PowerCut(capture).states() for name in state.files}
    assert all(len(state.files) == 2 for state in PowerCut(capture).states())


def test_marks_come_with_the_states_that_they_hold_for() -> None:
    """A state that is possible before and after a mark is told with both."""
    capture = capture_of(b"a")
    capture.write(FILE, 0, b"b")
    capture.mark("acknowledged", 1)
    found = Counter(
        (bytes(state.files["file"].data()), state.marks.get("acknowledged")) for state in PowerCut(capture).states()
    )
    assert Counter([(b"a", None), (b"b", None), (b"a", 1), (b"b", 1)]) == found


def test_models() -> None:
    """One that loses nothing, and one that lies."""
    capture = capture_of(b"a")
    capture.write(FILE, 0, b"b")
    capture.sync(FILE)
    capture.write(FILE, 1, b"c")
    assert {b"b", b"bc"} == contents(capture, model="keep_all")
    assert {b"a", b"b", b"bc"} == contents(capture)
    assert {b"a", b"b", b"bc", b"ac"} == contents(capture, model="lying")


def test_the_same_seed_gives_the_same_states() -> None:
    """And another one others, where there are too many for all."""
    capture = capture_of(bytes(100))
    for n in range(20):
        capture.write(FILE, n, b"x")

    def digests(seed: int) -> list[int]:
        return [state.digest for state in PowerCut(capture, seed=seed).states()]

    assert digests(1) == digests(1)
    assert digests(1) != digests(2)
    cut = PowerCut(capture, share=0.5)
    assert len(list(cut.states())) < len(digests(0))
    assert 0 < cut.cuts < 20


@pytest.mark.parametrize("options", [{"share": 0.0}, {"share": 1.5}, {"survive": -0.1}, {"survive": 2.0}])
def test_parts_that_are_none_are_refused(options: dict[str, float]) -> None:
    """Rather than looking at nothing."""
    with pytest.raises(ValueError, match="at most 1"):
        PowerCut(capture_of(), **options)  # type: ignore[arg-type]  # floats of either


@pytest.mark.parametrize("options", [{"model": "keep-all"}, {"samples": -1}])
def test_a_model_that_there_is_not_is_refused(options: dict[str, Any]) -> None:
    """It would be taken for the strictest."""
    with pytest.raises(ValueError, match="model = "):
        PowerCut(capture_of(), **options)


def test_a_state_is_put_into_a_directory(tmp_path: Path) -> None:
    """With what is left of another one removed, and what both have not written again."""
    (tmp_path / "stale").touch()
    capture = capture_of(b"a")
    capture.appear("/disk/other", b"o")
    capture.write(FILE, 0, b"b")
    first, second = list(PowerCut(capture, start=2).states())
    first.write(tmp_path)
    assert {"file": b"b", "other": b"o"} == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "other").write_bytes(b"kept")
    second.write(tmp_path, after=first)
    assert {"file": b"a", "other": b"kept"} == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


changes = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 9000), st.binary(min_size=1, max_size=5000)),
        st.tuples(st.integers(0, 9000), st.none()),
    ),
    max_size=6,
)


def plainly(data: bytes, made: list[tuple[int, bytes | None]]) -> bytes:
    """The same changes without any cleverness."""
    content = bytearray(data)
    for offset, written in made:
        if written is None:
            content = content[:offset].ljust(offset, b"\0")
            continue
        content = content.ljust(offset, b"\0")
        content[offset : offset + len(written)] = written
    return bytes(content)


@given(st.binary(max_size=9000), changes, changes)
def test_an_image_is_what_was_written_and_its_digest_tells_it(
    data: bytes, durable: list[tuple[int, bytes | None]], pending: list[tuple[int, bytes | None]]
) -> None:
    """However the changes are split into what is certain and what is pending."""
    image = Image(data)
    image.apply(Change(*one) for one in durable)
    assert plainly(data, durable) == image.data
    found = image.changed(Change(*one) for one in pending)
    expected = plainly(plainly(data, durable), pending)
    assert expected == found.data()
    at_once = Image(expected).changed(())
    assert (at_once.digest, at_once.size) == (found.digest, found.size)
    other = Image(expected + b"!").changed(())
    assert other.digest != found.digest


@pytest.mark.parametrize(("synchronous", "safe"), [("FULL", True), ("NORMAL", False), ("OFF", False)])
def test_it_tells_what_sqlite_promises(tmp_path: Path, synchronous: str, safe: bool) -> None:
    """A database in WAL mode keeps every commit only where each waits for the disk."""
    states = tmp_path / "states"
    states.mkdir()
    with FaultVFS() as vfs:
        capture = vfs.capture()
        with contextlib.closing(vfs.connect(tmp_path / "some.db", isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute("CREATE TABLE t (n INTEGER)")
            for n in range(1, 8):
                connection.execute("INSERT INTO t VALUES (?)", (n,))
                capture.mark("committed", n)
        lost = 0
        for state in PowerCut(capture, samples=4, share=0.5).states():
            if "committed" not in state.marks:
                continue
            state.write(states)
            with contextlib.closing(sqlite3.connect(states / "some.db")) as connection:
                try:
                    found = connection.execute("SELECT count(*) FROM t").fetchone()[0]
                except sqlite3.Error:
                    found = 0
            lost += found < state.marks["committed"]
    assert safe is (lost == 0)
