"""What is passed on to standard error goes there or nowhere, and holds nobody up."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from lrm_actors.outer import last_words
from lrm_actors.outer.last_words import SlowWriter

WORDS = b"what the process said"


def words_in_a_file_of_its_number(path: Path) -> bytes:
    """What is in a file that got the number of a descriptor which was closed when the writer was made."""
    reading, number = os.pipe()
    os.close(reading)
    os.close(number)
    writer = SlowWriter(number)
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    try:
        writer.write(WORDS)
        writer.finish(1.0)
        return path.read_bytes()
    finally:
        os.close(number)


def test_what_is_opened_later_under_the_number_of_standard_error_gets_no_words(tmp_path: Path) -> None:
    """It may be a lock or a log."""
    assert b"" == words_in_a_file_of_its_number(tmp_path / "file")


def test_planted_a_writer_that_does_not_look_whether_it_is_closed_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes into whatever has that number by then."""
    monkeypatch.setattr(last_words, "_is_closed", lambda descriptor: False)
    assert WORDS == words_in_a_file_of_its_number(tmp_path / "file")


def ready(writer: SlowWriter) -> bool:
    """Whether somebody seems to read."""
    return bool(vars(last_words)["select"].select((), (writer.descriptor,), (), 3.0)[1])


def patient(self: SlowWriter, patience_s: float) -> None:
    """As it was: it waits that long at each of its looks."""
    while self.waits and ready(self):
        self.go_on()


def looks(monkeypatch: pytest.MonkeyPatch, finish: Callable[[SlowWriter, float], None]) -> int:
    """How often a writer looks in three seconds whether somebody reads, a second apart, who takes nothing."""
    seen = 0
    monotonic = iter(range(1_000))

    def select(*_: object) -> tuple[list[int], list[int], list[int]]:
        nonlocal seen
        seen += 1
        return [], [1] if seen < 100 else [], []

    def refuse(descriptor: int, data: bytes) -> int:
        raise BlockingIOError

    monkeypatch.setattr(last_words, "time", SimpleNamespace(monotonic=lambda: float(next(monotonic))))
    monkeypatch.setattr(last_words, "select", SimpleNamespace(select=select))
    monkeypatch.setattr(last_words, "os", SimpleNamespace(write=refuse, fstat=os.fstat))
    writer = SlowWriter(1)
    writer._add(WORDS)
    finish(writer, 3.0)
    assert writer.waits
    return seen


def test_a_reader_that_takes_nothing_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock, and not as long again for each time that it seems to be ready."""
    assert looks(monkeypatch, SlowWriter.finish) <= 6


def test_planted_patience_that_begins_anew_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on for as long as the reader likes."""
    assert 100 <= looks(monkeypatch, patient)
