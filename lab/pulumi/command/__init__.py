"""Stand-in for the ``command`` plugin: commands here and over SSH, and copies to a host, as resources."""
