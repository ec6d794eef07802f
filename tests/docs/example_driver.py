"""Runs examples one after the other in one process, which imports everything once; what they did comes as JSON.

Given ``directory example`` pairs as arguments: each example is run in its directory as a script is, with its own
namespace.
"""

from __future__ import annotations

import io
import json
import logging
import os
import runpy
import signal
import sys
import threading
import traceback
from contextlib import redirect_stdout
from pathlib import Path


def run(directory: str, example: str) -> dict[str, object]:
    """Run one; what it printed, its exit status, and threads that it left behind."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    os.chdir(directory)
    sys.argv = [example]
    status: object = 0
    with redirect_stdout(io.StringIO()) as printed:
        try:
            runpy.run_path(example, run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            status = traceback.format_exc()
    logging.disable(logging.NOTSET)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    left = [one.name for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]
    return {"printed": printed.getvalue(), "status": status, "threads": left}


if __name__ == "__main__":
    pairs = zip(sys.argv[1::2], sys.argv[2::2], strict=True)
    done = [run(directory, example) for directory, example in pairs]
    json.dump(done, sys.stdout)
