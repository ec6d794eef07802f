"""Rule 13: data never names code: nothing is unpickled, imported or called because a file said so."""

from __future__ import annotations

import ast
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from eventstore.codec import encode_state
from eventstore.events import event
from eventstore.opening import open_store
from eventstore.records import Attachment, Batch, Cursor, NewEvent, Receipt, Snapshot, StreamWrite
from lrm_actors.domain import analyzer, breaker, checkpointer, journal, modes, monitor, supervisor
from lrm_actors.domain.deadlines import Deadline
from tests.actors.checkpoints.alone import encode_checkpoint
from tests.rules.reading_process import PLANTS
from tests.rules.support import PROCESS_PATIENCE_S, ROOT, calls, sources

# --- the sources --------------------------------------------------------------------------------------------------

FORBIDDEN_MODULES = frozenset(
    ("pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle", "joblib", "yaml",
     "runpy", "code", "codeop", "imp", "copyreg", "xmlrpc", "multiprocessing")
)  # fmt: skip
"""They make objects or run code from data."""
FORBIDDEN_CALLS = frozenset(("eval", "exec", "compile", "__import__"))
IMPORTING = frozenset(("import_module", "find_spec", "spec_from_file_location", "resolve_name", "load_module"))
LOADING = frozenset(("load_extension", "enable_load_extension"))

ALLOWED = {
    ("eventstore/lazy.py", "load"): "the lazy packages: modules of their own tables",
    ("lrm_actors/actors/wrappers.py", ""): "a text of our own, with the names of a function's parameters in it",
    ("eventstore/shaping/vouching.py", ""): "a text of our own, with the names of a class's fields in it",
    ("eventstore/damage/diagnosis.py", "_libraries"): "looks whether another SQLite is installed, by names of its own",
    ("lrm_actors/adapters/browser_use/compat.py", "part"): "modules of browser-use that the adapter itself names",
    ("lrm_actors/outer/calling.py", "_found"): "a function that was named on the command line, MODULE:FUNCTION",
    ("lrm_actors/cli/app.py", "get_command"): "commands of its own table, checked just before",
    ("lrm_actors/inspect/folds.py", "declare_ours"): "every module of our own package",
    ("lrm_actors/inspect/folds.py", "_our_spec"): "one of our own six actors, checked just before",
    ("lrm_actors/inspect/folds.py", "_specs_of"): "a module that was named on the command line, with --load",
}
"""The places that import by a name which is no literal, and where that name comes from."""


def violations(modules: Iterable[tuple[str, ast.Module]]) -> list[tuple[str, str, str]]:
    """Every place where data might become code: the file, the function, and what it does there."""
    found = []
    for path, tree in modules:
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            found += [(path, "", f"imports {one}") for one in names if one.partition(".")[0] in FORBIDDEN_MODULES]
            found += [
                (path, "", f"imports {one}") for one in names if one.rpartition(".")[2] in FORBIDDEN_CALLS - {"compile"}
            ]
            # Under another name they would not be seen being called.
            if isinstance(node, ast.Name) and node.id in FORBIDDEN_CALLS and isinstance(node.ctx, ast.Load):
                found.append((path, "", f"uses {node.id}"))
        found += [(path, function, what) for function, call in calls(tree) if (what := _does(call))]
    return found


def _does(call: ast.Call) -> str:
    """What is wrong with a call."""
    match call.func:
        case ast.Attribute(attr=name) if name in LOADING:
            return f"calls {name}"
        case ast.Attribute(ast.Name("builtins"), name) if name in FORBIDDEN_CALLS:
            return f"calls {name}"
        case ast.Attribute(attr=name) | ast.Name(name) if name in IMPORTING:
            literal = call.args and isinstance(call.args[0], ast.Constant)
            return "" if literal else f"{name}({ast.unparse(call.args[0]) if call.args else ''})"
        case ast.Name("getattr") if call.args and ast.unparse(call.args[0]) in {"builtins", "importlib"}:
            return ast.unparse(call)
    return ""


def test_rule_13_holds_in_the_sources() -> None:
    """No pickle, no eval; an import by a computed name only where the name cannot come out of a file."""
    found = violations(sources())
    assert [] == [one for one in found if one[:2] not in ALLOWED]
    assert ALLOWED.keys() == {one[:2] for one in found}, "some are allowed and do not occur"


PLANTED_SOURCES = [
    "import pickle",
    "from pickle import loads",
    "def f(data):\n    import marshal\n    return marshal.loads(data)",
    "import shelve as s",
    "from multiprocessing import shared_memory",
    "def f(text): return eval(text)",
    "def f(text): exec(text)",
    "run = eval",
    "import builtins\nbuiltins.exec('x')",
    "from builtins import eval as f",
    "def f(name): return __import__(name)",
    "import importlib\ndef f(name): return importlib.import_module(name)",
    "import importlib\ndef f(record): return importlib.import_module('lrm_actors.' + record.type)",
    "from importlib import import_module\ndef f(name): return import_module(f'x.{name}')",
    "import importlib\ndef f(name): return getattr(importlib, 'import_module')(name)",
    "import pkgutil\ndef f(name): return pkgutil.resolve_name(name)",
    "def f(connection, path): connection.load_extension(path)",
]
HARMLESS_SOURCES = [
    "import re\nWORD = re.compile('x')",
    "import importlib\nimportlib.import_module('lrm_actors.domain')",
    "import json\ndef f(text): return json.loads(text)",
    "def f(record): return getattr(record, 'position')",
]


@pytest.mark.parametrize("source", PLANTED_SOURCES)
def test_rule_13_planted_source_is_caught(source: str) -> None:
    """Each way in which data could become code, in the middle of a module that may import by name elsewhere."""
    found = violations([("lrm_actors/inspect/folds.py", ast.parse(source))])
    assert [one for one in found if one[:2] not in ALLOWED]


@pytest.mark.parametrize("source", HARMLESS_SOURCES)
def test_rule_13_holds_for_what_is_harmless(source: str) -> None:
    """The scanner does not cry at everything."""
    assert [] == violations([("any.py", ast.parse(source))])


# --- a log that names code ----------------------------------------------------------------------------------------


@event("probe_type.Boom", 1)
class Typed:
    value: Any


@event("probe_type.inner.Boom", 1)
class Nested:
    value: Any


NAMES = ("probe_name.boom", "probe_name:boom", "os.system", "lrm_actors.demo.worker")
"""Names that stand where names stand."""


class Bomb:
    """Unpickled, it runs something."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("exploded",)


def log_of(path: Path, names: Sequence[str], things: Sequence[Any]) -> None:
    """A log with an event of everything, in which these names stand wherever there is a name, and these things."""
    with open_store(path) as store:

        def add(stream: str, *facts: object, **parts: Any) -> None:
            write = StreamWrite(stream, tuple(NewEvent(one, command_id=stream, correlation_id=stream) for one in facts))
            store.append(Batch((write,), **parts))

        for number, name in enumerate(names, start=1):
            until = Deadline(1.0, 1.0, 1.0, name)
            checkpoint_id = f"checkpoint_{number:013d}_{name}"
            encoded = encode_checkpoint({"class": name, "things": list(things)}, checkpoint_id=checkpoint_id)
            info = checkpointer.CheckpointInfo(
                checkpoint_id, "manual", 1.0, store.head, encoded.size_bytes, encoded.digest, name
            )
            facts = analyzer.FailureFacts(name, class_names=(name,), message=name)
            add(name, Typed(name), Nested({"py/object": name}))
            add(f"breaker/{name}", breaker.FailuresObserved(name, (name,)), breaker.Opened(name, 1, name, until))
            add(
                "supervisor", supervisor.ProcessStarted(number, 1, restarted=True, children=(f"component:{name}", name))
            )
            add("supervisor", supervisor.ChildFailed(f"component:{name}", name, name, name, 1.0, name))
            add("monitor", monitor.ComponentExited(name, 1, name), monitor.HealthChanged("healthy", "warning", name))
            add("analyzer", analyzer.FailureRecorded(name, "unknown", name, name, facts, 1.0, name))
            add("modes", modes.HealthConsidered("healthy", name))
            add("journal", journal.StepBegun(number, name, 1), journal.StepCommitted(number, name, {"py/object": name}))
            data = (Attachment(checkpointer.attachment_key(checkpoint_id), encoded.data), Attachment(name, b"x"))
            add("checkpointer", checkpointer.CheckpointTaken(info), attachments=data)
            add(name, Typed(name), receipts=(Receipt(name, {"py/object": name}),), cursors=(Cursor(name, 1),))
            state = encode_state(modes.ModesState(cause=name))
            add(name, Typed(name), snapshots=(Snapshot(name, 1, f"{name}/1", state),))
        for thing in things:
            add("probe_stream/instance", Typed(thing))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, list[str]]]:
    """What a process imported and executed that read a log which names code everywhere: as it is, and with plants."""
    place = tmp_path_factory.mktemp("rule-13")
    bomb = pickle.dumps(Bomb(), protocol=0).decode("latin-1")
    (place / "probe_pickle.py").write_text("def boom(): pass\n")
    things = (
        "__import__('probe_eval')",
        "__import__('os').mkdir('exploded')",
        {"py/object": "probe_object.Boom", "py/reduce": ["os.mkdir", ["exploded"]]},
        "!!python/object/apply:os.mkdir ['exploded']",
        {"__class__": "probe_class.Boom", "__reduce__": ["os.mkdir", "exploded"]},
        bomb,
        "cprobe_pickle\nboom\n(tR.",
    )
    log_of(place / "harmless" / "lrm.db", ("plain", "other"), ("text", {"key": "value"}))
    log_of(place / "hostile" / "lrm.db", NAMES, things)
    command = [sys.executable, "-m", "tests.rules.reading_process"]
    logs = [str(place / name / "lrm.db") for name in ("harmless", "hostile")]
    done = subprocess.run(
        [*command, *logs, *PLANTS], cwd=place, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, timeout=PROCESS_PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]  # as the process wrote it


def test_rule_13_holds_for_a_log_that_names_code(found: dict[str, tuple[int, list[str]]]) -> None:
    """Read by the reader, by each command, and by an agent that lives on it: nothing is imported and nothing runs."""
    said, touched = found["none"]
    assert said > 1_000, "too little was read to prove anything"
    assert [] == touched


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        ("imports types", "looks for probe_type"),
        ("imports streams", "looks for lrm_actors.demo"),
        ("unpickles", "pickle.find_class"),
        ("evaluates", "looks for probe_eval"),
        ("calls hooks", "looks for probe_object"),
    ],
)
def test_rule_13_planted_a_careless_reader_is_caught(
    plant: str, told: str, found: dict[str, tuple[int, list[str]]]
) -> None:
    """Each way of taking data at their word is seen by what is looked for or run."""
    assert any(one.startswith(told) for one in found[plant][1]), found[plant][1]
