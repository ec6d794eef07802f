"""A log in directories that are new themselves: their names reach the disk before anything is acknowledged."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventstore import opening
from eventstore.opening import open_store


def test_the_names_of_new_directories_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one's parent is synchronised, after it was made; the log's own directory by SQLite, with the WAL."""
    synchronised: list[tuple[Path, set[str]]] = []

    def sync(directory: Path) -> None:
        synchronised.append((directory, {path.name for path in directory.iterdir()}))

    monkeypatch.setattr(opening, "_sync_directory", sync)
    open_store(tmp_path / "a" / "b" / "lrm.db").close()
    assert [(tmp_path, {"a"}), (tmp_path / "a", {"b"})] == synchronised
    open_store(tmp_path / "a" / "b" / "lrm.db").close()
    assert 2 == len(synchronised)


def test_a_directory_that_cannot_be_synchronised_is_no_reason_to_refuse_a_log(tmp_path: Path) -> None:
    """Not every file system can, and not everyone may read every directory."""
    opening._sync_directory(tmp_path / "nowhere")
    opening._sync_directory(tmp_path)
