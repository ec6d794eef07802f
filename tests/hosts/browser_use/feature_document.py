"""Runs every code block of the feature document that the long-running mode comes from. The document is not kept here.

Its blocks are run in order, as a reader would, with nothing changed but where ``Agent`` and ``AgentSettings`` are
imported from. After a block that only defines a function, that function is called. Where a block is no code, a list of
signatures or an outline of a checkpoint, it is compared with what there really is.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from tests.docs.markdown import Block, blocks_of
from tests.docs.snippets import PageReport, run_page

VARIABLE = "LRM_FEATURE_DOCUMENT"
ADAPTER = "lrm_actors.adapters.browser_use"
IMPORT_MAP = {f"browser_use.agent.{module}": ADAPTER for module in ("service", "settings")}
PRELUDE = """
from tests.hosts.browser_use.feature_support import *
from tests.hosts.browser_use import feature_support
feature_support.prepare()
"""
TIMEOUT_S = 180.0


@attrs.frozen
class Read:
    """What there is in the document."""

    page: str
    """With what calls its functions put in, and without what is no code."""
    signatures: tuple[Block, ...]
    outlines: tuple[Block, ...]


def place() -> Path | None:
    """Where the document is, if this machine has it."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named and Path(named).is_file() else None


def read(text: str) -> Read:
    """Make a page of the document that can be run."""
    parts, signatures, outlines = [], [], []
    for block in blocks_of(text, "feature document"):
        if block.language == "json":
            outlines.append(block)
        elif block.language == "python" and _is_list_of_signatures(block):
            signatures.append(block)
        elif block.language == "python":
            parts += [_fenced(code) for code in (*_before(block), block.text, *_after(block))]
    return Read("\n\n".join(parts), tuple(signatures), tuple(outlines))


def run(document: Path) -> tuple[PageReport, list[str]]:
    """Run a document. What came of its code, and where its lists differ from what there is."""
    found = read(document.read_text(encoding="utf-8"))
    report = run_page(
        found.page,
        document.name,
        import_map=IMPORT_MAP,
        prelude=PRELUDE,
        timeout_s=TIMEOUT_S,
    )
    wrong = [one for block in found.signatures for one in wrong_signatures(block)]
    wrong += [one for block in found.outlines for one in wrong_outline(block)]
    return report, wrong


# --- code -------------------------------------------------------------------------------------------------------------


def _fenced(code: str) -> str:
    return f"```python\n{code.rstrip()}\n```"


def _before(block: Block) -> Iterator[str]:
    """What has to be there for a block that is a fragment."""
    used = {node.id for node in ast.walk(_tree(block)) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    if "integration" in used and "integration" not in _assigned(block):
        yield (
            "agent = await initialized('./asked')\n"
            "integration = agent.supervisor.long_running_integration\n"
        )  # fmt: skip


def _after(block: Block) -> Iterator[str]:
    """What calls the functions that a block defines and does not call."""
    tree = _tree(block)
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    for function in tree.body:
        if not isinstance(function, ast.AsyncFunctionDef) or function.name in called:
            continue
        if any(isinstance(node, ast.While) for node in ast.walk(function)):
            yield (f"agent = agent_in('./watched')\nawait beside({function.name}, agent)\n")
        else:
            (directory,) = (
                keyword.value.value
                for keyword in ast.walk(function)
                if isinstance(keyword, ast.keyword)
                and keyword.arg == "long_running_checkpoint_dir"
                and isinstance(keyword.value, ast.Constant)
            )
            yield (
                f"await run_agent({directory!r})\nawait {function.name}()\nassert recoveries == [True], recoveries\n"
            )
    if "integration" in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - _assigned(block):
        yield "await integration.stop_monitoring()\n"


def _tree(block: Block) -> ast.Module:
    return ast.parse(block.text)


def _assigned(block: Block) -> set[str]:
    tree = _tree(block)
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


# --- lists ------------------------------------------------------------------------------------------------------------


def _is_list_of_signatures(block: Block) -> bool:
    """A class whose methods have no bodies, or whose attributes have nothing but types and defaults."""
    if not block.text.lstrip().startswith("class "):
        return False
    return all(isinstance(node, ast.ClassDef) for node in _signatures(block).body)


def _signatures(block: Block) -> ast.Module:
    """The block with a body for each method that has none."""
    return ast.parse(re.sub(r"(?m)^(\s+(?:async )?def .*[^:\s])\s*$", r"\1: ...", block.text))


def wrong_signatures(block: Block) -> list[str]:
    """Where the classes that a block lists are not as it says."""
    wrong = []
    for node in _signatures(block).body:
        assert isinstance(node, ast.ClassDef)
        ours = _ours(node.name)
        for member in node.body:
            match member:
                case ast.AsyncFunctionDef() | ast.FunctionDef():
                    wrong += _wrong_method(ours, node.name, member)
                case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                    found = getattr(ours(), name, "nothing")
                    if found != ast.literal_eval(value):
                        wrong.append(f"{node.name}.{name}: {found!r} and not {ast.unparse(value)}")
                case _:
                    wrong.append(f"{node.name}: {ast.unparse(member)} is not understood")
    return wrong


def _wrong_method(ours: Any, owner: str, method: ast.AsyncFunctionDef | ast.FunctionDef) -> list[str]:
    found = getattr(ours, method.name, None)
    if found is None:
        return [f"{owner}.{method.name} is not there"]
    wrong = []
    if inspect.iscoroutinefunction(found) != isinstance(method, ast.AsyncFunctionDef):
        wrong.append(f"{owner}.{method.name} is awaited where the document does not, or not where it does")
    listed, parameters = [argument.arg for argument in method.args.args], list(inspect.signature(found).parameters)[1:]
    if parameters[: len(listed)] != listed:
        wrong.append(f"{owner}.{method.name} takes {parameters} and not {listed}")
    return wrong


def _ours(name: str) -> Any:
    """Our class of a name in the document."""
    home: Any = importlib.import_module(ADAPTER if name == "AgentSettings" else "lrm_actors")
    return getattr(home, name)


def wrong_outline(block: Block) -> list[str]:
    """Where the outline of a checkpoint names something that ours do not have."""
    outline = json.loads(block.text.replace("[...]", "[]").replace("{...}", "{}"))
    return sorted(outline.keys() - DOCUMENT_KEYS)


DOCUMENT_KEYS = {"checkpoint_id", "timestamp", "agent_state", "browser_state", "recovery_hints"}
"""What ``preview`` gives; ``test_feature_document`` asks it of a real one."""


def main() -> int:
    """Run the document named on the command line, or by the environment."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.hosts.browser_use.feature_document")
    parser.add_argument("document", nargs="?", type=Path, default=place(), help=f"by default, that of {VARIABLE}")
    options = parser.parse_args()
    if options.document is None:
        parser.error(f"name the document, or set {VARIABLE}")
    report, wrong = run(options.document)
    print(f"{options.document}: {len(report.ran)} blocks run, {len(wrong)} lists differ")
    print(*report.failures, *wrong, sep="\n")
    return 1 if report.failures or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
