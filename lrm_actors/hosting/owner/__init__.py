"""Asking the process that owns a log: a socket beside the log, the few commands it takes, and who may give them."""
