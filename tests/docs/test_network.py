"""What SECURITY.md promises of the network, seen by the interpreter's own audit of every socket."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT

WATCH = """
import socket, sys

seen = []

def audit(event, arguments):
    if event == "socket.getaddrinfo":
        seen.append(f"asked for the address of {arguments[0]}")
    if event in {"socket.bind", "socket.connect"} and arguments[0].family != socket.AF_UNIX:
        seen.append(f"{event} {arguments[1]}")

sys.addaudithook(audit)
"""
AGENT = """
import asyncio
from lrm_actors import LongRunningMode, LongRunningSettings
from lrm_actors.cli.dump import command

settings = LongRunningSettings(enable_long_running_mode=True, agent_id="quiet", monitoring_interval=0.05)

async def live():
    async with LongRunningMode(settings) as mode:
        mode.capture_with(lambda: {"pages": 1})
        mode.register_component("browser", restart=lambda: None)
        async with mode.step("look") as step:
            step.result = await mode.get_circuit_breaker("llm").call(lambda: "an answer")
        await mode.handle_failure(ConnectionResetError("reset"), {"component": "browser"})
        await mode.take_checkpoint(kind="emergency")
        await asyncio.to_thread(command, ["--log", str(settings.log_path)], standalone_mode=False)

asyncio.run(live())
"""
CAUGHT = """
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
"""


def seen(code: str, directory: Path) -> str:
    """What of the network a program reached for."""
    program = f"{WATCH}\n{code}\nprint('SEEN', seen)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=directory, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.rpartition("SEEN ")[2].strip()


def test_an_agent_with_a_mode_opens_no_network_connection(tmp_path: Path) -> None:
    """Started, at work, failing, saved, looked into from outside and stopped: nothing but its own socket file."""
    assert seen(AGENT, tmp_path) == "[]"


@pytest.mark.parametrize("word", ["socket.bind", "socket.connect", "asked for the address of 127.0.0.1"])
def test_a_planted_connection_is_seen(tmp_path: Path, word: str) -> None:
    """One to this very machine, from either end, and the question that comes before it."""
    assert word in seen(CAUGHT, tmp_path)
