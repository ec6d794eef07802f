"""Salvages damaged logs, and judges what came back: all that is whole, and nothing that was never there."""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path

from eventstore.damage.salvaging import salvage_copy
from eventstore.errors import EventStoreError
from eventstore.opening import open_reader
from tests.faults.corrupting import Counts, Mutation, campaign, mutation
from tests.faults.specimens import DATABASE, MARK, Specimen, scratch, specimens


def judge_salvage(specimen: Specimen, one: Mutation, directory: Path, counts: Counts) -> None:
    """Damage a log and bring back what is whole: all of that, and nothing that was never there."""
    told = f"salvage of {specimen.name}: {one}"
    path, target = directory / "lrm.db", directory / "salvaged" / "lrm.db"
    specimen.lay(path, {one.file: one.data})
    shutil.rmtree(target.parent, ignore_errors=True)
    counts.salvages += 1
    whole = {
        position for position, places in specimen.places.items() if any(_is_whole(specimen, one, *p) for p in places)
    }
    if not all(_is_whole(specimen, one, DATABASE, *page) for page in specimen.name_pages):
        whole = set()  # the names may be gone, and nothing can vouch for an event without them
    try:
        result = salvage_copy(path, target)
    except EventStoreError as error:
        if whole:
            counts.wrong.append(f"{told}: {len(whole)} events were whole: {error}")
        return
    counts.salvaged += result.events
    with open_reader(target) as reader:
        problems = {problem.what for problem in reader.verify().problems}
        back = {record.position: record for record in reader.read()}
        attachments = [reader.attachment(key) for key in reader.attachment_keys()]
    (first, head), records, *_, kept = specimen.says
    wrong = [position for position, record in back.items() if record != {r.position: r for r in records}.get(position)]
    lost = {position for a, b in result.lost for position in range(a, b + 1)}
    if missing := sorted(whole - back.keys()):
        counts.wrong.append(f"{told}: {missing} were whole and are not back, {result}")
    if wrong:
        counts.wrong.append(f"{told}: {wrong} are not what they were")
    if not problems <= {"gap"}:
        counts.wrong.append(f"{told}: the new log has {problems}")
    if one.file != MARK and back and lost != set(range(first, head + 1)) - back.keys():
        counts.wrong.append(f"{told}: {result.lost} is said to be lost, but {sorted(back)} are back")
    if any(attachment not in kept for attachment in attachments) and specimen.name == "closed":
        counts.wrong.append(f"{told}: an attachment that was not there")


def _is_whole(specimen: Specimen, one: Mutation, file: str, start: int, end: int) -> bool:
    return file != one.file or one.data[start:end] == specimen.files[file][start:end]


def salvage_campaign(wanted: int, seed: int, logs: list[Specimen] | None = None) -> Counts:
    """So many mutations, each salvaged."""
    counts = Counts()
    chance = random.Random(seed)
    logs = logs or specimens()
    directory = scratch()
    try:
        for number in range(wanted):
            specimen = logs[number % len(logs)]
            judge_salvage(specimen, mutation(specimen, chance), directory, counts)
    finally:
        shutil.rmtree(directory)
    return counts


if __name__ == "__main__":
    done = campaign(int(sys.argv[1]), int(sys.argv[2]))
    brought = salvage_campaign(int(sys.argv[1]) // 6, int(sys.argv[2]))
    salvaged = f"{brought.salvages} salvages brought {brought.salvaged} events back"
    print(json.dumps({"counts": f"{done}; {salvaged}", "wrong": done.wrong + brought.wrong}))
