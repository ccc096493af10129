"""Stand-in for the ``kubernetes`` plugin: typed objects by server-side apply, awaited until they are ready."""
