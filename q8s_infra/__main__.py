"""``python -m q8s_infra``: look at a cluster without changing it."""

from q8s_infra.cli import cli

cli()
