"""The parts of a running mode: its engine, and between the agent and the actors one module for each thing."""
