"""The tolerated difference between clocks."""

from __future__ import annotations

from datetime import timedelta

#: A node reports times in whole seconds and by its own clock, and another operator has another clock: a workload stopped
#: at its deadline may seem to have ended before.
CLOCK_TOLERANCE = timedelta(seconds=3)
