"""A browser-use agent with a real Chromium signs a guest book once, though it is killed when it has just done so.

The guest book is a server of this process; the agent is a process of its own, which the site kills as soon as it is
signed, before the agent can hear of it. The next process takes the same browser up and goes on with the same step. It
asks the site what became of the click, and the model is asked nothing that it has answered.

Needs ``pip install 'lrm-actors[browser-use]'`` and a Chromium. The model is a script; give your own in its place.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lrm_actors.adapters.browser_use import Agent, AgentSettings

# --- the agent


class ScriptedModel:
    """Decides from what the prompt shows, as a model does: what was done, and the page."""

    model = provider = name = model_name = "scripted"
    _verified_api_keys = True

    def __init__(self, url: str) -> None:
        self.url = url

    async def ainvoke(self, messages: list[Any], output_format: Any = None, **_: Any) -> Any:
        """The next step."""
        from browser_use.llm.views import ChatInvokeCompletion

        prompt = next(one.text for one in reversed(messages) if "<agent_history>" in one.text)
        done = max(map(int, re.findall(r"(\d) of 4", prompt.partition("</agent_history>")[0])), default=0)
        print("model: step", done + 1, flush=True)
        decision = {
            "evaluation_previous_goal": "done",
            "memory": f"{done + 1} of 4",
            "next_goal": "the next one",
            "action": self.actions(done + 1, prompt),
        }
        return ChatInvokeCompletion(completion=output_format.model_validate(decision), usage=None)

    def actions(self, step: int, prompt: str) -> list[dict[str, Any]]:
        """What to do."""
        number = {element: int(index) for index, element in re.findall(r"\[(\d+)\]<\w+ id=(\w+)", prompt)}
        match step:
            case 1:
                return [{"navigate": {"url": self.url}}]
            case 2:
                return [
                    {"input": {"index": number["name"], "text": "Ada"}},
                    {"click": {"index": number["sign"]}},
                ]
            case 3:
                return [{"write_file": {"file_name": "notes.md", "content": "signed the guest book"}}]
        return [{"done": {"text": "the guest book is signed", "success": True}}]


async def sign(url: str) -> int:
    """Do the task, or go on with it."""

    def was_done(action: str, parameters: dict[str, Any]) -> bool | None:
        """What became of an action that a kill cut off: ask the site, where it can know."""
        if action != "click":
            return False
        with urllib.request.urlopen(f"{url}/book", timeout=10) as answer:
            return "Ada" in json.load(answer)

    settings = AgentSettings(
        task="Sign the guest book as Ada, and make a note of it.",
        llm=ScriptedModel(url),
        enable_long_running_mode=True,
        long_running_checkpoint_dir="checkpoints",
        on_doubt=was_done,
        use_vision=False,
        use_judge=False,
    )
    history = await Agent(settings).run()
    print(len(history.history), "steps:", history.final_result(), flush=True)
    return 0


# --- the site


class GuestBook(BaseHTTPRequestHandler):
    """Takes names, and kills the agent once."""

    names: list[str]
    agent: subprocess.Popen[bytes]

    def do_GET(self) -> None:
        """Show the form, or who has signed."""
        if self.path == "/book":
            self._answer(json.dumps(self.names))
        else:
            self._answer("<form method=post><input id=name name=name><button id=sign>Sign</button></form>")

    def do_POST(self) -> None:
        """Take a name."""
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.names.append(form["name"][0])
        if len(self.names) == 1:
            self.agent.kill()
        self._answer("Thank you.")

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve the guest book, and start the agent until it ends by itself."""
    GuestBook.names = []
    with ThreadingHTTPServer(("127.0.0.1", 0), GuestBook) as server:
        threading.Thread(target=server.serve_forever).start()
        while True:
            GuestBook.agent = subprocess.Popen([sys.executable, __file__, f"http://127.0.0.1:{server.server_port}"])
            if (status := GuestBook.agent.wait()) >= 0:
                break
            print("the agent was ended by signal", -status, flush=True)
        server.shutdown()
    print("in the guest book:", *GuestBook.names)
    sys.exit(status)


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(asyncio.run(sign(sys.argv[1])))
    main()
