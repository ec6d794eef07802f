"""``python -m benchmarks NAME [--json] [--quick] [--part PART]``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from benchmarks import harness


def main() -> None:
    """Run one benchmark and print what it found, as one JSON object or for people."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=harness.names(), help="which benchmark")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="less work and fewer pairs, to see that it runs")
    parser.add_argument("--part", help="only this part of it, where a benchmark has several")
    options = parser.parse_args()
    parts = harness.parts(options.name)
    if options.part is not None and options.part not in parts:
        parser.error(f"no part {options.part!r}; {options.name} has {', '.join(parts) or 'none'}")
    report = harness.report(options.name, quick=options.quick, part=options.part)
    print(json.dumps(report) if options.json else table(report))


def table(report: dict[str, Any]) -> str:
    """The figures for people."""
    figures = report["figures"]
    width = max((len(name) for name in figures), default=0)
    lines = [f"{name:<{width}}  {found['value']:>10.3f}  {found['what']}" for name, found in figures.items()]
    where = report["environment"]
    peers = ", ".join(f"{name} {version}" for name, version in report["peers"].items())
    lines.append(f"Python {where['python']}, SQLite {where['sqlite']}, {where['cpus']} CPUs, load {where['load_1m']}")
    if peers:
        lines.append(f"compared with {peers}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
