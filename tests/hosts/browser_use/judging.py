"""Compares what a disturbed run left with what an undisturbed one leaves: history, memory, files, the server's books.

What differs between any two runs is left out first: ports, tab ids, the page's numbers of its elements, times, titles.
What the adapter tells the model about actions in doubt is left out of the memory, and counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import lrm_actors.mode  # noqa: F401 - with it the types of its events are known
from eventstore import open_reader

DOUBT = "in doubt"
"""Stands in every memory item by which the model is told that an action may have happened twice."""
CUT = "had to be started anew"
"""Stands in every one by which it is told that an action was not done, since its page was gone."""
STEP_OF = {
    "POST /login": 2, "PUT /notes/fruit": 4,
    "PUT /orders/apple": 7, "PUT /orders/pear": 8, "PUT /orders/plum": 10, "PUT /orders/quince": 11,
}  # fmt: skip
"""In which step each request with an effect belongs."""

_PROGRESS = re.compile(r"progress (\d+)/")
_BLANK = re.compile(r"about:blank|chrome://new-tab-page(-third-party)?/")
_SITE, _TAB = re.compile(r"http://127\.0\.0\.1:\d+"), re.compile(r"#[0-9A-F]{4}\b")


def plain(value: Any) -> Any:
    """Without what differs between any two runs."""
    match value:
        case dict():
            dropped = {"index", "tab_id", "target_id", "metadata", "interacted_element", "screenshot_path", "title"}
            return {key: plain(one) for key, one in value.items() if key not in dropped}
        case list():
            return [plain(one) for one in value]
        case str():
            return _TAB.sub("#tab", _SITE.sub("http://site", value))
        case _:
            return value


def history_of(result: Mapping[str, Any]) -> list[Any]:
    """What each step decided, did and saw; tabs in any order. Without a step that could not be taken for a doubt."""
    items = []
    for item in result["history"]:
        if is_doubtful(item):
            continue
        one = plain(item)
        one["state"]["tabs"] = sorted(_BLANK.sub("blank", tab["url"]) for tab in one["state"]["tabs"])
        one["state"]["url"] = _BLANK.sub("blank", one["state"]["url"])
        for done in one["result"] or []:
            done.pop("attachments", None)  # paths below the agent's own directory
        items.append(one)
    return items


def is_doubtful(item: Mapping[str, Any]) -> bool:
    """Whether a step ended with an action that was not repeated, since it may have been done before."""
    return any(DOUBT in str(done.get("error")) for done in item["result"] or [])


def memory_of(result: Mapping[str, Any]) -> list[str]:
    """What the agent remembers, but for what it was told of actions in doubt, or not done."""
    return [plain(text) for text in result["memory"] if DOUBT not in text and CUT not in text]


def spent(result: Mapping[str, Any], undisturbed: Mapping[str, Any]) -> int:
    """Steps that were counted and are in no history, beyond those that ended for a doubt."""
    counted: int = result["n_steps"] - sum(is_doubtful(item) for item in result["history"])
    return counted - int(undisturbed["n_steps"])


def differences(result: Mapping[str, Any], undisturbed: Mapping[str, Any], *, may_spend: int = 0) -> list[str]:
    """In what a run's end differs from an undisturbed one's, of which it may spend some steps more."""
    found = []
    for name, of in (("history", history_of), ("memory", memory_of)):
        mine, theirs = of(result), of(undisturbed)
        if len(mine) != len(theirs):
            found.append(f"{name}: {len(mine)} items and not {len(theirs)}")
        found += [
            f"{name} {number}{place(one, other)}"
            for number, (one, other) in enumerate(zip(mine, theirs, strict=False))
            if one != other
        ]
    for name in ("files", "is_done", "final"):
        if result[name] != undisturbed[name]:
            found.append(f"{name}: {result[name]} and not {undisturbed[name]}")
    if spent(result, undisturbed) > may_spend or spent(result, undisturbed) < 0:
        found.append(f"{spent(result, undisturbed)} steps more were counted")
    return found


def place(one: Any, other: Any) -> str:
    """The first place where two values differ, and how."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return next(f".{key}{place(one[key], other[key])}" for key in one if one[key] != other[key])
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return next(f"[{number}]{place(*pair)}" for number, pair in pairs if pair[0] != pair[1])
    return f": {one!r} and not {other!r}"


def effect_differences(books: Mapping[str, Any], undisturbed: Mapping[str, Any]) -> list[str]:
    """In what the server's books differ, however often it was asked."""
    return [
        f"{name}: {books[name]} and not {undisturbed[name]}"
        for name in ("orders", "notes", "signed_in", "refused")
        if books[name] != undisturbed[name]
    ]


def repeated(books: Mapping[str, Any], undisturbed: Mapping[str, Any]) -> dict[str, int]:
    """Requests with an effect that came more often than in an undisturbed run, and how much more often."""
    return {
        request: count - undisturbed["counts"].get(request, 0)
        for request, count in books["counts"].items()
        if not request.startswith("GET") and count > undisturbed["counts"].get(request, 0)
    }


def doubts_in(events: Iterable[Any], result: Mapping[str, Any]) -> list[int]:
    """The step, as the model counts, of each action that was reported in doubt."""
    steps = {}
    for item in result["history"]:  # a step may be counted and have no item
        said = _PROGRESS.search(str(item["model_output"]))
        steps[item["metadata"]["step_number"]] = int(said[1]) if said else 0
    return [steps.get(record.event.step, 0) for record in events if record.type == "journal.effect_in_doubt"]


def unreported(repeats: Mapping[str, int], doubts: Iterable[int]) -> list[str]:
    """Repeats of which nobody was told.

    Args:
        repeats: see ``repeated``.
        doubts: the steps in which an action was in doubt, once for each time it was.
    """
    told = list(doubts)
    wrong = []
    for request, times in repeats.items():
        if told.count(STEP_OF[request]) < times:
            wrong.append(f"{request} came {times} times more, in doubt {told.count(STEP_OF[request])} times")
    return wrong


def unsaid(events: Iterable[Any]) -> list[str]:
    """Actions that were begun once more though the last time has no end and nobody was told that it is in doubt."""
    begun: dict[tuple[int, str, int], bool] = {}
    wrong = []
    for record in events:
        event = record.event
        match record.type:
            case "journal.effect_intended":
                key = (event.step, event.name, event.occurrence)
                if begun.get(key):
                    wrong.append(f"{key} was begun again at {record.position}")
                begun[key] = True
            case "journal.effect_done" | "journal.effect_failed" | "journal.effect_in_doubt":
                begun[event.step, event.name, event.occurrence] = False
    return wrong


def events_of(log: Path, *types: str) -> list[Any]:
    """The events of these types in a log, in order, as records."""
    with open_reader(log) as reader:
        return list(reader.read(types=types or None))
