"""How checkpoints are named on the command line and shown: what is on record of one, its state, what changed in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrm_actors.cli.output import clock_time, count, iso_time, paint, say, say_line, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.protocol import EventReader
    from lrm_actors.domain.checkpointer import CheckpointerState, CheckpointInfo
    from lrm_actors.domain.journal import JournalState
    from lrm_actors.inspect.differences import Change

LATEST = "latest"
SHOWN = 100
"""Characters of a value in a line."""
STDOUT = "-"


def checkpoints_in(reader: EventReader) -> CheckpointerState:
    """The checkpoints on record.

    Raises:
        FoldFailed: the log does not tell which there are.
    """
    from lrm_actors.domain.checkpointer import CheckpointerState

    return _state(reader, "checkpointer") or CheckpointerState()


def document_of(reader: EventReader, checkpoint_id: str) -> dict[str, Any]:
    """A checkpoint's document.

    Raises:
        CheckpointNotFound: there is none of this id.
        CheckpointDamaged: its bytes are not what was captured.
    """
    return documents_of(reader, (checkpoint_id,))[0]


def documents_of(reader: EventReader, checkpoint_ids: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """The documents of several."""
    from lrm_actors.hosting.keeping import documents

    return documents(reader, lambda: checkpoints_in(reader), checkpoint_ids)


def steps_in(reader: EventReader, *, alive: bool) -> JournalState:
    """The steps on record. One that was open when the process died is in doubt, as the next process will say."""
    import attrs

    from lrm_actors.domain.journal import JournalState

    state: JournalState = _state(reader, "journal") or JournalState()
    return state if alive or state.open is None else attrs.evolve(state, in_doubt=state.open)


def _state(reader: EventReader, name: str) -> Any:
    from lrm_actors.inspect.replay import folded_at_head

    return folded_at_head(reader, name).state


def find(reader: EventReader, given: str) -> CheckpointInfo:
    """The checkpoint that is meant: an id, ``latest``, or the end of an id, if just one ends so.

    Raises:
        CheckpointNotFound: there is none, or more than one.
    """
    from lrm_actors.errors import CheckpointNotFound
    from lrm_actors.inspect.removed import stands_for, why_removed

    kept = checkpoints_in(reader).kept
    if given == LATEST and kept:
        return kept[-1]
    exact = [info for info in kept if info.checkpoint_id == given]
    ends_so = [info for info in kept if stands_for(given, info.checkpoint_id)]
    found = exact or ends_so
    if len(found) != 1:
        several = f"{len(found)} end so" if found else ""
        raise CheckpointNotFound(given, several, removed="" if found else why_removed(reader, given))
    return found[0]


def record_of(info: CheckpointInfo) -> dict[str, Any]:
    """What is on record of a checkpoint, as JSON data."""
    import msgspec

    told: dict[str, Any] = {name: getattr(info, name) for name in info.__struct_fields__}
    return {**msgspec.to_builtins(told), "taken_at": iso_time(info.taken_at_s)}


def document_form(document: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's document in values that JSON has."""
    from lrm_actors.inspect.json_form import to_json_form

    return {key: to_json_form(value) for key, value in document.items()}


def write_document(file: str, document: dict[str, Any]) -> None:
    """Write a checkpoint's document as JSON, to a new file that only its owner may read, or to standard output.

    Raises:
        LogExists: there is such a file.
        CopyFailed: it cannot be written.
    """
    text = json.dumps({"schema": "lrm.checkpoint/1", **document_form(document)}, ensure_ascii=False, indent=2)
    if file == STDOUT:
        from lrm_actors.cli.output import json_document

        json_document(json.loads(text))
        return
    from eventstore.copying.placing import placed

    with placed(Path(file)) as partial:
        partial.write_text(f"{text}\n", encoding="utf-8")


def say_state(document: dict[str, Any]) -> None:
    """The state for people; bytes by their number."""
    for part in ("agent_state", "browser_state"):
        if document[part] is not None:
            say(f"  {part}")
            for line in json.dumps(_readable(document[part]), ensure_ascii=False, indent=2).split("\n"):
                say(f"    {line}")


def sizes(info: CheckpointInfo) -> str:
    """How large the state is, what of it had to be stored, and which large binary parts came in by themselves."""
    blobs = f" + {count(len(info.added), 'blob')}" if info.added else ""
    if not info.stored_bytes:
        return size(info.size_bytes)
    return f"{size(info.size_bytes)} in {size(info.stored_bytes)}{blobs}"


def flags(info: CheckpointInfo) -> str:
    """What is to be known of one besides."""
    return " ".join([*(["pinned"] if info.pinned else []), *([paint("damaged", "bad")] if info.damaged else [])])


def say_changes(changes: Sequence[Change], *, more: bool) -> None:
    """What changed, a line each."""
    signs = {"added": paint("+", "good"), "removed": paint("-", "bad"), "changed": paint("~", "warn")}
    for change in changes:
        told = {
            "added": _short(change.after),
            "removed": _short(change.before),
            "changed": f"{_short(change.before)} -> {_short(change.after)}",
        }
        say_line(f"{signs[change.kind]} {change.where}  {told[change.kind]}")
    say(f"{count(len(changes), 'change')}{', and more' if more else ''}")


def change_data(change: Change) -> dict[str, Any]:
    """A change as JSON data."""
    from lrm_actors.inspect.json_form import to_json_form

    return {
        "path": [to_json_form(part) for part in change.path],
        "where": change.where,
        "kind": change.kind,
        "before": to_json_form(change.before),
        "after": to_json_form(change.after),
    }


def step_line(position: int, wall_s: float | None, number: int, name: str) -> str:
    """A step on one line."""
    at = "" if wall_s is None else f"  {clock_time(wall_s)}"
    return f"#{position}{at}  step {number}  {name}"


def _short(value: Any) -> str:
    text = json.dumps(_readable(value), ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _readable(value: Any) -> Any:
    """The same with bytes told by their number, and keys as text: for reading, not for reading back."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else repr(key): _readable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_readable(one) for one in value]
    if isinstance(value, bytes):
        return f"<{count(len(value), 'byte')}>"
    return value
