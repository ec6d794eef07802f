"""The interpreter that runs the Python blocks of one page: started by ``snippets``, spoken to in lines of JSON."""

from __future__ import annotations

import ast
import asyncio
import importlib
import importlib.abc
import importlib.machinery
import inspect
import io
import json
import linecache
import os
import sys
import traceback
import types
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads a mapped module, and the packages above it, from the module that stands in for it."""

    def __init__(self, import_map: dict[str, str]) -> None:
        self.import_map = import_map
        parents = (name.split(".")[:count] for name in import_map for count in range(1, name.count(".") + 1))
        self.packages = {".".join(parts) for parts in parents} - import_map.keys()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.import_map and fullname not in self.packages:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        if module.__name__ in self.import_map:
            ours = importlib.import_module(self.import_map[module.__name__])
            public = {name: value for name, value in vars(ours).items() if not name.startswith("__")}
            vars(module).update(public)


def run_block(request: dict[str, Any], namespace: dict[str, Any], runner: asyncio.Runner) -> str | None:
    """Run one block; the end of its traceback, or None. Line numbers are those of the page."""
    code = "\n" * (request["line"] - 1) + request["code"]
    linecache.cache[request["page"]] = (len(code), None, code.splitlines(keepends=True), request["page"])
    try:
        compiled = compile(code, request["page"], "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
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
    if import_map := json.loads(sys.argv[1]):
        sys.meta_path.insert(0, StandIns(import_map))
    sys.path[0] = str(Path.cwd())
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            with redirect_stdout(io.StringIO()) as printed:
                error = run_block(json.loads(line), vars(module), runner)
            answers.write(json.dumps({"output": printed.getvalue(), "error": error}) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
