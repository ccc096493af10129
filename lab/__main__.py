"""``python -m lab``."""

from lab.cli import cli

cli()
