"""Adapters for particular kinds of hosts, each behind an extra of its own; every module imports without that extra."""
