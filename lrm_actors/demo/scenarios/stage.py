"""Where a scenario takes place: a real mode on a log of its own, and the account that is taken of what the log says.

The fault is done from outside; what is noticed, chosen and done about it is read from the log and nowhere else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eventstore import Record
from lrm_actors import LongRunningMode, LongRunningSettings
from lrm_actors.demo.scenarios.account import Account, Chapter, Entry, Sheet
from lrm_actors.demo.scenarios.own import Disk, OwnSampler
from lrm_actors.hosting.host import Host
from lrm_actors.inspect import sentence, why

PATIENCE_S = 30.0
"""How long one thing is waited for before the scenario is given up."""
POLL_S = 0.02
MARKS = {"broken": "✗", "noticed": "!", "chosen": "~", "worked": "↻", "note": "="}

Matches = Callable[[Any], bool]


class Missing(Exception):
    """What should have happened did not."""

    account: Account | None = None
    """What there is to say of the scenario all the same."""


class Stage:
    """One scenario under way. Use it as an async context manager; belongs to one event loop.

    Args:
        name: of the scenario.
        directory: where its log is made.
        say: prints one live line.
        host: what the mode serves, where pieces given one by one do not do.
        disk: percent in use and bytes free of the log's disk, where that is not what the kernel says.
        changes: settings other than the scenario's usual ones.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        say: Callable[[str], None],
        host: Host | None = None,
        disk: Disk | None = None,
        **changes: Any,
    ) -> None:
        usual = {
            "enable_long_running_mode": True,
            "agent_id": name,
            "checkpoint_dir": directory,
            "monitoring_interval": 0.05,
            "checkpoint_interval": 3600.0,
            "dump_on_sigusr1": False,
        }
        self.mode = LongRunningMode(LongRunningSettings(**{**usual, **changes}), host)
        engine: Any = self.mode._engine  # noqa: SLF001 - no word of the mode is for this: an agent shares its machine
        self.sampler = engine.sampler = OwnSampler(engine.sampler, disk)
        self.kept_at = self.mode.settings.log_path
        """Where the log is found when all is over."""
        self._name = name
        self._say = say
        self._began_s = time.monotonic()
        self._fault_s: float | None = None
        self._fault_at = 0
        self._entries: list[Entry] = []
        self._story: list[Chapter] = []
        self.noticed_at: list[int] = []
        """Positions of what was noticed."""
        self.sheets: Callable[[], tuple[Sheet, ...]] = tuple
        """Gives the tables of the account. Asked while the log can be read."""

    async def __aenter__(self) -> Self:
        await self.mode.__aenter__()
        self.reader = self.mode.reader()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        missing = error if isinstance(error, Missing) else Missing(f"{type(error).__name__}: {error}")
        missing.account = self.account(str(missing))
        self.reader.close()
        await self.mode.__aexit__(kind, error, trace)
        if isinstance(error, Exception) and missing is not error:
            raise missing from error

    # --- taking account -----------------------------------------------------------------------------------------

    def breaking(self) -> None:
        """The fault is done next: what the log says from here on may be about it."""
        self._fault_s, self._fault_at = time.monotonic(), self.reader.head

    def broke(self, text: str) -> None:
        """The fault was done. It began with ``breaking``."""
        self._enter("broken", text)

    def note(self, text: str) -> None:
        """Something that only the outside knows."""
        self._enter("note", text)

    def works(self, text: str) -> None:
        """The agent's work goes on, as the outside sees it."""
        self._enter("worked", text)

    async def noticed(self, kind: str, where: Matches = lambda event: True) -> Record:
        """Wait until the log says that the fault was noticed."""
        record = await self.seen(kind, where)
        self.noticed_at.append(record.position)
        self._enter("noticed", sentence(record), record)
        return record

    async def chosen(self, strategy: str, component: str, *, because: str = "", after: int = 0) -> Record:
        """Wait until the log says that this recovery was chosen, for a reason that says so."""
        record = await self.seen(
            "analyzer.recovery_chosen",
            lambda event: (event.strategy, event.component) == (strategy, component) and because in event.reason,
            after=after,
        )
        self._enter("chosen", f"{record.event.strategy}, because {record.event.reason}", record)
        return record

    async def did(self, what: str, kind: str, where: Matches = lambda event: True, *, after: int = 0) -> Record:
        """Wait until the log says something else that belongs to the account."""
        record = await self.seen(kind, where, after=after)
        self._enter(what, sentence(record), record)
        return record

    async def seen(self, kind: str, where: Matches = lambda event: True, *, after: int = 0) -> Record:
        """Wait for a record of a kind since the fault, or since a later position.

        Raises:
            Missing: it does not come.
        """
        until_s, read_to = time.monotonic() + PATIENCE_S, max(after, self._fault_at)
        while time.monotonic() < until_s:
            for record in self.reader.read(after=read_to, types=(kind,), removed="skip"):
                read_to = record.position
                if where(record.event):
                    return record
            await asyncio.sleep(POLL_S)
        msg = f"no {kind} within {PATIENCE_S:.0f} s"
        raise Missing(msg)

    async def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait for something that only the outside knows.

        Raises:
            Missing: it does not come.
        """
        until_s = time.monotonic() + PATIENCE_S
        while not is_so():
            if time.monotonic() > until_s:
                msg = f"it is not so within {PATIENCE_S:.0f} s: {what}"
                raise Missing(msg)
            await asyncio.sleep(POLL_S)

    async def calm(self) -> None:
        """Wait until the agent was seen to be healthy: what it took to start is none of the fault's doing."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            report = await self.mode.get_health_report()
            if report["health_status"] == "healthy" and report["resource_metrics"].get("cpu_percent") is not None:
                return
            if time.monotonic() > until_s:
                msg = f"the agent is {report['health_status']} before the fault: {report['health_cause']}"
                raise Missing(msg)
            await asyncio.sleep(POLL_S)

    def told(self, record: Record, *, of: int | None = None) -> None:
        """Have ``lrm why`` tell how a record came about.

        Args:
            record: the end of the story.
            of: the position that the story must lead to; by default, anything that was noticed.
        """
        chain = why(self.reader, record.position)
        positions = {link.record.position for link in chain.links}
        wanted = {of} if of is not None else set(self.noticed_at)
        lines = tuple(f"[{link.record.position}] {link.sentence}" for link in chain.links)
        sound = not chain.problem and bool(positions & wanted)
        self._story.append(Chapter(record.position, lines, chain.observation, sound))

    def account(self, trouble: str = "") -> Account:
        """What there is to say of it."""
        return Account(
            self._name,
            tuple(self._entries),
            tuple(self._story),
            trouble,
            str(self.kept_at),
            time.monotonic() - self._began_s,
            self.sheets(),
        )

    def heard(self, what: str, record: Record) -> None:
        """Something that the log says belongs to the account."""
        self._enter(what, sentence(record), record)

    def elapsed_s(self, record: Record) -> float:
        """Seconds from the beginning until a record was written."""
        return max(0.0, record.recorded_at.monotonic_s - self._began_s)

    def _enter(self, what: str, text: str, record: Record | None = None) -> None:
        now_s = time.monotonic()
        if (
            record is not None and self._fault_s is not None
        ):  # by the log's own clock: it was written before it was read
            now_s = min(now_s, max(self._fault_s, record.recorded_at.monotonic_s))
        after_s = 0.0 if self._fault_s is None or what == "broken" else now_s - self._fault_s
        entry = Entry(what, text, round(after_s, 3), None if record is None else record.position)
        self._entries.append(entry)
        self._say(f"{time.monotonic() - self._began_s:5.1f} s  {MARKS[what]} {line_of(entry)}")


def line_of(entry: Entry) -> str:
    """An entry as one line."""
    at = "" if entry.position is None else f"  [{entry.position}]"
    after = f" after {entry.after_s:.1f} s" if entry.what == "noticed" else ""
    head = "" if entry.what == "note" else f"{entry.what}{after}: "
    return f"{head}{entry.text}{at}"
