"""The parts of the journal: its commands, its events, and what it remembers of the effects of a step."""
