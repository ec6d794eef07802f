"""The kinds of failure there are. Stored with every failure, so a name never changes."""

from __future__ import annotations

BROWSER_CRASH, BROWSER_FREEZE, BROWSER_TIMEOUT = "browser_crash", "browser_freeze", "browser_timeout"
LLM_TIMEOUT, SERVER_ERROR, OVERLOADED, RATE_LIMIT = "llm_timeout", "server_error", "overloaded", "rate_limit"
QUOTA, REQUEST_TOO_LARGE = "quota", "request_too_large"
AUTH = "auth"
"""Authentication or configuration: a wrong key, model, address, path or right. No retry can help."""
MEMORY, DISK_FULL = "memory", "disk_full"
RESOURCE_EXHAUSTION = "resource_exhaustion"
"""Descriptors, threads or processes are used up."""
NETWORK, DEADLOCK, COMPONENT_EXIT, CPU_OVERLOAD = "network", "deadlock", "component_exit", "cpu_overload"
CIRCUIT_OPEN, PAGE_ERROR, BUG, CANCELLED, UNKNOWN = "circuit_open", "page_error", "bug", "cancelled", "unknown"
CATEGORIES = (
    BROWSER_CRASH, BROWSER_FREEZE, BROWSER_TIMEOUT, LLM_TIMEOUT, SERVER_ERROR, OVERLOADED, RATE_LIMIT, QUOTA,
    REQUEST_TOO_LARGE, AUTH, MEMORY, DISK_FULL, RESOURCE_EXHAUSTION, NETWORK, DEADLOCK, COMPONENT_EXIT, CPU_OVERLOAD,
    CIRCUIT_OPEN, PAGE_ERROR, BUG, CANCELLED, UNKNOWN,
)  # fmt: skip
