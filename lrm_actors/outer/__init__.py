"""The outer watchdog, ``lrm run``: one process without threads that keeps another one alive, and tells of it.

Talks to the operating system and to a log of its own. It starts nothing of the actor runtime: what watches must be
simpler than what it watches.
"""
