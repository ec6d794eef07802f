"""A chain of checkpoints as the release that made it stored it opens in every later one.

``python -m tests.actors.checkpoints.test_golden VERSION`` writes the chain of the version in development. The chain of
a release is never made again.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.actors.checkpoints.kit import Info, Shelf

GOLDEN = Path(__file__).parents[2] / "golden"
PICTURE = bytes(range(256)) * 64


def states() -> list[Any]:
    """What the chain is of, oldest first."""
    numbers = [{"n": n, "text": f"step {n}, ü ☃ " * 12, "at": n / 3, "ok": None} for n in range(40)]
    first = {"agent_state": {"history": numbers, "big": -(2**80)}, "browser_state": None}
    second = json.loads(json.dumps(first))
    second["agent_state"]["history"][7]["ok"] = True
    second["agent_state"]["history"].append({"n": 40})
    third = json.loads(json.dumps(second))
    del third["agent_state"]["history"][:2]
    third["browser_state"] = {"shot": PICTURE, 7: b"small"}
    return [first, second, third]


def write(version: str) -> None:
    """Store the chain."""
    shelf = Shelf()
    for state in states():
        shelf.take(state)
    found = {
        "rows": {
            key: base64.b64encode(data).decode() for key, data in shelf.kept.items() if not key.startswith("blob/")
        },
        "blobs": [key for key in shelf.kept if key.startswith("blob/")],
        "infos": [[info.checkpoint_id, info.digest, info.parent] for info in shelf.infos.values()],
    }
    (GOLDEN / version / "checkpoints.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


@pytest.mark.parametrize("version", sorted(path.parent.name for path in GOLDEN.glob("*/checkpoints.json")))
def test_a_chain_of_every_release_is_restored(version: str) -> None:
    """A base, a delta, and a delta with a blob."""
    found = json.loads((GOLDEN / version / "checkpoints.json").read_text(encoding="utf-8"))
    shelf = Shelf()
    shelf.kept = {key: base64.b64decode(data) for key, data in found["rows"].items()}
    shelf.kept |= dict.fromkeys(found["blobs"], PICTURE)
    shelf.infos = {one[0]: Info(*one) for one in found["infos"]}
    assert [bool(info.parent) for info in shelf.infos.values()] == [False, True, True]
    assert [shelf.restore(checkpoint_id).state for checkpoint_id in shelf.infos] == states()


if __name__ == "__main__":
    write(sys.argv[1])
