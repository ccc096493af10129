"""Pure functions from a plan to the documents that hosts and guests get. Nothing here knows Pulumi."""
