"""A batch without an event loop sends invoices, each once, and is told to stop on the way, as ``systemctl stop`` does.

It ends after the invoice that it is at, in order, with a checkpoint. Run it again, and it goes on with the next one.
The words are those of an asyncio host, as plain calls.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from lrm_actors import LongRunningMode, LongRunningSettings

INVOICES = ["Ada", "Grace", "Edsger", "Barbara", "Tony"]
OUTBOX = Path("outbox.txt")


def send(key: str, customer: str) -> str:
    """Send an invoice. The other side takes a key only once; here it is a file."""
    sent = OUTBOX.read_text().splitlines() if OUTBOX.exists() else []
    if not any(line.startswith(key) for line in sent):
        OUTBOX.write_text("\n".join([*sent, f"{key} {customer}"]))
    return f"receipt of {customer}"


def run() -> int:
    """Go on where the last process was; returns the exit code of this one."""
    receipts: dict[str, str] = {}
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())

    mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, agent_id="invoices"))
    mode.capture_with(lambda: receipts)
    mode.restore_with(receipts.update)
    mode.replay_with(lambda step: receipts.update(step.result))
    with mode as batch:
        batch.recover_from_checkpoint()
        print("begins with", len(receipts), "receipts")
        for at, customer in enumerate(INVOICES, 1):
            if customer in receipts or stopping.is_set():
                continue
            with batch.step(f"invoice for {customer}", at=at, of=len(INVOICES)) as step:
                receipt = batch.effect("send", lambda key, customer=customer: send(key, customer))
                step.result = {customer: receipt}
                receipts.update(step.result)
            if customer == "Edsger":
                os.kill(os.getpid(), signal.SIGTERM)  # somebody stops it
        steps = batch.get_health_report()["steps"]
        print(f"{steps['committed']} steps are done, of {len(INVOICES)}; in doubt: {steps['in_doubt']}")
    print(len(OUTBOX.read_text().splitlines()), "invoices are sent")
    return mode.exit_code or 0


if __name__ == "__main__":
    sys.exit(run())
