"""Who of the product asks the machine for the time, or reads the wall time of a moment: looked for in the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from tests.rules.support import sources

WALL = frozenset(("time", "time_ns", "now", "utcnow", "today", "localtime", "gmtime", "ctime"))
"""Of ``time`` and ``datetime``: what reads the wall clock."""
MONOTONIC = frozenset(("monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"))

ALLOWED = {
    "eventstore/opening.py time.time": "the moment itself, by both clocks: the label of every event",
    "eventstore/opening.py time.monotonic": "the same",
    "eventstore/locking.py time.monotonic": "how long a lock is waited for, before there is any clock of ours",
    "eventstore/locking.py time.sleep": "the same",
    "eventstore/exiting.py time.monotonic": "how long the end of the interpreter waits for a disk",
    "eventstore/leftovers.py time.time": "the age of a file, which the file system tells by it",
    "eventstore/group.py time.monotonic": "how long a transaction took, which is how long others are waited for",
    "eventstore/shaping/shapes.py datetime.time": "the class of times of day: nobody is asked for one",
    "eventstore/retention.py time.sleep": "between two transactions: lets others have the lock",
    "lrm_actors/runtime/clock.py time.monotonic": "the clock",
    "lrm_actors/actors/monitor.py time.monotonic": "a default that whoever has a clock replaces",
    "lrm_actors/actors/sampling/sampler.py time.monotonic": "the same",
    "lrm_actors/actors/sampling/sampler.py time.sleep": "the same; before the first sample",
    "lrm_actors/actors/sampling/owned.py time.monotonic": "the same",
    "lrm_actors/actors/sampling/probe.py time.monotonic": "the same",
    "lrm_actors/actors/sampling/lag.py time.monotonic": "the same",
    "lrm_actors/actors/retry.py time.sleep": "a default that whoever has a clock replaces: between two tries",
    "lrm_actors/actors/checkpointer.py time.sleep": "of no length: lets other threads in",
    "lrm_actors/actors/checkpoints/cutting.py time.perf_counter": "how long a slice of the host's loop is held",
    "lrm_actors/actors/checkpoints/texts.py time.perf_counter": "the same",
    "lrm_actors/actors/checkpoints/encoding.py time.sleep": "of no length: lets other threads in",
    "lrm_actors/hosting/capturing.py time.monotonic": "how long steps are taken up before the host's loop may go on",
    "lrm_actors/hosting/slicing.py time.perf_counter": "how long a slice of the host's loop is held",
    "lrm_actors/hosting/slicing.py time.sleep": "of no length: lets other threads in",
    "lrm_actors/hosting/owner/asking.py time.monotonic": "the deadline of a question to another process",
    "lrm_actors/hosting/owner/asking.py time.sleep": "between two attempts to get in",
    "lrm_actors/hosting/owner/commands.py time.sleep": "of no length: lets other threads in",
    "lrm_actors/runtime/inspection/dumping.py time.sleep": "the same",
    "lrm_actors/hosting/owner/serving.py time.monotonic": "the deadlines of other processes",
    "lrm_actors/hosting/owner/serving.py time.sleep": "while there are no file descriptors",
    "lrm_actors/hosting/terminating.py time.monotonic": "how long a process that is asked to end saves its state",
    "lrm_actors/hosting/terminating.py time.sleep": "until the signal ends it",
    "lrm_actors/hosting/relocation.py time.time": "a label in the file that tells where a log was moved to",
    "lrm_actors/hosting/beating.py time.monotonic": "heartbeats to the process that watches this one from outside",
    "lrm_actors/outer/watching.py time.monotonic": "how long another process is silent: no actor of ours runs there",
    "lrm_actors/outer/acting.py time.monotonic": "as above: the timers of what was decided",
    "lrm_actors/outer/clearing.py time.monotonic": "as above: how long processes have to end",
    "lrm_actors/outer/last_words.py time.monotonic": "as above: how long standard error has to take the last lines",
    "lrm_actors/outer/recording.py time.monotonic": "as above: when a log that could not be written is tried again",
    "lrm_actors/outer/log_files.py time.monotonic": "as above: when the files of the log are looked at again",
    "lrm_actors/adapters/browser_use/launching.py time.monotonic": "how long a browser has to come up",
    "lrm_actors/adapters/browser_use/launching.py time.sleep": "between two looks at it",
    "lrm_actors/adapters/browser_use/processes.py time.monotonic": "how long a browser's processes have to end",
    "lrm_actors/adapters/browser_use/processes.py time.sleep": "between two looks at them",
    "lrm_actors/cli/log.py time.sleep": "between two looks at the logs of other processes",
    "lrm_actors/cli/trace.py time.monotonic": "how long the user wants to look on",
    "lrm_actors/cli/trace.py time.sleep": "between two looks at another process",
    "lrm_actors/cli/checkpoints_changing.py time.time": "the age of checkpoints in another process's log",
}
"""Who may ask the machine for the time, and why. The demo's processes may too: they are no part of what they show."""

READS_LABELS = {
    "eventstore/memory.py": "the age of events that may go",
    "eventstore/memory_log.py": "labels, and the age of receipts",
    "eventstore/memory_reader.py": "what was recorded until a date",
    "eventstore/retention.py": "the age of events that may go",
    "eventstore/encrypting/sealing.py": "a label: when a data key was made",
    "eventstore/writing.py": "labels, and the age of receipts",
    "lrm_actors/actors/breaker.py": "beside the date of a Retry-After whose answer bears no date",
    "lrm_actors/cli/common.py": "shown",
    "lrm_actors/cli/dead_letters.py": "shown",
    "lrm_actors/cli/health.py": "shown",
    "lrm_actors/cli/log.py": "shown",
    "lrm_actors/cli/show.py": "shown",
    "lrm_actors/cli/what_if.py": "shown",
    "lrm_actors/domain/checkpointing/keeping.py": "the age of a checkpoint, for retention",
    "lrm_actors/domain/checkpointer.py": "the age of checkpoints, for retention",
    "lrm_actors/domain/checkpointing/requesting.py": "in the id of a checkpoint, to be read; the age of a base",
    "lrm_actors/domain/checkpointing/storing.py": "beside a checkpoint, for whoever reads it; its age, for retention",
    "lrm_actors/domain/checkpointing/tending.py": "the age of checkpoints, for retention",
    "lrm_actors/domain/deadlines.py": "across a reboot, clamped",
    "lrm_actors/inspect/dead_letters.py": "a label, to be shown",
    "lrm_actors/inspect/giving_up.py": "the same: when something was given up",
    "lrm_actors/hosting/keeping.py": "the age of checkpoints, for retention",
    "lrm_actors/inspect/sections.py": "the age of the newest checkpoint, to be shown",
    "lrm_actors/inspect/outer.py": "which of two logs tells first, of events of two processes, to be shown",
    "lrm_actors/inspect/health.py": "the age of another process's log, after a reboot",
}
"""Who reads the wall time of a moment, and what for."""


def reads_clocks(modules: Iterable[tuple[str, ast.Module]]) -> Iterator[str]:
    """Every use of the machine's clocks, by the module and the function of theirs."""
    for path, tree in modules:
        names = dict(_imported(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and "." in names.get(node.id, "") and isinstance(node.ctx, ast.Load):
                if names[node.id].rpartition(".")[2] in WALL | MONOTONIC:
                    yield f"{path} {names[node.id]}"
            elif isinstance(node, ast.Attribute):
                owner = names.get(ast.unparse(node.value).partition(".")[0], "")
                clock = owner.partition(".")[0]
                if clock in {"time", "datetime"} and node.attr in WALL | MONOTONIC:
                    yield f"{path} {clock}.{node.attr}"


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The names under which a module knows ``time`` and ``datetime`` and what is in them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((one.asname or one.name, one.name) for one in node.names if one.name in {"time", "datetime"})
        elif isinstance(node, ast.ImportFrom) and node.module in {"time", "datetime"}:
            yield from ((one.asname or one.name, f"{node.module}.{one.name}") for one in node.names)


def reads_labels(modules: Iterable[tuple[str, ast.Module]]) -> set[str]:
    """The modules that read the wall time of a moment."""
    return {
        path
        for path, tree in modules
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "wall_s" and isinstance(node.ctx, ast.Load)
    }


def product() -> list[tuple[str, ast.Module]]:
    """Everything but the demo and what is for tests, which own their clocks."""
    return [(path, tree) for path, tree in sources() if "/demo/" not in path and "/testing/" not in path]
