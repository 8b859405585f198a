"""How a run goes: the protocol without input or output, its drivers, and what ends a run before its own end."""
