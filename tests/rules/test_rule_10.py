"""Rule 10: durations come from a monotonic clock; wall time is a label, and tests can own both."""
