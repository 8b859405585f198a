"""Which programs the project's scripts call: read from their syntax trees, so that a machine can be asked for each of them."""
