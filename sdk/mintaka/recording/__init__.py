"""From a run to its durable history: one bounded recorder, its sinks, the spool for when they are away; and back, for readers."""
