"""How far clocks may be apart."""

from __future__ import annotations

from datetime import timedelta

#: A node tells times in whole seconds and by a clock of its own, and so does the next operator: what was stopped at its
#: deadline may seem to have ended before.
CLOCK_TOLERANCE = timedelta(seconds=3)
