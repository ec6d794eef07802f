"""kill -9 at every single operation on a file, before it or in the middle of it: the prefix rule holds.

A campaign runs in a process of its own, without threads, which forks one program after the other. Each kills itself.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs

from eventstore.testing import FaultVFS
from tests.faults.cutting import ENOUGH_PROBLEMS, memory_directory
from tests.faults.histories import WORKLOADS, History
from tests.faults.judging import Examiner, Seen
from tests.faults.looking import NOTHING, by_sql
from tests.faults.running import Hasty, Program, Run

ROOT = Path(__file__).parents[2]
SITES, SITES_FOR_RELEASE = 70, 750
MARK = struct.Struct("<16sq")
DONE = 7
"""Exit code of a program that reached its end alive."""


@attrs.frozen
class Death:
    """How a program ended, and what it had told until then."""

    killed: bool
    """Or it reached its end."""
    marks: dict[str, int]
    out: frozenset[int]
    """Steps that it settled not to be in the log."""


@attrs.define
class Campaign:
    """Kills programs at one operation after the other, and looks at what each left."""

    stride: int
    """Only every so many operations."""
    program: type[Program] = Program
    sites: int = 0
    torn: int = 0
    """Of them, in the middle of a write."""
    acknowledged: int = 0
    """Steps that were done when their program was killed, all together."""
    problems: list[str] = attrs.field(factory=list)

    def run(self) -> None:
        """All workloads; those with faults of their own have them here too."""
        with FaultVFS() as vfs:
            for number, make in enumerate(WORKLOADS.values()):
                self._sweep(vfs, make(number), torn=False, first=1 + number % self.stride)
                self._sweep(vfs, make(number), torn=True, first=1 + (number + 1) % self.stride)

    def _sweep(self, vfs: FaultVFS, history: History, *, torn: bool, first: int) -> None:
        nth = first
        while len(self.problems) < ENOUGH_PROBLEMS:
            with memory_directory() as scratch:
                path = scratch / "agent" / "lrm.db"
                base = NOTHING
                if history.before is not None:
                    history.before(path)
                    base = by_sql(path)
                death = self._kill(vfs, history, path, nth, torn=torn)
                if not death.killed:
                    return
                self.sites += 1
                self.torn += torn
                self._look(path, Examiner(history, base, death.out), death, f"operation {nth}{', torn' * torn}")
            nth += self.stride * (2 if torn else 1)  # every write is torn that is also an operation above

    def _kill(self, vfs: FaultVFS, history: History, path: Path, nth: int, *, torn: bool) -> Death:
        receiving, sending = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(receiving)
            try:
                self._live(vfs, history, path, nth, sending, torn=torn)
            finally:
                os._exit(1)
        os.close(sending)
        with os.fdopen(receiving, "rb") as pipe:
            told = pipe.read()
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code not in (-signal.SIGKILL, DONE):
            self.problems.append(f"{history.name}, operation {nth}: the program ended with {code}")
        notes = [(name.rstrip(b"\0").decode(), value) for name, value in MARK.iter_unpack(told)]
        out = frozenset(value for name, value in notes if name == "out")
        return Death(code == -signal.SIGKILL, dict(notes), out)

    def _live(self, vfs: FaultVFS, history: History, path: Path, nth: int, acks: int, *, torn: bool) -> None:
        """In the child, until the kill."""
        for failing in history.failing_syncs:
            vfs.fail("sync", failing, file="wal")
        vfs.kill("write" if torn else None, nth, carried_out="half" if torn else "none")

        def note(name: str, value: int) -> None:
            os.write(acks, MARK.pack(name.encode(), value))

        program = self.program(history, path, vfs.connect, note=note)
        run = program.go()
        os._exit(1 if run.untyped else DONE)

    def _look(self, path: Path, examiner: Examiner, death: Death, where: str) -> None:
        run = Run(examiner.history)
        durable = death.marks.get("durable", -1)
        for number in range(durable + 1):
            run.told[number] = "out" if number in death.out else "done"
        seen = Seen()
        if path.exists() and path.stat().st_size:
            seen = examiner.look(path, through_reader=self.sites % 3 == 0, by_owner_too=self.sites % 3 == 1)
        wrong = seen.wrong or run.verdict(seen.steps, seen.removed, death.marks)
        self.acknowledged += durable + 1
        if wrong:
            self.problems.append(f"{examiner.history.name}, {where}: {'; '.join(wrong)}")


def run_campaign(stride: int, program: type[Program] = Program) -> dict[str, Any]:
    """Run one in a process without threads, from which forking is safe."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.test_store_kill_sites", str(stride), program.__name__],
        check=True,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=600,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    print(f"kill sites: {found}")
    return found


def main() -> None:
    """The campaign's own process."""
    stride, program = sys.argv[1:]
    campaign = Campaign(int(stride), {"Program": Program, "Hasty": Hasty}[program])
    campaign.run()
    print(json.dumps(attrs.asdict(campaign, filter=lambda field, _: field.name not in ("stride", "program"))))


def test_the_prefix_rule_holds_at_every_operation(release: bool) -> None:
    """What was acknowledged is there, whole and in order, and at most what was under way besides."""
    found = run_campaign(1 if release else 67)
    assert [] == found["problems"]
    assert found["sites"] >= (SITES_FOR_RELEASE if release else SITES)
    assert found["acknowledged"]


def test_the_campaign_catches_a_program_that_acknowledges_too_early() -> None:
    """The planted bug: acknowledge, then store."""
    found = run_campaign(19, Hasty)
    assert any("is lost" in problem for problem in found["problems"])


if __name__ == "__main__":
    main()
