"""Logs in other places and other forms: backups, archives, lines of JSON."""
