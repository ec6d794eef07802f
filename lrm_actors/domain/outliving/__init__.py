"""The parts of the outer watchdog's decisions: its words, its state, what it decides. ``domain.outer`` is the whole."""
