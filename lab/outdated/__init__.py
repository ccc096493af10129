"""Report each pinned version with the newest one that the configured registries serve: ``make outdated``."""
