"""The interpreter that runs the Python blocks of one page: started by ``snippets``, spoken to in lines of JSON."""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import json
import linecache
import os
import sys
import traceback
import types
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any


class StandIns(ast.NodeTransformer):
    """Has what a block imports from a mapped module imported from the one that stands in for it.

    Only the block's own imports are changed: a stand-in may need the very module that it stands in for.
    """

    def __init__(self, import_map: dict[str, str]) -> None:
        self.import_map = import_map

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        """``from theirs import name``."""
        if not node.level and node.module in self.import_map:
            node.module = self.import_map[node.module]
        return node

    def visit_Import(self, node: ast.Import) -> ast.Import:
        """``import theirs as name``; without a name of its own it is left as it is."""
        for alias in node.names:
            if alias.asname is not None:
                alias.name = self.import_map.get(alias.name, alias.name)
        return node


def run_block(
    request: dict[str, Any], namespace: dict[str, Any], runner: asyncio.Runner, stand_ins: StandIns
) -> str | None:
    """Run one block; the end of its traceback, or None. Line numbers are those of the page."""
    code = "\n" * (request["line"] - 1) + request["code"]
    linecache.cache[request["page"]] = (len(code), None, code.splitlines(keepends=True), request["page"])
    try:
        tree = stand_ins.visit(ast.parse(code, request["page"]))
        compiled = compile(tree, request["page"], "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        made = types.FunctionType(compiled, namespace)
        if compiled.co_flags & inspect.CO_COROUTINE:
            runner.run(made())
        else:
            made()
    except BaseException as error:
        return "".join(traceback.format_exception(error))
    return None


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    stand_ins = StandIns(json.loads(sys.argv[1]))
    sys.path[0] = str(Path.cwd())
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            with redirect_stdout(io.StringIO()) as printed:
                error = run_block(json.loads(line), vars(module), runner, stand_ins)
            answers.write(json.dumps({"output": printed.getvalue(), "error": error}) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
