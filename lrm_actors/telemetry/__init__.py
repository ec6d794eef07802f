"""Telling others what happens: structured logging, and hooks that see every committed record."""
