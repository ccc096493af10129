"""Stand-in for the ``command`` plugin: commands here and over SSH as resources."""
