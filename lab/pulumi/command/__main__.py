"""``pulumi-resource-command``."""

from lab.pulumi.command.provider import CommandPlugin
from lab.pulumi.plugin import serve

serve(CommandPlugin)
