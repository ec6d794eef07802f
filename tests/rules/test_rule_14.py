"""Rule 14: bad input gets a typed error with a code, what was wrong and what to try; nothing stored is lost.

Not yet held: a few mistakes of the programmer end with a built-in error that has neither code nor hint: a timeout that
is not positive and finite (``ask``, ValueError), an event declared under a bad name (``@event``, ValueError), and a
coroutine function given to ``call_blocking`` (TypeError). So does time that runs out where the host is waited for: in a
checkpoint by hand, a recovery, a function of the host's (TimeoutError). Thresholds and times that make no sense are
refused by the settings only: a ``BreakerConfig``, a ``RestartPolicy`` or a ``Spec`` made by hand takes any number.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import eventstore
import lrm_actors.fields
from eventstore.errors import EventStoreError
from eventstore.opening import open_reader, open_store
from eventstore.records import Batch, NewEvent, StreamWrite
from lrm_actors.cli import exits
from lrm_actors.domain import analyzer, breaker, checkpointer, journal, modes, monitor
from lrm_actors.errors import LrmError
from lrm_actors.mode import LongRunningMode
from lrm_actors.settings import LongRunningSettings
from tests.inspect.logs import lived
from tests.mode_kit import settings
from tests.rules.bad_inputs import (
    ACTORS,
    MODE,
    OPENING,
    REFUSALS,
    SETTINGS,
    STORE,
    Bad,
    ask,
    capturing,
    enter_step,
    is_code,
    mode_over,
    newer_log,
    objections,
    text_file,
    wrong_with,
)
from tests.rules.support import PROCESS_PATIENCE_S, ROOT, rows, run_python, system_on_disk
from tests.runtime.support import Add, Added, counter


def test_rule_14_holds_for_settings(tmp_path: Path) -> None:
    """By argument, assignment, variable or file: named, with the value and what is allowed."""
    assert [] == objections(SETTINGS, tmp_path)


def test_rule_14_holds_for_what_is_no_log(tmp_path: Path) -> None:
    """To read it or to own it: told what it is, and not a byte of it is changed."""
    assert [] == objections(OPENING, tmp_path)


@contextmanager
def written(directory: Path) -> Iterator[Path]:
    """A log in which something stands; afterwards it still does, and nothing is wrong with it."""
    path = directory / "default" / "lrm.db"
    with open_store(path) as store:
        store.append(Batch((StreamWrite("counter", tuple(NewEvent(Added(n)) for n in range(3))),)))
        stored = rows(store)
    yield path
    with open_reader(path) as reader:
        verification = reader.verify()
        assert verification.ok, verification.problems
        kept = [
            (one.position, one.stream, one.version, one.type, one.schema_version, one.cause, one.command_id, one.data)
            for one in reader.read(up_to=len(stored))
        ]
    assert stored == kept, "what was stored is not there any more"


def test_rule_14_holds_for_a_log_that_is_owned(tmp_path: Path) -> None:
    """A second owner is told, by the store and by the mode; the first one goes on."""
    cases = [
        Bad("owned, for open_store", "ES-4004", open_store),
        Bad("owned, for a mode", "ES-4004", lambda path: mode_over(path.parents[1])),
    ]
    with written(tmp_path) as path, open_store(path) as store:
        assert [] == objections(cases, path)
        store.append(Batch((StreamWrite("counter", (NewEvent(Added(9)),)),)))


def test_rule_14_holds_where_nothing_can_be_written() -> None:
    """A directory without write permission: told when owning, and read all the same."""
    place = Path(tempfile.mkdtemp())  # not below tmp_path, where only its owner may look
    user = os.geteuid()
    cases = [
        Bad("read-only, for open_store", "ES-4005", open_store),
        Bad("read-only, for a new log", "ES-4005", lambda path: open_store(path.parent / "new" / "lrm.db")),
        Bad("read-only, for a mode", "ES-4005", lambda path: mode_over(path.parents[1])),
    ]
    try:
        with written(place) as path:
            for one, mode in ((path, 0o644), (path.with_name("lrm.lock"), 0o644), (path.parent, 0o555), (place, 0o555)):
                one.chmod(mode)
            if user == 0:
                os.seteuid(65534)
            assert [] == objections(cases, path)
            with open_reader(path) as reader:
                assert 3 == reader.head
    finally:
        os.seteuid(user)
        shutil.rmtree(place)


def test_rule_14_holds_for_appends_and_questions(tmp_path: Path) -> None:
    """Refused as a whole, and the log is what it was."""
    with written(tmp_path) as path, open_store(path) as store:
        assert [] == objections(STORE, store)
        assert 3 == store.head


def test_rule_14_holds_for_what_is_asked_of_actors(tmp_path: Path) -> None:
    """An actor that was asked for nonsense answers the next question."""
    specs = (counter(), *(one.spec() for one in (analyzer, monitor, checkpointer, modes, journal)), breaker.spec("llm"))
    with written(tmp_path) as path, system_on_disk(path.parent, *specs) as system:
        assert [] == objections([*ACTORS, *REFUSALS], system)
        assert 4 == system.ask_blocking("counter", Add(1))


def test_rule_14_holds_after_the_end(tmp_path: Path) -> None:
    """A system that was stopped says so."""
    with written(tmp_path) as path:
        with system_on_disk(path.parent, counter()) as system:
            pass
        assert [] == objections([Bad("a system that was stopped", "LRM-1004", ask("counter", Add(1)))], system)


def test_rule_14_holds_for_a_running_mode(tmp_path: Path) -> None:
    """The agent is told of its mistake, and goes on with its next step, checkpoint and recovery."""
    with written(tmp_path), LongRunningMode(settings(tmp_path)) as mode:
        mode.recover_from_checkpoint()
        assert [] == objections(MODE, mode)
        with mode.step("good") as step:
            step.result = {"fine": True}
        mode.capture_with(lambda: {"page": 1})
        taken = mode.take_checkpoint()
        assert [taken] == mode.checkpointer.list_checkpoints()
        assert not mode.recover_from_checkpoint("checkpoint_that_there_is_not")
        assert mode.recover_from_checkpoint(taken)


def test_rule_14_holds_for_a_mode_that_does_not_run(tmp_path: Path) -> None:
    """Before the start and after the end."""
    mode = LongRunningMode(settings(tmp_path)).blocking
    cases = [
        Bad("a recovery", "LRM-1004", lambda mode: mode.recover_from_checkpoint()),
        Bad("a step", "LRM-1004", enter_step),
        Bad("a checkpoint", "LRM-1004", capturing({})),
        Bad("its log", "ES-4001", lambda mode: mode.reader()),
    ]
    assert [] == objections(cases, mode)
    with mode:
        pass
    assert [] == objections(cases[:-1], mode)


# --- planted ------------------------------------------------------------------------------------------------------


def _bare(_: object) -> None:
    raise ValueError("bad")


def _without_hint(_: object) -> None:
    raise LrmError("bad")


class Wordless(LrmError):
    """Planted: a code, and not a word."""

    code = "LRM-9999"


def _without_words(_: object) -> None:
    raise Wordless("", hint="try")


@pytest.mark.parametrize(
    ("give", "told"),
    [
        (_bare, "is a bare ValueError"),
        (_without_hint, "does not say what to try"),
        (_without_hint, "has no code of its own"),
        (_without_words, "does not say what was wrong"),
        (lambda _: None, "was accepted"),
        (lambda _: LongRunningSettings(max_checkpoints=0), "LRM-1001 instead of"),
    ],
)
def test_rule_14_planted_a_poor_answer_is_caught(give: Callable[[Any], object], told: str) -> None:
    """A built-in exception, no hint, no code, no words, no error at all, or another one than promised."""
    assert any(told in one for one in objections([Bad("planted", "LRM-9999", give)], None))


def test_rule_14_planted_a_setting_that_is_not_checked_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that take anything are seen to."""
    monkeypatch.setitem(lrm_actors.fields._CHECKS, "float", lambda _, value: value)
    assert "not a number: was accepted" in objections(SETTINGS, tmp_path)


def test_rule_14_planted_a_command_that_fails_unwrapped_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An asker who gets the handler's own error has neither code nor hint."""
    monkeypatch.setattr("lrm_actors.runtime.failing.wrapped", lambda _actor, error, _envelope: error)
    with written(tmp_path) as path, system_on_disk(path.parent, counter()) as system:
        found = objections(ACTORS, system)
    assert any("a command that is not known: is a bare TypeError" in one for one in found)


def test_rule_14_planted_an_append_that_is_half_done_is_caught(tmp_path: Path) -> None:
    """A store that stores what came before the bad part is seen by what stands in the log."""
    with pytest.raises(AssertionError, match="its tail is missing"), written(tmp_path) as path:
        with sqlite3.connect(path) as log:
            tables = [row[0] for row in log.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
            for trigger in tables:
                log.execute(f"DROP TRIGGER {trigger}")
            log.execute("DELETE FROM events WHERE position = 3")
        log.close()


# --- every class --------------------------------------------------------------------------------------------------


def error_classes() -> list[type[Exception]]:
    """Every class of error of both packages, but the bases that nothing is raised as."""
    for package in (eventstore, lrm_actors):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)

    def below(cls: type[Exception]) -> Iterator[type[Exception]]:
        for sub in cls.__subclasses__():
            if sub.__module__.startswith(("eventstore.", "lrm_actors.")):
                yield sub
                yield from below(sub)

    bases = {"AskError", "OpenError", "BrowserError"}
    every = [*below(LrmError), *below(EventStoreError)]
    return [cls for cls in dict.fromkeys(every) if cls.__name__ not in bases]


def _example(cls: type[Exception]) -> Exception:
    """An error of a class, made with nothing but what it cannot be made without."""
    values: dict[str, Any] = {"int": 1, "float": 1.0, "type": int, "object": object()}
    needed = [one for one in inspect.signature(cls).parameters.values() if one.default is one.empty]
    by_place = [one for one in needed if one.kind is one.POSITIONAL_OR_KEYWORD]
    by_name = {one.name: None for one in needed if one.kind is one.KEYWORD_ONLY}
    return cls(*(values.get(str(one.annotation), "what") for one in by_place), **by_name)


def poor_classes(classes: list[type[Exception]]) -> list[str]:
    """What is wrong with classes of errors: codes that are shared, and hints that nobody gives."""
    found: list[str] = []
    by_code: dict[str, str] = {}
    for cls in classes:
        error = _example(cls)
        found += [f"{cls.__name__}: {what}" for what in wrong_with(error)]
        code = getattr(error, "code", "")
        if by_code.setdefault(code, cls.__name__) != cls.__name__:
            found.append(f"{cls.__name__}: has the code {code} of {by_code[code]}")
    return found


def test_rule_14_holds_for_every_class_of_error() -> None:
    """Each has a code of its own, and a hint even where whoever raises it gives none."""
    classes = error_classes()
    assert len(classes) > 40
    assert [] == poor_classes(classes)


class Copied(LrmError):
    """Planted: another's code."""

    code = "LRM-2001"
    hint = "try"


@pytest.mark.parametrize(("plant", "told"), [(Copied, "of AskTimeout"), (Wordless, "does not say what to try")])
def test_rule_14_planted_a_class_without_its_own_is_caught(plant: type[Exception], told: str) -> None:
    """A code that is taken, a hint that is missing."""
    assert any(told in one for one in poor_classes([*error_classes(), plant]))


# --- the command line ---------------------------------------------------------------------------------------------


def wrong_with_end(done: subprocess.CompletedProcess[str], expected: int) -> list[str]:
    """What is wrong with how a command ended that was given bad input."""
    lines = done.stderr.splitlines()
    found = []
    if done.returncode != expected or expected not in exits.MEANINGS:
        found.append(f"exit code {done.returncode} instead of {expected}")
    if "Traceback" in done.stderr:
        found.append(f"a traceback: {lines[-1]}")
    usage = any(line.startswith("Error: ") for line in lines)
    if not usage and not any(line.startswith("error ") and is_code(line.split(":")[0][6:]) for line in lines):
        found.append("does not say what was wrong, by its code")
    if not any(line.startswith(("Try '" if usage else "try: ", "Usage:" if usage else "try: ")) for line in lines):
        found.append("does not say what to try")
    if done.stdout:
        found.append(f"printed what is no data: {done.stdout!r:.80}")
    return found


def lrm(place: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("LRM_")}
    command = [sys.executable, "-m", "lrm_actors.cli", *map(str, words)]
    return subprocess.run(
        command, cwd=place, env={**env, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=PROCESS_PATIENCE_S, check=False,
    )  # fmt: skip


COMMAND_LINES: list[tuple[str, int]] = [
    ("explode", exits.USAGE),
    ("log --limit many LOG", exits.USAGE),
    ("show first LOG", exits.USAGE),
    ("verify none.db", exits.NOT_FOUND),
    ("verify text.db", exits.BROKEN),
    ("log newer.db", exits.TOO_NEW),
    ("show 10000 LOG", exits.NOT_FOUND),
    ("why everything LOG", exits.USAGE),
    ("why breaker:none LOG", exits.NOT_FOUND),
    ("replay --actor nobody LOG", exits.NOT_FOUND),
    ("replay --to 10000 LOG", exits.NOT_FOUND),
    ("replay --load no.such.module LOG", exits.USAGE),
    ("checkpoints show none LOG", exits.NOT_FOUND),
]


def test_rule_14_holds_on_the_command_line(tmp_path: Path) -> None:
    """A documented exit code, the error's code, what was wrong and what to try; no traceback, and the log as it was."""
    text_file(tmp_path / "text.db")
    newer_log(tmp_path / "newer.db")
    log = tmp_path / "lrm.db"
    lived(log)
    with open_store(log) as store:
        before = rows(store)
    for words, expected in COMMAND_LINES:
        done = lrm(tmp_path, *words.replace("LOG", str(log)).split())
        assert [] == wrong_with_end(done, expected), f"lrm {words}: {done.stderr}"
    with open_store(log) as store:
        assert before == rows(store)
        assert store.verify().ok


PLANTED_COMMAND = """
import sys
import lrm_actors.cli.app as app
import lrm_actors.cli.finding as finding
from lrm_actors.errors import LrmError
error = {"bare": ValueError("bad"), "hintless": LrmError("bad")}[sys.argv.pop(1)]
def plant(given):
    raise error
import lrm_actors.cli.common as common
common.find_log = plant
app.main()
"""


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        ("bare", "a traceback"),
        ("bare", "exit code 1 instead of 3"),
        ("hintless", "does not say what to try"),
        ("hintless", "by its code"),
    ],
)
def test_rule_14_planted_a_command_that_ends_badly_is_caught(plant: str, told: str) -> None:
    """A traceback, another exit code, no code or no hint are seen."""
    done = run_python(PLANTED_COMMAND, plant, "verify", "none.db", check=False)
    assert any(told in one for one in wrong_with_end(done, exits.NOT_FOUND)), done.stderr
