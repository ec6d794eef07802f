"""The parts of the checkpointer: what it is told, what it says, what it knows, which of its checkpoints need which."""
