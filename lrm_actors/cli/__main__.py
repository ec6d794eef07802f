"""``python -m lrm_actors.cli``."""

from lrm_actors.cli import main

main()
