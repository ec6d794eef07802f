"""The parts of the monitor: what it is told, what it says, what it knows."""
