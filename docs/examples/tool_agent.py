"""An agent that calls tools, as a model says. Run it twice: the first run is killed in the middle of a tool call.

The second run asks the model nothing that it has answered, and repeats no tool call that was finished. The one that was
under way is looked up: the table was booked, so it is not booked again.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

from lrm_actors import NOT_HAPPENED, Happened, LongRunningMode, LongRunningSettings, Probe

Message = dict[str, Any]
BOOKINGS = Path("bookings.json")
"""The restaurant's book: the world outside, which is there whatever becomes of the agent."""


# --- the tools


def find_restaurants(city: str) -> list[str]:
    """Something that only reads."""
    print("tool: looks for restaurants in", city, flush=True)
    return ["The Red Door", "Green"]


def book_table(key: str, name: str) -> str:
    """Something that had better not be done twice."""
    print("tool: books a table at", name, flush=True)
    BOOKINGS.write_text(json.dumps({key: name}))
    os.kill(os.getpid(), signal.SIGKILL)  # bad luck, at the worst moment: it is booked, and nobody has heard of it
    return f"booked: {name}"


def booked(key: str) -> Any:
    """Ask the restaurant whether it has a booking under this key."""
    bookings = json.loads(BOOKINGS.read_text()) if BOOKINGS.exists() else {}
    return Happened(f"booked: {bookings[key]}") if key in bookings else NOT_HAPPENED


# --- the model: a script here; with a real one, put its client's call in the place of this function


async def model(messages: list[Message]) -> Message:
    """What comes next, from the conversation alone."""
    last = messages[-1]
    print("model: answers to", last["role"], flush=True)
    if last["role"] == "user":
        return _wants("find_restaurants", "call_1", city="Oslo")
    if last["name"] == "find_restaurants":
        return _wants("book_table", "call_2", name=last["content"][0])
    return {"role": "assistant", "content": f"Done: {last['content']}.", "calls": []}


def _wants(tool: str, call_id: str, **arguments: str) -> Message:
    return {"role": "assistant", "content": "", "calls": [{"tool": tool, "id": call_id, "arguments": arguments}]}


# --- the agent


class ToolAgent:
    """One step for each answer of the model, with the tool calls that it wants."""

    def __init__(self, task: str) -> None:
        self.messages: list[Message] = [{"role": "user", "content": task}]
        self.mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, agent_id="concierge"))
        self.mode.capture_with(lambda: self.messages)
        self.mode.restore_with(self._restore)
        self.mode.replay_with(lambda step: self.messages.extend(step.result))
        self.llm = self.mode.get_circuit_breaker("llm")

    def _restore(self, messages: list[Message]) -> None:
        self.messages = messages

    async def run(self) -> str:
        """Go on until the model wants no more tools; its last words."""
        async with self.mode:
            await self.mode.recover_from_checkpoint()
            while self.messages[-1]["role"] != "assistant":
                async with self.mode.step("turn") as step:
                    # The model's answer is on record: asked again, it might want other tools.
                    answer = await self.mode.effect("model", partial(self.llm.call, model, self.messages))
                    results = [await self.call(call) for call in answer["calls"]]
                    step.result = [answer, *results]
                    self.messages.extend(step.result)
        return str(self.messages[-1]["content"])

    async def call(self, call: dict[str, Any]) -> Message:
        """One tool call, as an effect of the step."""
        tool, arguments = call["tool"], call["arguments"]
        name = f"{tool} {call['id']}"
        if tool == "book_table":
            content = await self.mode.effect(
                name, lambda key: book_table(key, **arguments), policy=Probe(booked), given=arguments
            )
        else:
            content = await self.mode.effect(name, lambda: find_restaurants(**arguments), given=arguments)
        return {"role": "tool", "name": tool, "id": call["id"], "content": content}


if __name__ == "__main__":
    agent = ToolAgent("Book a table for me in Oslo.")
    print(asyncio.run(agent.run()))
    sys.exit(agent.mode.exit_code)
