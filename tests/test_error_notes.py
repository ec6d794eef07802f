"""What an error tells of itself in a traceback, which is all that is left of an agent that it ended."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventstore import errors as store
from lrm_actors import LongRunningMode, errors
from lrm_actors.inspect.errors import FoldFailed
from tests.mode_kit import settings

AGENT = """
import asyncio, sys
from lrm_actors import LongRunningMode, LongRunningSettings

async def main():
    mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, agent_id="a", checkpoint_dir=sys.argv[1]))
    async with mode:
        await mode.recover_from_checkpoint()

asyncio.run(main())
"""


def said_by_agent(directory: Path) -> str:
    """What an agent says that cannot start there."""
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    command = [sys.executable, "-c", AGENT, str(directory)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert ended.returncode == 1
    return ended.stderr


def lived(directory: Path) -> Path:
    """The log of an agent that lived there, and is no more."""
    mine = settings(directory, agent_id="a")
    with LongRunningMode(mine) as mode, mode.step("one") as step:
        step.result = "x" * 50_000
    return mine.log_path


def damaged_head(log: Path) -> None:
    """Its first page is no page of a database."""
    with log.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3_000)


def damaged_pages(log: Path) -> None:
    """Whatever comes after its first page is nothing."""
    size = log.stat().st_size
    with log.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize("damage", [damaged_head, damaged_pages])
def test_an_agent_on_a_damaged_log_says_which_and_what_to_try(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Once each: the class, the file, the code and the hint."""
    log = lived(tmp_path)
    damage(log)
    said = said_by_agent(tmp_path)
    assert f"eventstore.errors.CorruptLog: the log is damaged: {log}: " in said
    assert ["code: ES-5004", f"try: {store.CorruptLog.hint}"] == said.splitlines()[-2:]
    assert (1, 1) == (said.count("try: "), said.count("errors.CorruptLog"))


@pytest.mark.usefixtures("sampled")
def test_an_agent_on_a_locked_log_says_who_has_it_and_what_to_try(tmp_path: Path) -> None:
    """The log's path and the owner's pid are in the message."""
    with LongRunningMode(settings(tmp_path, agent_id="a")):
        said = said_by_agent(tmp_path)
    assert f"eventstore.errors.LogLocked: {tmp_path / 'a' / 'lrm.db'} is owned by process {os.getpid()}" in said
    assert ["code: ES-4004", f"try: {store.LogLocked.hint}"] == said.splitlines()[-2:]


def test_an_agent_that_may_not_write_says_where_and_what_to_try(tmp_path: Path) -> None:
    """A directory that is read-only; for root, who may write those, a file in its place."""
    place = tmp_path / "place"
    if os.geteuid():
        place.mkdir(0o500)
    else:
        place.touch()
    said = said_by_agent(place)
    assert "eventstore.errors.LogNotWritable: " in said
    assert str(place) in said.splitlines()[-3]
    assert ["code: ES-4005", f"try: {store.LogNotWritable.hint}"] == said.splitlines()[-2:]


# --- every error of ours ------------------------------------------------------------------------------------------


def made(cls: type[Exception]) -> Any:
    """One of a class, with something for each argument."""
    arguments: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in inspect.signature(cls.__init__).parameters.values():
        if parameter.name == "self" or parameter.default is not inspect.Parameter.empty:
            continue
        kind = str(parameter.annotation)
        value: Any = 1 if kind == "int" else 1.0 if kind == "float" else int if kind == "type" else "x"
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            named[parameter.name] = value
        else:
            arguments.append(value)
    return cls(*arguments, **named)


ALL = sorted(
    {
        cls
        for module in (store, errors)
        for cls in vars(module).values()
        if isinstance(cls, type) and issubclass(cls, (store.EventStoreError, errors.LrmError))
    }
    | {FoldFailed},
    key=lambda cls: (cls.__module__, cls.__name__),
)


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: f"{cls.__module__.partition('.')[0]}.{cls.__name__}")
def test_an_error_is_the_same_through_pickle_and_copy(cls: type[Exception]) -> None:
    """Its message, its attributes and its notes; nothing is said twice, and the message is as short as ever."""
    error = made(cls)
    assert "try: " not in str(error)
    told = traceback.format_exception_only(error)
    assert (1 if error.hint else 0) == "".join(told).count("try: ")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error), made(cls)):
        assert (type(error), str(error), error.args) == (type(again), str(again), again.args)
        assert told == traceback.format_exception_only(again)
        assert {**vars(error), "cls": 0}.keys() == {**vars(again), "__notes__": 0, "cls": 0}.keys()
        assert not isinstance(error, OSError) or again.errno == error.errno


def test_notes_are_made_when_somebody_looks_and_not_before() -> None:
    """An error that nobody prints costs what it did; each has a list of its own, and a note that is added stays."""
    one, other = errors.NotRunning("it was not started"), errors.NotRunning("neither was this")
    assert "__notes__" not in vars(one)
    one.add_note("added")
    assert ["code: LRM-1004", f"try: {one.hint}", "added"] == one.__notes__
    assert ["code: LRM-1004", f"try: {one.hint}"] == other.__notes__
    with pytest.raises(errors.NotRunning) as raised:
        raise one from other
    assert raised.value.__notes__ is one.__notes__
    assert 1 == "".join(traceback.format_exception_only(one)).count("try: ")
    other.hint = "a hint that comes late is in the notes of nobody who was looked at"
    assert "late" not in str(other.__notes__)
    assert [] == errors.LrmError("a base has no code and no hint").__notes__


def test_notes_are_one_list_for_all_threads() -> None:
    """Whoever looks first: the same error may end several callers."""
    error, lists, gate = errors.NotRunning("x"), [], threading.Barrier(8)

    def look() -> None:
        gate.wait(30)
        lists.append(error.__notes__)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one is error.__notes__ for one in lists)
    assert len(error.__notes__) == 2
