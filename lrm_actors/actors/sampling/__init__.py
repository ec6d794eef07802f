"""How the resources are measured: a full sample now and then, and a cheap look at memory in between.

Reads the kernel, and tells the monitor. ``sampler`` puts a sample together; ``probe`` looks in between.
"""
