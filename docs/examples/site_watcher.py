"""Watches a site and reports each change once, though it is killed in the middle of a report, and started again.

The site is a server of this process; the watcher is a process of its own, which the site kills when it has just got the
second report, before it answers: the worst moment there is. Run it again, and the watcher still knows the last price.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lrm_actors import LongRunningMode, LongRunningSettings

PRICES = [10, 10, 12, 12, 9, 9]
"""What the site shows, one look after the other. Then it is closed."""


# --- the watcher


def look(url: str) -> Any:
    """What the site shows."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def report(url: str, change: str, key: str) -> Any:
    """Tell of a change. A key that the other side had before changes nothing there."""
    request = urllib.request.Request(url, change.encode(), {"Idempotency-Key": key})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


async def watch(url: str) -> int:
    """Look until the site is closed."""
    seen: dict[str, Any] = {"price": None}
    mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, agent_id="watcher"))
    mode.capture_with(lambda: seen)
    mode.restore_with(seen.update)
    mode.replay_with(lambda step: seen.update(step.result))
    site = mode.get_circuit_breaker("site")

    async with mode:
        await mode.recover_from_checkpoint()
        while True:
            async with mode.step("look") as step:
                # On record, so that a look that is repeated after a kill sees what was seen, and not what is there now.
                price = await mode.effect("look", lambda: site.call_blocking(look, url))
                if price is None:
                    step.result = {}
                    break
                if seen["price"] not in {None, price}:
                    change = f"{seen['price']} -> {price}"
                    await mode.effect("report", lambda key, change=change: report(url, change, key))
                step.result = {"price": price}
                seen.update(step.result)
    return mode.exit_code or 0


# --- the site


class Site(BaseHTTPRequestHandler):
    """Shows prices, takes reports, and kills the watcher once."""

    looks = 0
    reports: dict[str, str]
    sent = 0
    watcher: subprocess.Popen[bytes]

    def do_GET(self) -> None:
        """Show the price of now."""
        price = PRICES[Site.looks] if Site.looks < len(PRICES) else None
        Site.looks += 1
        self._answer(price)

    def do_POST(self) -> None:
        """Take a report."""
        change = self.rfile.read(int(self.headers["Content-Length"])).decode()
        Site.sent += 1
        Site.reports.setdefault(self.headers["Idempotency-Key"], change)
        if Site.sent == 2:
            Site.watcher.kill()
        else:
            self._answer("thank you")

    def _answer(self, value: object) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve the site, and start the watcher until it ends by itself."""
    Site.reports = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}"
        while True:
            Site.watcher = subprocess.Popen([sys.executable, __file__, url])
            if (status := Site.watcher.wait()) == 0:
                break
            print("the watcher ended with", status)
        server.shutdown()
    print(f"{Site.sent} reports came, of {len(Site.reports)} changes:", *Site.reports.values(), sep="\n  ")


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(asyncio.run(watch(sys.argv[1])))
    main()
