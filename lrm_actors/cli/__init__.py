"""The command ``lrm``."""

from lrm_actors.cli.app import cli, main

__all__ = ["cli", "main"]
