"""The world around the core, simulated: an API server, pods with lives of their own, operators that die, and people."""
