"""Runs the code blocks of any Markdown file, in order, as a reader would who types them one after the other.

The Python blocks of a page share one interpreter and one namespace, ``await`` at top level included; ``console`` and
``bash`` blocks run in the same temporary directory. A ``console`` block holds ``$ command`` lines, each followed by
what it prints, and an ``output`` block after a Python block what that prints. In both, ``…`` stands for any text within
a line, and alone on a line for any lines. ``json`` and ``toml`` blocks are parsed. A block that has a title, as in
``title="agent.py"``, is saved under it. A block is left out only where ``<!-- not run: reason -->`` stands on the line
above it.

A document written for other packages runs against stand-ins with an import map, ``{"its.module": "our.module"}``, and a
prelude that defines the names it takes for granted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from tests.docs.markdown import ROOT, Block, blocks_of

TIMEOUT_S = 60.0
RUN = {"python", "console", "bash", "sh", "json", "toml"}
_DRIVER = Path(__file__).with_name("snippet_driver.py")


@attrs.frozen
class Failure:
    """A block that did not do what the page says."""

    block: Block
    reason: str

    def __str__(self) -> str:
        return f"{self.block.place}: {self.reason}"


@attrs.frozen
class PageReport:
    """What came of one page."""

    ran: tuple[Block, ...]
    left_out: tuple[Block, ...]
    failures: tuple[Failure, ...]


class SnippetError(Exception):
    """A block failed; the message says how."""


def matches(expected: str, actual: str) -> bool:
    """Whether an output is the one a page shows, ``…`` standing for any text and trailing white space for nothing."""
    pattern = ""
    for line in expected.rstrip().splitlines():
        part = r"(?:.*\n)*?" if line.strip() == "…" else ".*?".join(map(re.escape, line.rstrip().split("…"))) + r"\n"
        pattern += part
    plain = "".join(f"{line.rstrip()}\n" for line in actual.rstrip().splitlines())
    return re.fullmatch(pattern, plain) is not None


def commands_of(text: str) -> list[tuple[str, str | None]]:
    """The commands of a console block with the output shown after each, None where none is."""
    found: list[tuple[str, str | None]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], None))
        elif found and line.startswith("> "):
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", None)
        elif found:
            command, shown = found[-1]
            found[-1] = (command, f"{shown or ''}{line}\n")
        else:
            raise SnippetError("a console block begins with '$ command'")
    return found


def _run_shell(command: str, directory: Path, env: Mapping[str, str], timeout_s: float) -> str:
    """Run one command; what it printed, both streams together."""
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=directory, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        _kill_group(process)
        output, _ = process.communicate()
        raise SnippetError(f"still running after {timeout_s} s: {command}\n{output}") from None
    if process.returncode:
        raise SnippetError(f"exit {process.returncode}: {command}\n{output}")
    return output


def _kill_group(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class _Interpreter:
    """The one interpreter of a page, spoken to in lines of JSON."""

    def __init__(self, directory: Path, env: Mapping[str, str], import_map: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(_DRIVER), json.dumps(dict(import_map))],
            cwd=directory, env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
            start_new_session=True,
        )  # fmt: skip

    def run(self, code: str, place: str, timeout_s: float) -> str:
        """Run one block; what it printed."""
        page, _, line = place.rpartition(":")
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"code": code, "page": page, "line": int(line)}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self._readline(timeout_s))
        if answer["error"]:
            raise SnippetError(f"{answer['output']}{answer['error']}")
        return str(answer["output"])

    def _readline(self, timeout_s: float) -> str:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            deadline = time.monotonic() + timeout_s
            if not selector.select(max(0.0, deadline - time.monotonic())):
                _kill_group(self.process)
                raise SnippetError(f"still running after {timeout_s} s")
            line = self.process.stdout.readline()
        if not line:
            raise SnippetError(f"the interpreter ended with status {self.process.wait()}")
        return line

    def close(self) -> None:
        """End it and whatever it started."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5.0)
        _kill_group(self.process)
        self.process.wait()
        self.process.stdout.close()


@contextlib.contextmanager
def _reader_environment() -> Iterator[tuple[Path, dict[str, str]]]:
    """An empty directory, and an environment in which ``lrm`` and ``python3`` are this checkout's."""
    with tempfile.TemporaryDirectory(prefix="lrm-docs-") as scratch:
        commands, directory = Path(scratch, "bin"), Path(scratch, "work")
        commands.mkdir()
        directory.mkdir()
        start = "import sys; from lrm_actors.cli import main; sys.argv[0] = 'lrm'; main()"
        scripts = {"lrm": f'"{sys.executable}" -c "{start}"', "python3": f'"{sys.executable}"'}
        for name, command in scripts.items():
            (commands / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            (commands / name).chmod(0o755)
        env = {name: value for name, value in os.environ.items() if not name.startswith("LRM_")}
        path = os.pathsep.join([str(ROOT), str(ROOT / "docs/examples"), *filter(None, [env.get("PYTHONPATH")])])
        env |= {
            "PYTHONPATH": path,
            "PATH": f"{commands}{os.pathsep}{env['PATH']}",
            "COLUMNS": "120",
            "NO_COLOR": "1",
            "PYTHONUTF8": "1",
        }
        yield directory, env


def run_page(
    text: str,
    page: str,
    *,
    import_map: Mapping[str, str] | None = None,
    prelude: str = "",
    timeout_s: float = TIMEOUT_S,
) -> PageReport:
    """Run the blocks of one page; stops at the first that fails, for the later ones build on it.

    Args:
        text: the Markdown.
        page: its name, for messages.
        import_map: modules that the page imports, to the modules that stand in for them.
        prelude: Python run before the first block, in the page's namespace.
        timeout_s: seconds that one block or command may take.
    """
    ran: list[Block] = []
    blocks = blocks_of(text, page)
    left_out = tuple(block for block in blocks if block.not_run is not None)
    with _reader_environment() as (directory, env), contextlib.ExitStack() as stack:
        interpreter = _Interpreter(directory, env, import_map or {})
        stack.callback(interpreter.close)
        printed = interpreter.run(prelude, f"prelude of {page}:1", timeout_s) if prelude else ""
        for block in blocks:
            if block.not_run is not None:
                if not block.not_run:
                    return PageReport(tuple(ran), left_out, (Failure(block, "is not run, and no reason is given"),))
                continue
            try:
                if block.title:
                    (directory / block.title).write_text(block.text, encoding="utf-8")
                elif block.language == "python":
                    printed = interpreter.run(block.text, block.place, timeout_s)
                elif block.language == "output":
                    _check(block.text, printed)
                else:
                    _run_other(block, directory, env, timeout_s)
            except (SnippetError, ValueError) as error:
                return PageReport((*ran, block), left_out, (Failure(block, str(error)),))
            if block.language in RUN:
                ran.append(block)
    return PageReport(tuple(ran), left_out, ())


def _run_other(block: Block, directory: Path, env: Mapping[str, str], timeout_s: float) -> None:
    if block.language == "console":
        for command, shown in commands_of(block.text):
            output = _run_shell(command, directory, env, timeout_s)
            if shown is not None:
                _check(shown, output)
    elif block.language in {"bash", "sh"}:
        _run_shell(block.text, directory, env, timeout_s)
    elif block.language == "json":
        json.loads(block.text)
    elif block.language == "toml":
        tomllib.loads(block.text)


def _check(expected: str, actual: str) -> None:
    if not matches(expected, actual):
        raise SnippetError(f"the page shows\n{expected}\nand it printed\n{actual}")


def main(arguments: list[str] | None = None) -> int:
    """Run the pages named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.docs.snippets", description="Run the code of Markdown pages."
    )
    parser.add_argument("page", nargs="+", type=Path)
    parser.add_argument("--map", action="append", default=[], metavar="THEIRS=OURS", help="a module and its stand-in")
    parser.add_argument("--prelude", type=Path, help="Python run before the first block of each page")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, metavar="SECONDS", help="for one block")
    options = parser.parse_args(arguments)
    import_map = dict(pair.split("=", 1) for pair in options.map)
    prelude = options.prelude.read_text() if options.prelude else ""
    failed = False
    for page in options.page:
        report = run_page(
            page.read_text(), str(page), import_map=import_map, prelude=prelude, timeout_s=options.timeout
        )
        print(f"{page}: {len(report.ran)} blocks run, {len(report.left_out)} left out")
        print("".join(f"{failure}\n" for failure in report.failures), end="")
        failed = failed or bool(report.failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
