"""The peers of the benchmarks of checkpoints, each as its own documentation uses it.

LangGraph's savers for SQLite, plain and asynchronous, and a whole file written anew by pickle and by orjson, each with
an fsync. A real graph of LangGraph's whose history is a delta channel is in ``checkpoint_graph``.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from benchmarks.checkpoint_states import State

PEERS = ("langgraph", "langgraph-checkpoint", "langgraph-checkpoint-sqlite", "orjson")
CONFIG: Any = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}


def langgraph_available() -> bool:
    """Whether its savers are installed: they come with the ``bench`` extra."""
    try:
        return importlib.util.find_spec("langgraph.checkpoint.sqlite") is not None
    except ModuleNotFoundError:
        return False


class Keeper(Protocol):
    """Somebody who keeps states."""

    async def open(self) -> None:
        """Begin, in a directory of its own."""

    async def put(self, state: State) -> None:
        """Keep a state; it is on the disk when this returns."""

    async def get(self) -> Any:
        """The state kept last."""

    async def close(self) -> None:
        """End."""


class Saver:
    """LangGraph's ``SqliteSaver``; its calls block the loop, for it has no others."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self._path = str(directory / "peer.db")
        self._stack = ExitStack()
        self._step = 0
        self._parent = CONFIG
        self._saver: Any = None

    async def open(self) -> None:
        """See ``Keeper``."""
        from langgraph.checkpoint.sqlite import SqliteSaver

        self._saver = self._stack.enter_context(SqliteSaver.from_conn_string(self._path))

    async def put(self, state: State) -> None:
        """See ``Keeper``."""
        self._parent = self._saver.put(self._parent, *self._arguments(state))

    async def get(self) -> Any:
        """See ``Keeper``."""
        return self._saver.get_tuple(CONFIG).checkpoint["channel_values"]

    async def close(self) -> None:
        """See ``Keeper``."""
        self._stack.close()

    def _arguments(self, state: State) -> tuple[Any, Any, dict[str, int]]:
        from langgraph.checkpoint.base import empty_checkpoint

        self._step += 1
        versions = dict.fromkeys(state, self._step)
        checkpoint = {**empty_checkpoint(), "channel_values": state, "channel_versions": versions}
        return checkpoint, {"source": "loop", "step": self._step, "parents": {}}, versions


class AsyncSaver(Saver):
    """LangGraph's ``AsyncSqliteSaver``."""

    async def open(self) -> None:
        """See ``Keeper``."""
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        self._context = AsyncSqliteSaver.from_conn_string(self._path)
        self._saver = await self._context.__aenter__()

    async def put(self, state: State) -> None:
        """See ``Keeper``."""
        self._parent = await self._saver.aput(self._parent, *self._arguments(state))

    async def get(self) -> Any:
        """See ``Keeper``."""
        return (await self._saver.aget_tuple(CONFIG)).checkpoint["channel_values"]

    async def close(self) -> None:
        """See ``Keeper``."""
        await self._context.__aexit__(None, None, None)


class WholeFile:
    """A file that is written anew each time, synchronised, and put in the place of the last one."""

    def __init__(self, directory: Path, dumps: Callable[[Any], bytes], loads: Callable[[bytes], Any]) -> None:
        self._dumps, self._loads = dumps, loads
        self._path, self._new = directory / "state", directory / "state.new"

    async def open(self) -> None:
        """See ``Keeper``."""
        self._path.parent.mkdir(parents=True)

    async def put(self, state: State) -> None:
        """See ``Keeper``."""
        with self._new.open("wb") as file:
            file.write(self._dumps(state))
            file.flush()
            os.fsync(file.fileno())
        self._new.replace(self._path)

    async def get(self) -> Any:
        """See ``Keeper``."""
        return self._loads(self._path.read_bytes())

    async def close(self) -> None:
        """See ``Keeper``."""


def by_pickle(directory: Path) -> WholeFile:
    """pickle, a file, an fsync."""
    return WholeFile(directory, pickle.dumps, pickle.loads)


def by_orjson(directory: Path) -> WholeFile:
    """orjson, a file, an fsync."""
    import orjson

    return WholeFile(directory, orjson.dumps, orjson.loads)


def available(directory: Path) -> dict[str, Keeper]:
    """Those that are installed, by the name that figures have for them."""
    found: dict[str, Keeper] = {"pickle": by_pickle(directory / "pickle")}
    if importlib.util.find_spec("orjson") is not None:
        found["orjson"] = by_orjson(directory / "orjson")
    if langgraph_available():
        found["sqlite_saver"] = Saver(directory / "saver")
        found["langgraph"] = AsyncSaver(directory / "async")
    return found


class Opened:
    """Several of them, open together: ``async with Opened(keepers) as keepers``."""

    def __init__(self, keepers: dict[str, Keeper]) -> None:
        self._keepers = keepers

    async def __aenter__(self) -> dict[str, Keeper]:
        for keeper in self._keepers.values():
            await keeper.open()
        return self._keepers

    async def __aexit__(self, *error: object) -> None:
        for keeper in self._keepers.values():
            await keeper.close()
