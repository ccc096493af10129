"""The Pulumi toolchain of the lab: what is built, and stand-ins for plugins that no registry carries."""
