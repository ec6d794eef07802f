"""A real graph of LangGraph's whose history is a delta channel, its newer way: only the writes to it are kept.

It needs a reducer that says how a write changes the history, and stores it whole now and then. What is measured is a
superstep with ``durability="sync"``, which a node ends by returning what changed: the checkpoint is in the file before
the next begins. The node itself does next to nothing, the changes are made beforehand.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

from benchmarks.checkpoint_peers import CONFIG, langgraph_available
from benchmarks.checkpoint_states import State

Write = dict[str, Any]
"""What a superstep changes: steps of the history by their index, and the other keys of the state whole."""


def write(state: State, steps: dict[int, Any]) -> Write:
    """What a graph's node gives for changes that were made in place."""
    others = {name: value for name, value in state.items() if name != "history"}
    return copy.deepcopy({**others, "history": steps})


def available() -> bool:
    """Whether this version of LangGraph has delta channels."""
    if not langgraph_available():
        return False
    try:
        from langgraph.channels.delta import DeltaChannel
    except ImportError:
        return False
    return DeltaChannel is not None


def apply(history: list[Any], writes: Sequence[dict[int, Any]]) -> list[Any]:
    """The reducer: the history with steps put in place of others, or at its end. Batches change nothing about it."""
    changed = list(history)
    for write in writes:
        for index, step in write.items():
            changed[int(index) :] = [step, *changed[int(index) + 1 :]]
    return changed


async def run(directory: Path, state: State, writes: Sequence[Write]) -> tuple[list[float], Any]:
    """Let a graph make these changes to a state, a superstep each, on an ``AsyncSqliteSaver``.

    Returns: milliseconds of each superstep, and the state at the end, as another run gets it from the file.
    """
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    path = _place(directory)
    begun: list[float] = []
    config = {**CONFIG, "recursion_limit": len(writes) + 10}
    async with AsyncSqliteSaver.from_conn_string(path) as saver:
        graph = _graph(saver, writes, begun)
        first = {"history": dict(enumerate(state["history"]))}
        await graph.ainvoke({**state, **first, "number": 0}, config, durability="sync")
    took = [(after - before) * 1000 for before, after in itertools.pairwise(begun)]
    async with AsyncSqliteSaver.from_conn_string(path) as saver:
        found = await _graph(saver, writes, []).aget_state(config)
    return took, {name: value for name, value in found.values.items() if name != "number"}


def _place(directory: Path) -> str:
    directory.mkdir(parents=True)
    return str(directory / "peer.db")


def _graph(saver: Any, writes: Sequence[Write], begun: list[float]) -> Any:
    from langgraph.channels.delta import DeltaChannel
    from langgraph.graph import END, START, StateGraph

    annotations: dict[str, Any] = dict.fromkeys(("task", "memory", "cookies", "cursor", "number"), Any)
    schema: Any = TypedDict("Kept", {**annotations, "history": Annotated[list, DeltaChannel(apply)]})  # type: ignore[misc]

    def node(kept: Any) -> Any:
        begun.append(time.perf_counter())
        number = kept["number"]
        return {"number": number + 1, **(writes[number] if number < len(writes) else {})}

    def more(kept: Any) -> str:
        return "node" if kept["number"] <= len(writes) else END

    builder = StateGraph(schema)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    builder.add_conditional_edges("node", more, ["node", END])
    return builder.compile(checkpointer=saver)
