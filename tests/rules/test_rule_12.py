"""Rule 12: stored names are stable strings with a version, and a log of any release opens in every later one."""
