"""Write down what is known of every real failure, for tests without the SDKs: ``python -m tests.hosts.record``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import attrs

from lrm_actors.domain.classify import FailureFacts
from tests.hosts.every import every_failure
from tests.hosts.judging import Told

RECORDED = Path(__file__).parents[1] / "domain" / "recorded_failures.jsonl"
MAX_MESSAGE = 200
_VARIES = re.compile(r"127\.0\.0\.1:\d+|/tmp/[\w./-]+|(?<='127\.0\.0\.1', )\d+")


def line_of(told: Told) -> str:
    """One failure on a line, without what differs from run to run."""
    message = _VARIES.sub("…", told.facts.message)[:MAX_MESSAGE]
    known = {**attrs.asdict(told.facts), "message": message, "class_names": " ".join(told.facts.class_names)}
    kept = {name: value for name, value in known.items() if value not in (None, "", ())}
    return json.dumps({"name": told.name, "category": told.category, "facts": kept}, ensure_ascii=False)


def recorded() -> list[Told]:
    """What was written down."""
    lines = [json.loads(line) for line in RECORDED.read_text("utf-8").splitlines()]
    for one in lines:
        one["facts"]["class_names"] = tuple(one["facts"].get("class_names", "").split(" "))
    return [Told(one["name"], one["category"], FailureFacts(**{"component": "", **one["facts"]})) for one in lines]


if __name__ == "__main__":
    lines = [line_of(Told(case.name, case.category, facts)) for case, facts in every_failure()]
    RECORDED.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{len(lines)} failures in {RECORDED}")
